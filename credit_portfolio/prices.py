"""Shadow prices in the analyst's units: per percentage point of a target, per 10,000 of money.

With T the budget, σ² the minimum variance and y, z the multipliers of the program in shares, the
standard deviation in money is σT, and::

    one unit of target j       T · (−y_j) / 2σ
    one unit of limit i        −z_i / 2σ
    one unit of budget         −(y_budget + Σ_j y_j b_j + s Σ_i z_i) / 2σ

The last follows from writing the program in money, x = T w: T moves the right side of the budget
row and of every target at once, and the caps of those i who are held by the largest share s, a
part of the budget; limits and floors in money stay what they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MONEY_STEP = 10_000.0
POINT = 0.01

# A share within this part of the largest share of its own bound is at it: solvers clip to bounds
# exactly, so only a multiplier-free tie needs the allowance.
_AT_BOUND = 1e-9


def at_bounds(program: CreditProgram, solution: Solution) -> tuple[Mask, Mask]:
    """Who is at his lower and at his upper bound, the latter where both are one; shape (n,) each.

    The sign of a multiplier does not tell: between the bounds it is zero but for rounding.
    """
    w = solution.x
    near = _AT_BOUND * float(np.abs(w).max())
    high: Mask = w >= program.upper - near
    low: Mask = ~high & (w <= program.lower + near)
    return low, high


def limit_prices(
    program: CreditProgram, solution: Solution, budget: float
) -> tuple[Vector, Vector]:
    """Change per 10,000 more of each limit: (of the variance of the return, of money deviation).

    Only multipliers against upper bounds count; each is 0 or less. Shape (n,) each.
    """
    z = _cap_multipliers(program, solution)
    variance = -z * MONEY_STEP / budget + 0.0
    return variance, variance * budget * _per_variance(solution)


def price_table(
    program: CreditProgram,
    solution: Solution,
    budget: float,
    currency: str,
    kinds: list[str],
    by_share: Mask,
) -> pd.DataFrame:
    """Prices of budget and targets, one row per row of the program.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
        T, in money.
    currency : str
    kinds : list of str
        "budget" or "target" per row.
    by_share : ndarray of bool, shape (n,)
        Whose upper bound is a part of the budget rather than a limit in money.
    """
    y = solution.duals.rows
    reached = program.activity(solution.x)
    pressing = np.where(y < 0, program.row_lower, program.row_upper)
    finite = np.where(np.isfinite(program.row_upper), program.row_upper, program.row_lower)
    bound = np.where(np.isfinite(pressing), pressing, finite)
    target = np.array([kind == "target" for kind in kinds])
    binding = (y != 0) | (program.row_lower == program.row_upper)
    deviation = _per_variance(solution)
    z = _cap_multipliers(program, solution)
    moving = float(y @ bound) + float(z[by_share] @ program.upper[by_share])
    money_slope = -moving * deviation
    # The variance of the return is that of money over T²: its slope in T has both parts.
    spread = 2.0 * program.objective(solution.x)
    budget_variance = (-moving - spread) / budget * MONEY_STEP
    return pd.DataFrame(
        {
            "kind": kinds,
            "bound": np.where(target, bound, budget),
            "reached": np.where(target, reached, budget * reached),
            "binding": binding,
            "step": [
                "1 percentage point more"
                if is_target
                else f"10,000 {currency} more".replace("  ", " ")
                for is_target in target
            ],
            # Adding 0.0 turns the −0.0 of a row without a price into a plain zero.
            "variance": np.where(target, -y * POINT, budget_variance) + 0.0,
            "standard_deviation": np.where(
                target, -y * POINT * budget * deviation, money_slope * MONEY_STEP
            )
            + 0.0,
        },
        index=pd.Index(program.row_names, name="condition", dtype="str"),
    )


def _cap_multipliers(program: CreditProgram, solution: Solution) -> Vector:
    high = at_bounds(program, solution)[1]
    return np.where(high, np.maximum(solution.duals.bounds, 0.0), 0.0)


def _per_variance(solution: Solution) -> float:
    """Return d σ / d σ² = 1/2σ; 0 where there is no variance left to price."""
    return 0.5 / np.sqrt(solution.objective) if solution.objective > 0 else 0.0
