"""Shadow prices in the analyst's units: per percentage point of a share, per 10,000 of money.

With T the budget, σ² the minimum variance and y, z the multipliers of the program in shares, the
standard deviation in money is σT, and::

    one unit of row r          T · (−y_r) / 2σ          a target, a group's cap, a least return
    one unit of limit i        −z_i / 2σ
    one unit of budget         −(y_budget + Σ_r y_r b_r + s Σ_i z_i) / 2σ

The last follows from writing the program in money, x = T w: T moves the right side of the budget
row and of every row whose bound is a part of the budget at once, and the caps of those i who are
held by the largest share s; limits, floors and rows in money stay what they are.

Where conditions that hold at once depend on each other (targets on all intervals add up to the
budget, a budget is the sum of the limits), more than one set of multipliers explains the same
optimum, and a step up and a step down have prices of their own. Moving the bounds by d changes the
minimum by the largest −yᵀd among all those sets.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError, listing
from credit_portfolio.multipliers import MOST_SINGLE, DualFace, at_bounds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MONEY_STEP = 10_000.0
POINT = 0.01

# A slope below this part of the steepest is rounding and not a price.
_PRICED = 1e-9

# Kinds of rows by the words that their names begin with; all else is a "row".
KINDS = ("budget", "target", "group", "return")
_STEPS = {"target": "1 percentage point more", "group": "1 percentage point more"}
_STEPS |= {"return": "1 percentage point more", "row": "0.01 more"}

__all__ = [
    "KINDS",
    "MONEY_STEP",
    "POINT",
    "LimitPrices",
    "at_bounds",
    "limit_prices",
    "limit_sides",
    "limit_table",
    "price_table",
    "row_kinds",
]


def row_kinds(names: Sequence[str]) -> list[str]:
    """Kind of each row by the first word of its name: budget, target, group, return, else row.

    Examples
    --------
    >>> row_kinds(["budget", "target loss", "group retail", "expected return", "my own"])
    ['budget', 'target', 'group', 'return', 'row']
    """
    kinds = []
    for name in names:
        words = name.replace("expected return", "return").split()
        kinds.append(words[0] if words and words[0] in KINDS else "row")
    return kinds


@dataclass(frozen=True, eq=False, slots=True)
class LimitPrices:
    """Prices of single limits, shape (n,) each; zero where a limit does not hold.

    Attributes
    ----------
    variance, standard_deviation : ndarray
        Changes of the minimum per 10,000 more of one limit: of the variance of the return, and of
        its standard deviation in money; 0 or less.
    variance_less, standard_deviation_less : ndarray
        The same per 10,000 less; 0 or more, NaN where such a step leaves nothing feasible.
    several : bool
        True where more than one set of multipliers explains the optimum and too many limits hold
        to search all sets for each: then both sides are those of the solver's own multipliers.
    """

    variance: Vector
    standard_deviation: Vector
    variance_less: Vector
    standard_deviation_less: Vector
    several: bool


def limit_sides(
    program: CreditProgram, solution: Solution, budget: float, face: DualFace | None = None
) -> LimitPrices:
    """Price every limit that holds, for a step up and for a step down.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
        T, in money.
    face : DualFace, optional
        Of this solution, where it is at hand.
    """
    face = DualFace(program, solution) if face is None else face
    who = np.flatnonzero(face.high)
    several = not face.simple and who.size > MOST_SINGLE
    if several:
        own = np.maximum(solution.duals.bounds[who], 0.0)
        more, less = -own, own
    else:
        more, less = face.limit_slopes(who)
    floor = _rounding(face)
    step, money = MONEY_STEP / budget, budget * _per_variance(solution)

    def everyone(slopes: Vector, unit: float) -> Vector:
        full = np.zeros(program.n_customers)
        full[who] = _priced(slopes, floor) * unit
        return full

    return LimitPrices(
        variance=everyone(more, step),
        standard_deviation=everyone(more, step * money),
        variance_less=everyone(less, step),
        standard_deviation_less=everyone(less, step * money),
        several=several,
    )


def limit_prices(
    program: CreditProgram, solution: Solution, budget: float
) -> tuple[Vector, Vector]:
    """Change per 10,000 more of each limit: (of the variance of the return, of money deviation).

    The first two of ``limit_sides``; each is 0 or less. Shape (n,) each.
    """
    sides = limit_sides(program, solution, budget)
    return sides.variance, sides.standard_deviation


def limit_table(
    program: CreditProgram,
    solution: Solution,
    budget: float,
    currency: str,
    names: Sequence[str],
    is_limit: Mask,
) -> pd.DataFrame:
    """Prices of the limits that have one, with the columns of ``price_table``.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
        T, in money.
    currency : str
    names : sequence of str, length n
        The customers.
    is_limit : ndarray of bool, shape (n,)
        Whose upper bound is a limit in money, and not the largest share.

    Returns
    -------
    pandas.DataFrame
        One row per limit whose step to one side changes the variance or is not possible. Where
        ``LimitPrices.several`` is true, the words of ``step`` end with "(one of several prices)".
    """
    sides = limit_sides(program, solution, budget)
    worth = (sides.variance != 0) | (sides.variance_less != 0)  # NaN is a finding too
    at = np.flatnonzero(worth & is_limit)
    words = _money_step(currency) + (" (one of several prices)" if sides.several else "")
    return pd.DataFrame(
        {
            "kind": "limit",
            "bound": program.upper[at] * budget,
            "reached": solution.x[at] * budget,
            "binding": sides.variance[at] < 0,
            "step": words,
            "variance": sides.variance[at],
            "standard_deviation": sides.standard_deviation[at],
            "variance_less": sides.variance_less[at],
            "standard_deviation_less": sides.standard_deviation_less[at],
        },
        index=pd.Index([f"limit {names[int(i)]}" for i in at], name="condition", dtype="str"),
    )


def price_table(
    program: CreditProgram,
    solution: Solution,
    budget: float,
    currency: str,
    kinds: Sequence[str],
    by_share: Mask,
    in_money: Mask | None = None,
) -> pd.DataFrame:
    """Prices of budget, targets, groups, least returns and any other rows.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
        T, in money.
    currency : str
    kinds : sequence of str
        Per row "budget", "target", "group", "return" or "row": see ``row_kinds``.
    by_share : ndarray of bool, shape (n,)
        Whose upper bound is a part of the budget rather than a limit in money.
    in_money : ndarray of bool, shape (q,), optional
        Rows whose bound is an amount of money, which stays when the budget moves; none by default.

    Returns
    -------
    pandas.DataFrame
        ``variance`` and ``standard_deviation`` are the changes for one step more of the row's
        bound, ``variance_less`` and ``standard_deviation_less`` those for one step less; NaN where
        such a step leaves nothing feasible. ``binding``: loosening the condition lowers the
        variance. A group has two rows: one per percentage point, kind "group", and one per 10,000
        of money, kind "group amount" and the name with "(amount)" behind it.

    Raises
    ------
    ModelError
        For a kind that is none of these.
    """
    unknown = [kind for kind in kinds if kind != "budget" and kind not in _STEPS]
    if unknown or len(kinds) != program.n_rows:
        raise ModelError(
            f"{len(kinds)} kinds for {program.n_rows} rows, of them unknown: {listing(unknown)}; "
            f"expected one of {listing([*KINDS, 'row'])} per row"
        )
    face = DualFace(program, solution)
    kind = np.array(kinds, dtype=object)
    bound = _bounds(program, solution, face)
    stays = ~np.isfinite(bound) if in_money is None else in_money | ~np.isfinite(bound)
    moved = np.where(stays, 0.0, bound)
    more, less = _slopes(program, face, moved, kind == "budget", by_share)
    floor = _rounding(face)
    more, less = _priced(more, floor), _priced(less, floor)
    whole = kind == "budget"
    table = pd.DataFrame(
        {
            "kind": kind,
            "bound": bound,
            "reached": program.activity(solution.x),
            "binding": _loosened(program, face, more, less) < -floor,
            "more": more,
            "less": less,
            # The variance of the return is that of money over T²: its slope in T has both parts.
            "spread": np.where(whole, 2.0 * program.objective(solution.x), 0.0),
        },
        index=pd.Index(program.row_names, name="condition", dtype="str"),
    )
    table.loc[whole, "binding"] = True
    return _in_steps(table, budget, currency, _per_variance(solution))


def _in_steps(
    table: pd.DataFrame, budget: float, currency: str, per_variance: float
) -> pd.DataFrame:
    """Turn slopes per unit of share into the changes per step, groups in both of their steps."""
    groups = table[table["kind"] == "group"]
    amounts = groups.rename(index=lambda name: f"{name} (amount)").assign(kind="group amount")
    # Each group's amount stands below its share.
    order = np.concatenate([np.arange(len(table)), np.flatnonzero(table["kind"] == "group")])
    table = pd.concat([table, amounts]) if len(groups) else table
    table = table.take(np.argsort(order, kind="stable"))
    money = table["kind"].isin(["budget", "group amount"]).to_numpy(dtype=bool)
    step = np.where(money, MONEY_STEP / budget, POINT)
    unit = np.where(money, budget, 1.0)
    deviation = step * budget * per_variance
    more, less, spread = (table[name].to_numpy(dtype=float) for name in ("more", "less", "spread"))
    words = [
        _money_step(currency) if m else _STEPS[k] for m, k in zip(money, table["kind"], strict=True)
    ]
    return pd.DataFrame(
        {
            "kind": pd.array(table["kind"].tolist(), dtype="str"),
            "bound": table["bound"].to_numpy(dtype=float) * unit,
            "reached": table["reached"].to_numpy(dtype=float) * unit,
            "binding": table["binding"].to_numpy(dtype=bool),
            "step": pd.array(words, dtype="str"),
            # Adding 0.0 turns the −0.0 of a row without a price into a plain zero.
            "variance": (more - spread) * step + 0.0,
            "standard_deviation": more * deviation + 0.0,
            "variance_less": (less + spread) * step + 0.0,
            "standard_deviation_less": less * deviation + 0.0,
        },
        index=table.index,
    )


def _bounds(program: CreditProgram, solution: Solution, face: DualFace) -> Vector:
    """Bound of each row that is told and moved: the one it presses on, else lies at, else has."""
    lower, upper = program.row_lower, program.row_upper
    below = np.where(face.at_lower & ~face.at_upper, True, ~np.isfinite(upper))
    below = np.where(solution.duals.rows < 0, True, np.where(solution.duals.rows > 0, False, below))
    chosen = np.where(below, lower, upper)
    return np.where(np.isfinite(chosen), chosen, np.where(below, upper, lower))


def _slopes(
    program: CreditProgram, face: DualFace, moved: Vector, whole: Mask, by_share: Mask
) -> tuple[Vector, Vector]:
    """Change of the minimum variance per unit more, and per unit less, of each row's bound."""
    more, less = np.empty(whole.size), np.empty(whole.size)
    for r in range(whole.size):
        weights = np.zeros(whole.size)
        weights[r] = 1.0
        constant = 0.0
        if whole[r]:
            # The budget moves all parts of it, and the caps of those held by the largest share.
            capped = face.high & by_share
            weights = moved
            if capped.any():
                caps = np.where(capped, program.upper, 0.0)
                weights = moved - np.asarray(program.rows @ caps)
                constant = -float(face.slope @ caps)
        more[r] = face.largest(-weights) - constant
        less[r] = face.largest(weights) + constant
    return more, less


def _loosened(program: CreditProgram, face: DualFace, more: Vector, less: Vector) -> Vector:
    """Change of the variance when a row is loosened: the better of the sides that it holds at."""
    gain_above = np.where(face.at_upper & np.isfinite(program.row_upper), more, 0.0)
    gain_below = np.where(face.at_lower & np.isfinite(program.row_lower), less, 0.0)
    return np.fmin(gain_above, gain_below)


def _rounding(face: DualFace) -> float:
    return _PRICED * float(np.abs(face.slope).max())


def _priced(slopes: Vector, floor: float) -> Vector:
    """Slopes without rounding, and NaN for those without end: such a step is not possible."""
    return np.where(np.isinf(slopes), np.nan, np.where(np.abs(slopes) <= floor, 0.0, slopes))


def _money_step(currency: str) -> str:
    return f"10,000 {currency} more".replace("  ", " ")


def _per_variance(solution: Solution) -> float:
    """Return d σ / d σ² = 1/2σ; 0 where there is no variance left to price."""
    return 0.5 / np.sqrt(solution.objective) if solution.objective > 0 else 0.0
