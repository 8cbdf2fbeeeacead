"""Why each customer got what he got, read off the optimality conditions."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.prices import MONEY_STEP, at_bounds, row_kinds

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.solution import Solution

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]
    Texts = NDArray[np.object_]

# What a pressing row of each kind is called where it counts beside the risk.
_COUNTED = {
    "target": "targets",
    "group": "groups",
    "return": "the expected return",
    "row": "other conditions",
}

_LEFT_OUT = (
    "no share: it would have to be as much as the minimum line or the targets' operator asks for, "
    "and none is better"
)
_HELD = (
    "{share:.2%} of the credit: held at the minimum line, or where a target changes sides under "
    "its operator"
)

# A bound that is this part away from the customer's own is that of a branch.
_OTHER = 1e-9


def explain(
    program: CreditProgram,
    solution: Solution,
    budget: float,
    currency: str,
    at_limit: Mask,
    price: Vector,
    risk: Vector,
    own: tuple[Vector, Vector] | None = None,
) -> tuple[Texts, Texts]:
    """Reason code and sentence of each eligible customer.

    Parameters
    ----------
    program : CreditProgram
    solution : Solution
    budget : float
    currency : str
    at_limit : ndarray of bool, shape (n,)
        Whether the customer's upper bound is his limit (else the largest share allowed).
    price : ndarray, shape (n,)
        Of 10,000 more of each limit, in money of standard deviation; NaN where it has none.
    risk : ndarray, shape (n,)
        Part of the variance that each brings (Euler).
    own : (ndarray, ndarray), optional
        Least and largest shares before anything branched, where the program is a branch: bounds
        within them are where a minimum line or a target of another operator holds the share.

    Returns
    -------
    codes, sentences : ndarray of str, shape (n,) each
    """
    w, lower, upper = solution.x, program.lower, program.upper
    low, high = at_bounds(program, solution)
    floor = low & (lower > 0)
    none = low & (lower <= 0)
    held = _held(program, own, low, high)
    left_out = held & (upper <= 0)
    codes = np.select(
        [left_out, held, high & at_limit, high, floor, none],
        [
            "no share",
            "held by line or target",
            "at limit",
            "at largest share",
            "at floor",
            "no share",
        ],
        "between bounds",
    ).astype(object)
    excess = _excess(program, solution)
    cost = _cost(program, solution)
    texts = np.empty(w.size, dtype=object)
    money = f" {currency}".rstrip()
    for i in range(w.size):
        if held[i]:
            texts[i] = _LEFT_OUT if left_out[i] else _HELD.format(share=w[i])
            continue
        texts[i] = _sentence(
            str(codes[i]),
            w[i],
            risk[i],
            lower[i] * budget,
            upper[i] * budget,
            price[i],
            excess[i],
            money,
            cost,
        )
    return codes, texts


def _held(program: CreditProgram, own: tuple[Vector, Vector] | None, low: Mask, high: Mask) -> Mask:
    """Who is at a bound that is not his own."""
    if own is None:
        return np.zeros(low.shape, dtype=bool)
    least, most = own
    # Where one number is both bounds, either may be the one that is not his own.
    above = high & (program.upper < most * (1.0 - _OTHER))
    below = (low | (high & (program.lower >= program.upper))) & (
        program.lower > least * (1.0 + _OTHER)
    )
    held: Mask = above | below
    return held


def _excess(program: CreditProgram, solution: Solution) -> Vector:
    """By how much a customer's marginal cost is above the going one, in parts of the latter."""
    slope = program.gradient(solution.x)
    dearer = np.maximum(-solution.duals.bounds, 0.0)
    going = np.abs(slope - dearer)
    return np.divide(dearer, going, out=np.zeros_like(dearer), where=going > 0)


def _cost(program: CreditProgram, solution: Solution) -> str:
    """Name what the margin counts: where a row besides the budget presses, not risk alone."""
    pressing = {
        kind
        for kind, y in zip(row_kinds(program.row_names), solution.duals.rows, strict=True)
        if y != 0
    }
    words = [word for kind, word in _COUNTED.items() if kind in pressing]
    return f"{', '.join(['risk', *words[:-1]])} and {words[-1]}" if words else "risk"


def _sentence(
    code: str,
    share: float,
    risk: float,
    floor: float,
    cap: float,
    price: float,
    excess: float,
    money: str,
    cost: str,
) -> str:
    if code == "at limit":
        if price < 0:
            return (
                f"takes the whole limit of {cap:,.2f}{money}; at the margin the standard deviation "
                f"falls by {-price:,.2f}{money} per {MONEY_STEP:,.0f} more of it"
            )
        if np.isnan(price):
            return f"takes the whole limit of {cap:,.2f}{money}"
        return f"takes the whole limit of {cap:,.2f}{money}; more of it would change nothing"
    if code == "at largest share":
        return f"takes the largest share allowed to one customer, {share:.2%}"
    if code == "at floor":
        return (
            f"held at the floor of {floor:,.2f}{money}; by risk and targets alone it would be less"
        )
    if code == "no share":
        if excess > 0:
            return (
                f"no share: counting {cost}, a first unit here costs {excess:.1%} more than the "
                "going rate"
            )
        return f"no share: counting {cost}, a first unit here costs no less than the going rate"
    return (
        f"{share:.2%} of the credit, {risk:.2%} of the risk; counting {cost}, one more unit costs "
        "as much here as elsewhere"
    )
