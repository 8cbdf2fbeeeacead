"""From the book to the program: budget, targets and limits; controls; conditions that branch.

::

    minimise    variance of the return on credit sales            wᵀ(FᵀF + diag D) w
    subject to  all credit is given                               Σ w = 1
                no more than b_j in each bad return interval      (wᵀP)_j ≤ b_j
                no less than b_j in each good one                 (wᵀP)_j ≥ b_j
                floors and limits                                 l_i/T ≤ w_i ≤ L_i/T

Whatever else is asked (groups, a least return, a limit on turnover, targets that hold with a given
confidence, the worst periods in the place of the variance) is a control of this program; other
operators than the weighted average and a minimum line are conditions that branch.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.book import BUDGET_ROW
from credit_portfolio.errors import InfeasibleError, ModelError, did_you_mean, listing
from credit_portfolio.evaluation.credible import robust_numbers
from credit_portfolio.program.alternatives import Alternatives, plain
from credit_portfolio.program.composition import compose
from credit_portfolio.program.controls import Controls
from credit_portfolio.program.cvar import Tail
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.program.robust import RobustRow
from credit_portfolio.program.turnover import Turnover

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from credit_portfolio.book import Book, Specification
    from credit_portfolio.evaluation.intervals import ReturnIntervals

    Vector = NDArray[np.float64]
    Mask = NDArray[np.bool_]


def credit_program(spec: Specification, book: Book) -> CreditProgram:
    """Write the program at the head of this file over the eligible customers.

    Targets that are to hold with a confidence, or under another operator, are left to
    ``controls_of`` and ``alternatives_of``.
    """
    u, eligible = book.universe, book.universe.eligible
    among_judged = eligible[u.judged]
    P = book.matrix.values[among_judged]
    upper, lower = book.targets.upper, book.targets.lower
    kept = _asked(book) & (spec.confidence is None) & spec.is_mixture
    names = np.array(book.targets.intervals.names, dtype=object)[kept]
    return CreditProgram(
        factors=book.risk.factors[:, among_judged],
        idiosyncratic=book.risk.idiosyncratic[among_judged],
        rows=np.vstack([np.ones(P.shape[0]), P.T[kept]]),
        row_lower=np.concatenate([[1.0], lower[kept]]),
        row_upper=np.concatenate([[1.0], upper[kept]]),
        lower=u.floor[eligible] / book.budget,
        upper=np.minimum(u.limit[eligible] / book.budget, spec.max_share),
        row_names=[BUDGET_ROW, *(f"target {name}" for name in names)],
    )


def controls_of(spec: Specification, book: Book) -> Controls | None:
    """Return what is asked besides budget, targets and limits; None for nothing."""
    u = book.universe
    among_judged = u.eligible[u.judged]
    groups = dict(spec.groups) if spec.groups else None
    turnover, tail = _turnover(spec, book), _tail(spec, book, among_judged)
    robust = robust_targets(spec, book)
    if not (groups or spec.min_return is not None or turnover or tail or robust):
        return None
    if groups is not None and book.labels is None:
        raise ModelError(
            f"groups names the columns {', '.join(map(repr, groups))}, and fit got no labels; pass "
            "labels= with these columns"
        )
    return Controls(
        labels=None if groups is None or book.labels is None else book.labels[among_judged],
        groups=groups,
        names=u.customers[u.eligible].tolist(),
        mean=None if spec.min_return is None else mean_returns(book)[among_judged],
        least_return=spec.min_return,
        turnover=turnover,
        tail=tail,
        robust=robust,
    )


def alternatives_of(spec: Specification, book: Book, program: CreditProgram) -> Alternatives:
    """Return the program with conditions that branch, of a model that has some."""
    refused = [
        name
        for name, given in (
            ("confidence", spec.confidence is not None),
            ("max_turnover", spec.max_turnover is not None),
            ("turnover_cost", spec.turnover_cost > 0),
            ("objective='cvar'", spec.objective == "cvar"),
        )
        if given
    ]
    if refused:
        which = "min_line" if spec.is_mixture else f"operator={spec.operator!r}"
        raise ModelError(
            f"{which} branches, and is not solved together with {', '.join(refused)}; leave one out"
        )
    stated = plain(program)
    if not spec.is_mixture:
        asked = _asked(book)
        P = book.matrix.values[book.universe.eligible[book.universe.judged]]
        stated = compose(
            spec.operator,
            P,
            upper=np.where(asked, book.targets.upper, np.inf),
            lower=np.where(asked, book.targets.lower, -np.inf),
            program=program,
            normalised=spec.normalise,
            names=list(book.targets.intervals.names),
            # Of all judged customers, as B of today's book and the B that is reported.
            totals=book.matrix.values.sum(axis=0),
        )
    if spec.min_line is None:
        return stated
    if not 0 < spec.min_line < np.inf:
        raise ModelError(f"min_line is {spec.min_line}; expected money above 0, or None")
    most = float(program.upper.max()) * book.budget
    if spec.min_line > most:
        raise InfeasibleError(
            f"min_line is {spec.min_line:,.2f}, and the most that any customer may get is "
            f"{most:,.2f}: nobody could get a share; lower it, or raise limits or max_share",
            conflict=("min_line", "limits"),
            shortfall=spec.min_line - most,
        )
    least = np.zeros(stated.program.n_customers)
    least[: stated.n_shares] = spec.min_line / book.budget
    return replace(stated, least=least)


def mean_returns(book: Book) -> Vector:
    """Mean return of each judged customer over his periods, shape (n_judged,)."""
    mean: Vector = np.nanmean(book.returns, axis=0)
    return mean


def rows_weighed(
    spec: Specification, book: Book, weights: Mapping[int | str, float | str]
) -> dict[str, float]:
    """Name the rows of the program that weights mean; ``"hold"`` keeps one where it is.

    Raises
    ------
    ModelError
        For an interval without a target, a row that is not asked for, and one named twice.
    """
    intervals = book.targets.intervals
    groups = [f"{c} = {label}" for c, bounds in (spec.groups or {}).items() for label in bounds]
    others = [*groups, *(["expected return"] if spec.min_return is not None else [])]
    asked = np.array(intervals.names, dtype=object)[_asked(book)].tolist()
    found: dict[str, float] = {}
    for given, weight in weights.items():
        name = str(given)
        target = "" if name in others else _interval(name, intervals, others)
        if target and target not in asked:
            raise ModelError(
                f"a weight is given for {name!r}, which has no target; weigh {listing(asked, 20)}"
            )
        row = f"target {target}" if target else name
        if row in found:
            raise ModelError(f"weights name {row!r} twice; keep one of them")
        if weight != "hold" and not (isinstance(weight, int | float) and weight > 0):
            raise ModelError(
                f"the weight of {name!r} is {weight!r}; expected a number above 0, or 'hold' to "
                "keep it where it is"
            )
        found[row] = np.inf if weight == "hold" else float(weight)
    return found


def _interval(name: str, intervals: ReturnIntervals, others: Sequence[str]) -> str:
    if name in intervals.names:
        return name
    if name.isdecimal() and int(name) < intervals.n_intervals:
        return intervals.names[int(name)]
    known = [*intervals.names, *others]
    raise ModelError(
        f"a weight is given for {name!r}; expected an interval, by name or 0 to "
        f"{intervals.n_intervals - 1}, or one of {listing(known, 20)}.{did_you_mean(name, known)}"
    )


def _asked(book: Book) -> Mask:
    """Which intervals have a target that says something: not at most all or at least none."""
    asked: Mask = (book.targets.upper < 1.0) | (book.targets.lower > 0.0)
    return asked


def _turnover(spec: Specification, book: Book) -> Turnover | None:
    if spec.max_turnover is None and not spec.turnover_cost:
        return None
    u = book.universe
    if u.current is None:
        raise ModelError(
            "max_turnover and turnover_cost need the current book; pass current= to fit"
        )
    held = u.current / book.budget
    return Turnover(
        held[u.eligible],
        limit=spec.max_turnover,
        cost=spec.turnover_cost,
        gone=float(held[~u.eligible].sum()),
    )


def _tail(spec: Specification, book: Book, among_judged: Mask) -> Tail | None:
    if spec.objective not in ("variance", "cvar"):
        raise ModelError(f"objective is {spec.objective!r}; expected 'variance' or 'cvar'")
    if spec.objective == "variance":
        return None
    return Tail(book.returns[:, among_judged], spec.tail, spec.variance_weight)


def robust_targets(spec: Specification, book: Book) -> tuple[RobustRow, ...]:
    """Return the targets that are to hold with the confidence that is asked for; none without."""
    if spec.confidence is None:
        return ()
    if book.smoothing.strength == 0:
        raise ModelError(
            f"confidence={spec.confidence} needs smoothing above 0, or 'estimated': the plain "
            "frequencies of customers who never lost have no spread, and those are chosen"
        )
    if np.isnan(book.targets.bounds).all():
        raise ModelError(
            f"confidence={spec.confidence} is asked for, and no interval has a target that could "
            "hold with it; give targets, or leave it out"
        )
    intervals, among = book.targets.intervals, book.universe.eligible[book.universe.judged]
    numbers = robust_numbers(book.smoothing, spec.confidence)
    mean = numbers.cautious_mean(intervals.good)[among]
    spread = numbers.spread[among]
    upper, lower, asked = book.targets.upper, book.targets.lower, _asked(book)
    return tuple(
        RobustRow(
            f"target {name}",
            mean[:, j],
            spread[:, j],
            numbers.factor,
            upper=float(upper[j]),
            lower=float(lower[j]),
        )
        for j, name in enumerate(intervals.names)
        if asked[j]
    )
