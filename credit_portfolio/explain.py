"""Why no allocation meets all conditions, in the analyst's words, and what would have to move.

Three answers to an infeasible program, each checked by our own arithmetic:

- a smallest set of conditions that conflict: leave any one of them out and the rest can be met;
- for each of them, how far it alone would have to move for the whole program to have an answer;
- the nearest bounds that can be met: the least total relaxation, weighed by the analyst.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from credit_portfolio import conflicts
from credit_portfolio.conditions import (
    FLOORS,
    LARGEST_SHARE,
    LIMITS,
    Condition,
    Relaxation,
    Words,
    nearest_told,
    together,
    ways_out,
)
from credit_portfolio.conflicts import Conflict, Terms
from credit_portfolio.errors import ModelError, did_you_mean, listing
from credit_portfolio.prices import row_kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]

# Conditions that an analyst would rather move are kept longest: what comes first is left out first,
# so that a conflict is told without targets where there is one without them.
_LEFT_OUT = ("target", "return", "group", "row", FLOORS, LARGEST_SHARE, LIMITS, "budget")
# Relaxations below this part of the budget are the linear program's rounding.
_NOTHING = 1e-9


@dataclass(frozen=True, eq=False, slots=True)
class Explanation:
    """Why a program is infeasible, and what to do; prints as sentences.

    Attributes
    ----------
    conflict : tuple of Condition
        A set that cannot hold together, from which none can be left out.
    budget_move : Condition or None
        The budget's own move, also where the budget's row is not in the set: parts of the budget
        move with it. None where the program has no budget row.
    nearest : tuple of Relaxation
        All weighed sides at the least total relaxation; empty where no relaxation of them
        suffices, or where there are none.
    total : float
        That total, weighted; NaN without it.
    shares : ndarray, shape (n,), or None
        Shares that meet the relaxed bounds.
    without : tuple of Condition
        Where relaxing all weighed rows does not suffice: what conflicts without them.
    money : float or None
        The budget in money, for the sentences.
    currency : str
    """

    conflict: tuple[Condition, ...]
    budget_move: Condition | None
    nearest: tuple[Relaxation, ...]
    total: float
    shares: Vector | None
    without: tuple[Condition, ...]
    money: float | None = None
    currency: str = ""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the conditions that conflict."""
        return tuple(condition.name for condition in self.conflict)

    @property
    def shortfall(self) -> float | None:
        """Money by which limits or floors miss the budget, where they alone conflict with it."""
        if self.money is None or not {c.kind for c in self.conflict} <= {LIMITS, FLOORS, "budget"}:
            return None
        moved = [c.move for c in self.conflict if c.kind in (LIMITS, FLOORS)]
        return abs(moved[0]) * self.money if len(moved) == 1 and math.isfinite(moved[0]) else None

    def sentences(self, budget: float | None = None, currency: str | None = None) -> list[str]:
        """Tell the conflict, each way out, and the nearest bounds, a sentence each.

        Every figure to be typed in is rounded to the side that works.

        Parameters
        ----------
        budget : float, optional
            In money; by default what ``explain_infeasibility`` was told. Without one, money is
            told as parts of the budget.
        currency : str, optional
        """
        words = Words(
            self.money if budget is None else budget,
            self.currency if currency is None else currency,
        )
        return [
            *together(self.conflict, words),
            *ways_out(self.conflict, self.budget_move, words),
            *nearest_told(self.nearest, self.without, words),
        ]

    def message(self, budget: float | None = None, currency: str | None = None) -> str:
        """Return the sentences as one text, as an error's message."""
        return " ".join(self.sentences(budget, currency))

    def to_frame(self) -> pd.DataFrame:
        """Return all conditions as a table, one row each, index ``condition``.

        ``in_conflict``, ``kind``, ``side``, ``bound``, ``customers``, ``within``, ``needed`` and
        ``move`` as in ``Condition``; ``relaxed``, ``reached`` and ``weight`` as in ``Relaxation``.
        """
        told = {(c.name, c.side): c for c in self.conflict}
        if self.budget_move is not None and self.budget_move.name not in self.names:
            told[self.budget_move.name, self.budget_move.side] = self.budget_move
        near = {(r.name, r.side): r for r in self.nearest}
        rows = []
        for key in dict.fromkeys([*told, *near]):
            c, r = told.get(key), near.get(key)
            either = next(known for known in (c, r) if known is not None)
            rows.append(
                {
                    "in_conflict": c is not None and c.name in self.names,
                    "kind": either.kind,
                    "side": key[1],
                    "bound": either.bound,
                    "customers": c.customers if c else 0,
                    "within": c.within if c else math.nan,
                    "needed": c.needed if c else math.nan,
                    "move": c.move if c else math.nan,
                    "relaxed": r.relaxed if r else math.nan,
                    "reached": r.reached if r else math.nan,
                    "weight": r.weight if r else math.nan,
                }
            )
        index = pd.Index([name for name, _ in dict.fromkeys([*told, *near])], name="condition")
        return pd.DataFrame(rows, index=index.astype("str"))

    def __str__(self) -> str:
        return "\n".join(["No allocation meets all conditions.", *self.sentences()])

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        items = "".join(f"<li>{html.escape(line)}</li>" for line in self.sentences())
        return f"<p><b>No allocation meets all conditions.</b></p><ul>{items}</ul>"


def explain_infeasibility(
    program: CreditProgram,
    weights: Mapping[str, float] | None = None,
    *,
    kinds: Sequence[str] | None = None,
    limits: ArrayLike | None = None,
    largest_share: float = math.inf,
    in_money: Mask | None = None,
    budget: float | None = None,
    currency: str = "",
    tolerance: float = 1e-9,
) -> Explanation:
    """Explain why nothing meets a program, and how little would have to move.

    Parameters
    ----------
    program : CreditProgram
    weights : mapping of row name to float, optional
        Cost per unit of relaxing a row, for the nearest bounds. A target not named costs 1 per
        unit, so that all percentage points weigh the same; ``math.inf`` holds a row where it is.
        Other rows are relaxed only where they are named. The budget cannot be: its parts move
        with it, which ``budget_move`` tells.
    kinds : sequence of str, optional
        Kind of each row; by default read off its name, as ``prices.row_kinds`` does.
    limits : array_like, shape (n,), optional
        Limits as parts of the budget, +inf for none, where ``program.upper`` is the smaller of
        these and ``largest_share``. By default every upper bound is a limit.
    largest_share : float, default inf
        Largest share of one customer; needs ``limits``.
    in_money : ndarray of bool, shape (q,), optional
        Rows whose bound is an amount of money, which stays when the budget moves; none by default.
    budget, currency : float, str, optional
        For the sentences.
    tolerance : float, default 1e-9
        Relative margin from which a conflict counts, as in ``solve``.

    Returns
    -------
    Explanation

    Raises
    ------
    ModelError
        Where the program can be met, or for weights of rows that do not exist.
    SolverError
        Where a linear program has no proved answer.

    Examples
    --------
    >>> from credit_portfolio.program.program import CreditProgram
    >>> program = CreditProgram(
    ...     rows=[[1, 1], [0.04, 0.01]], row_lower=[1, -np.inf], row_upper=[1, 0.015],
    ...     upper=[1.0, 0.5], row_names=["budget", "target loss"],
    ... )
    >>> print(explain_infeasibility(program, budget=1e6, currency="EUR"))
    No allocation meets all conditions.
    These cannot hold together: the target of at most 1.50 % in 'loss'; the budget of 1,000,000 \
EUR; the limit of 1 customer, 500,000 EUR.
    The least share of credit in 'loss' that the others of these allow is 2.50 %.
    One move alone would do: the target in 'loss' up by 1.00 points, to 2.50 %; or the budget down \
by 400,000 EUR, to 600,000 EUR; or the limits up by 333,334 EUR in all (1 customer).
    Nearest that can be met with the least relaxation: in 'loss' at most 2.50 % (1.00 points more).
    """
    terms, names = _terms(program, kinds, limits, largest_share, in_money)
    costs = _costs(terms, names, weights)
    first = conflicts.conflict_of(terms, terms.existing, tolerance)
    if first is None:
        raise ModelError(
            "there is nothing to explain: a point meets all rows and bounds of this program; "
            "explain_infeasibility takes one that solve found infeasible"
        )
    order = _order(terms, names)
    conflict = conflicts.irreducible(terms, first, order, tolerance)
    factor = conflicts.nearest_budget(terms)
    told = tuple(
        _condition(terms, names, conflict, int(c), factor) for c in np.flatnonzero(conflict.kept)
    )
    found = conflicts.nearest_bounds(terms, costs) if np.isfinite(costs).any() else None
    without: tuple[Condition, ...] = ()
    if found is None and np.isfinite(costs).any():
        without = _without(terms, names, costs, order, tolerance)
    return Explanation(
        conflict=told,
        budget_move=_budget_condition(terms, names, factor),
        nearest=() if found is None else _relaxations(terms, names, costs, *found),
        total=math.nan if found is None else _total(costs, found[0]),
        shares=None if found is None else _frozen(found[1]),
        without=without,
        money=budget,
        currency=currency,
    )


# --- the parts of an explanation ------------------------------------------------------------------


def _terms(
    program: CreditProgram,
    kinds: Sequence[str] | None,
    limits: ArrayLike | None,
    largest_share: float,
    in_money: Mask | None,
) -> tuple[Terms, list[str]]:
    """Check what was given, and put it together; the kinds of all rows."""
    names = list(row_kinds(program.row_names) if kinds is None else kinds)
    if len(names) != program.n_rows:
        raise ModelError(f"{len(names)} kinds for {program.n_rows} rows; give one per row")
    budgets = [r for r, kind in enumerate(names) if kind == "budget"]
    if len(budgets) > 1:
        raise ModelError(f"{len(budgets)} rows are budgets; a program has one at most")
    if limits is None and math.isfinite(largest_share):
        raise ModelError(
            "largest_share is given without limits; give each customer's limit too (inf for none), "
            "so that the two can be told apart"
        )
    own = program.upper if limits is None else np.asarray(limits, dtype=np.float64)
    own = np.broadcast_to(own, program.upper.shape)
    if not np.array_equal(np.minimum(own, largest_share), program.upper):
        raise ModelError(
            "the program's upper bounds are not the smaller of limits and largest_share; give "
            "those from which the program was made"
        )
    money = np.zeros(program.n_rows, dtype=bool) if in_money is None else np.asarray(in_money)
    return Terms(program, own, float(largest_share), money, budgets[0] if budgets else None), names


def _costs(terms: Terms, kinds: Sequence[str], weights: Mapping[str, float] | None) -> Vector:
    """Cost of relaxing each side of each row, +inf for those that stay; shape (2q,)."""
    names = list(terms.program.row_names)
    costs = np.array([1.0 if kind == "target" else np.inf for kind in kinds])
    for name, weight in (weights or {}).items():
        if name not in names:
            raise ModelError(
                f"a weight is given for {name!r}, but the rows are {listing(names)}."
                f"{did_you_mean(str(name), names)}"
            )
        if not weight > 0:
            raise ModelError(
                f"the weight of {name!r} is {weight}; expected a number above 0, or math.inf to "
                "hold the row where it is"
            )
        if kinds[names.index(name)] == "budget":
            raise ModelError(
                f"a weight is given for the budget {name!r}, whose parts move with it; relax other "
                "rows, and read the budget's own move from budget_move"
            )
        costs[names.index(name)] = weight
    return np.tile(costs, 2)


def _order(terms: Terms, kinds: Sequence[str]) -> list[int]:
    """Conditions in the order in which they are left out, if they can be."""
    every = [*kinds, *kinds, LIMITS, LARGEST_SHARE, FLOORS]
    rank = {kind: place for place, kind in enumerate(_LEFT_OUT)}
    # Of one kind the last row goes first: the worst interval's target stands first.
    return sorted(range(len(every)), key=lambda c: (rank.get(every[c], rank["row"]), -c))


def _condition(
    terms: Terms, kinds: Sequence[str], conflict: Conflict, c: int, factor: float | None
) -> Condition:
    """Tell one condition of a conflict: its bound, whose it is, and how far it must move."""
    p, q = terms.program, terms.program.n_rows
    kept, whole = conflict.kept, terms.existing
    if c >= 2 * q:
        return _of_customers(terms, conflict, c - 2 * q)
    r, side = c % q, "at most" if c < q else "at least"
    bound = float(p.row_upper[r] if c < q else p.row_lower[r])
    if r == terms.budget:
        needed = math.nan if factor is None else factor * bound
        return Condition(p.row_names[r], "budget", side, bound, needed=needed, in_money=True)
    among, alone = (conflicts.least_bound(terms, flags, c) for flags in (kept, whole))
    return Condition(
        name=p.row_names[r],
        kind=kinds[r],
        side=side,
        bound=bound,
        within=_number(among),
        needed=_number(alone),
        in_money=bool(terms.in_money[r]),
    )


def _of_customers(terms: Terms, conflict: Conflict, which: int) -> Condition:
    by_limit, by_share, by_floor = conflicts.pressed(terms, conflict)
    whole, lower = terms.existing, terms.program.lower
    if which == 1:
        share = conflicts.least_largest_share(terms, conflict.kept)
        alone_share = conflicts.least_largest_share(terms, whole)
        return Condition(
            name=LARGEST_SHARE,
            kind=LARGEST_SHARE,
            side="at most",
            bound=terms.largest,
            customers=int(by_share.sum()),
            within=_number(share),
            needed=_number(alone_share),
        )
    least = conflicts.least_lowering if which else conflicts.least_raise
    sign = -1.0 if which else 1.0
    bound = float(lower[by_floor].sum() if which else terms.limits[by_limit].sum())
    within_set, alone = least(terms, conflict.kept), least(terms, whole)
    return Condition(
        name=FLOORS if which else LIMITS,
        kind=FLOORS if which else LIMITS,
        side="at least" if which else "at most",
        bound=bound,
        customers=int((by_floor if which else by_limit).sum()),
        within=math.nan if within_set is None else bound + sign * within_set[0],
        needed=math.nan if alone is None else bound + sign * alone[0],
        moved_customers=0 if alone is None else alone[1],
        in_money=True,
    )


def _budget_condition(terms: Terms, kinds: Sequence[str], factor: float | None) -> Condition | None:
    r = terms.budget
    if r is None:
        return None
    bound = float(terms.program.row_lower[r])
    needed = math.nan if factor is None else factor * bound
    side = "at most" if factor is not None and factor > 1 else "at least"
    name = terms.program.row_names[r]
    return Condition(name, kinds[r], side, bound, needed=needed, in_money=True)


def _without(
    terms: Terms, kinds: Sequence[str], costs: Vector, order: Sequence[int], tolerance: float
) -> tuple[Condition, ...]:
    """Find what conflicts without all weighed rows; their moves alone are for the whole program."""
    kept = terms.existing
    kept[: costs.size] &= ~np.isfinite(costs)
    first = conflicts.conflict_of(terms, kept, tolerance)
    if first is None:
        return ()
    rest = conflicts.irreducible(terms, first, order, tolerance)
    factor = conflicts.nearest_budget(terms)
    return tuple(_condition(terms, kinds, rest, int(c), factor) for c in np.flatnonzero(rest.kept))


def _relaxations(
    terms: Terms, kinds: Sequence[str], costs: Vector, moves: Vector, w: Vector
) -> tuple[Relaxation, ...]:
    p, q = terms.program, terms.program.n_rows
    reached = p.activity(w)
    sides = np.flatnonzero(terms.existing[: 2 * q] & np.isfinite(costs))
    told = []
    for c in sides:
        r, upper = int(c) % q, int(c) < q
        bound = float(p.row_upper[r] if upper else p.row_lower[r])
        moved = float(moves[c]) if moves[c] > _NOTHING else 0.0
        told.append(
            Relaxation(
                name=p.row_names[r],
                kind=kinds[r],
                side="at most" if upper else "at least",
                bound=bound,
                relaxed=bound + moved if upper else bound - moved,
                reached=float(reached[r]),
                weight=float(costs[c]),
                in_money=bool(terms.in_money[r]),
            )
        )
    return tuple(told)


def _total(costs: Vector, moves: Vector) -> float:
    moved = moves > 0
    return float(costs[moved] @ moves[moved])


def _number(value: float | None) -> float:
    return math.nan if value is None else value


def _frozen(array: Vector) -> Vector:
    array = np.array(array, dtype=np.float64)
    array.flags.writeable = False
    return array
