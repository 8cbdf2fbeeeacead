"""Edges of return intervals proposed from data, with names that say what each interval means."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.evaluation.intervals import ReturnIntervals, default_names

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]

_DAYS_PER_YEAR = 365
_TOTAL_LOSS = -1.0

# Words for the parts of the scale from 0 to the markup R, each with the part of R at which it
# begins: the same parts as the edges that the command line takes by default.
_WORDS_OF_MARKUP = (
    (0.0, "thin margin"),
    (0.6, "reduced margin"),
    (0.8, "nearly full"),
    (0.94, "full margin"),
)
_LOSS, _BELOW_FUNDS = "loss", "below cost of funds"

# Edges this near to the beginning of a word are at it; intervals hold values within 1e-9 of an edge
# to lie on it, and edges are at least twice that apart.
_SAME = 1e-9
# Returns nearer to each other than this are one value: an edge between two values has to be more
# than twice the rounding of a return, 1e-9, away from both.
_DISTINCT = 1e-8
# Millions of returns may lie so densely that no two neighbours are distinct; there a value is what
# falls into a cell of this size. A hundredth of a basis point is nothing to an analyst.
_CELL = 1e-6
_DIGITS = 12  # of a rounded edge; enough for the gap between two distinct values


def names_by_meaning(
    edges: ArrayLike, markup: float, *, cost_of_funds: float = 0.0
) -> tuple[str, ...]:
    """Propose a name for each interval by what its returns mean.

    "loss" below 0, "below cost of funds" up to there, then by parts of the markup R: "thin margin"
    below 0.6 R, "reduced margin" below 0.8 R, "nearly full" below 0.94 R, "full margin" from there.
    An interval over several of these is called "thin margin to full margin", say; where two would
    share a name, both get their range behind it.

    Parameters
    ----------
    edges : array_like, shape (n_intervals + 1,)
        Increasing, as fractions of cost.
    markup : float
        R > 0.
    cost_of_funds : float, default 0
        What financing a sale costs, as a fraction of its cost, where returns do not bear it yet.

    Raises
    ------
    ModelError
        For a markup that is not above 0, or a cost of funds outside [0, markup).

    Examples
    --------
    >>> names_by_meaning([-1, 0, 0.15, 0.2, 0.235, 0.25], markup=0.25)
    ('loss', 'thin margin', 'reduced margin', 'nearly full', 'full margin')
    >>> names_by_meaning([-1, -0.5, 0, 0.25], markup=0.25)
    ('loss [-100 %, -50 %)', 'loss [-50 %, 0 %)', 'thin margin to full margin')
    """
    _check_markup(markup)
    if not 0 <= cost_of_funds < markup:
        raise ModelError(
            f"the cost of funds is {cost_of_funds}; expected a part of the cost of a sale from 0 "
            f"to below the markup of {markup}"
        )
    v = ReturnIntervals(edges, good_from=0).edges
    starts, words = _zones(markup, cost_of_funds)
    first = np.searchsorted(starts, v[:-1] + _SAME, side="right")
    last = np.searchsorted(starts, v[1:] - _SAME, side="right")
    pairs = zip(first.tolist(), last.tolist(), strict=True)
    plain = [words[a] if a >= b else f"{words[a]} to {words[b]}" for a, b in pairs]
    return tuple(
        f"{name} {where}" if plain.count(name) > 1 else name
        for name, where in zip(plain, default_names(v), strict=True)
    )


def fixed_edges(markup: float, n: int, *, good_above: float = 0.0) -> ReturnIntervals:
    """Cut the scale from −1 to the markup R into intervals of equal width.

    Mostly a bad choice. A normal customer pays in full, late or with a deduction, and earns between
    0.8 R and R; with R = 25 % five equal widths are 25 points each, and the top interval, 0 to
    25 %, holds everybody but the losses. All rows of the matrix P are then alike, and no target can
    tell one customer from another. Here because it is what textbooks do, and to be compared with.

    Parameters
    ----------
    markup : float
        R > 0.
    n : int
        Number of intervals.
    good_above : float, default 0
        Intervals that begin at this return or above are good; the last one is in any case.

    Raises
    ------
    ModelError
        For a markup that is not above 0, or less than one interval.

    Examples
    --------
    >>> fixed_edges(0.25, 5).edges
    array([-1.  , -0.75, -0.5 , -0.25,  0.  ,  0.25])
    """
    _check_markup(markup)
    _check_number(n)
    edges = np.round(np.linspace(_TOTAL_LOSS, markup, n + 1), _DIGITS)
    edges[-1] = markup
    return _named(edges + 0.0, markup, good_above)  # + 0.0: no edge is called −0


def quantile_edges(
    returns: ArrayLike,
    n: int,
    *,
    markup: float | None = None,
    good_above: float = 0.0,
) -> ReturnIntervals:
    """Cut the scale so that about the same number of pooled returns falls in each interval.

    Edges lie between observed values, at the roundest number there, so that no return lies on an
    inner edge; only where returns lie as densely as a million to a percentage point an edge may
    touch one. A value that alone is more than an interval's part (payment in full at R, total loss
    at −1) gets an interval of its own as far as its neighbours allow; the rest is shared among the
    other intervals. Every interval holds at least one return.

    Parameters
    ----------
    returns : array_like of any shape
        A panel's returns; NaN where there was no sale.
    n : int
        Number of intervals; so many there are, or an error.
    markup : float, optional
        R, where the scale ends; by default at the largest return. The scale begins at −1, or at the
        smallest return where that is below.
    good_above : float, default 0
        Intervals that begin at this return or above are good; the last one is in any case.

    Raises
    ------
    DataError
        When there are no returns, infinite ones, ones above the markup, or fewer different values
        than intervals.
    ModelError
        For a markup that is not above 0, or less than one interval.

    Examples
    --------
    >>> paid = [0.25] * 14 + [0.245, 0.24, 0.23, 0.21, 0.1, -0.3]
    >>> found = quantile_edges(paid, 4, markup=0.25)
    >>> found.edges
    array([-1.   ,  0.15 ,  0.235,  0.247,  0.25 ])
    >>> found.names[-1]
    'full margin [24.7 %, 25 %]'
    """
    _check_number(n)
    pooled = _pooled(returns)
    top = _top(pooled, markup)
    starts = _distinct(pooled)
    if starts.size < n:
        raise DataError(
            f"the {pooled.size:,} returns take only {starts.size} different values, too few for "
            f"{n} intervals with a return each; ask for {starts.size} or fewer"
        )
    begins = starts[_cuts(np.diff(starts, append=pooled.size), n)]
    inner = [_roundest(float(pooled[at - 1]), float(pooled[at])) for at in begins]
    lowest = float(pooled[0]) if pooled[0] < _TOTAL_LOSS - _SAME else _TOTAL_LOSS
    return _named(np.array([lowest, *inner, top]), top, good_above)


def cost_of_funds_edges(
    markup: float,
    funding_rate: float,
    *,
    net: bool = True,
    terms_days: float = 30,
    days: Sequence[float] = (30, 90),
) -> ReturnIntervals:
    """Cut the scale where money is lost, funds are not earned, and payment comes late.

    A sale at markup R, financed at rate f over the credit terms of t days, costs f t/365 of funds.
    Paid in full x days after the due date it leaves R − f (t + x)/365. With the default days the
    intervals are called

    ===================  ====================================================================
    loss                 not even the cost of the goods came back
    below cost of funds  the goods are paid for, but not the funds tied up over the terms
    late                 earns less than a sale paid in full 90 days late
    nearly full          paid in full 30 to 90 days late, or with a deduction worth as much
    full margin          paid in full, at most 30 days late
    ===================  ====================================================================

    of which the last two are good.

    Parameters
    ----------
    markup : float
        R > 0 on cost.
    funding_rate : float
        f > 0 per year, as in the ``ReturnRule``.
    net : bool, default True
        Whether the returns bear the cost of funds already, as those of a ``ReturnRule`` with this
        funding rate do. Funds are then earned from 0 up and goods paid for from −f t/365 up; else
        (a rule without a funding rate) from f t/365 and from 0 up, and the terms cost nothing at
        the upper end: R − f x/365.
    terms_days : float, default 30
        t > 0, the days from invoice to due date that are financed in any case.
    days : sequence of float, default (30, 90)
        x, days past due, increasing, at least one.

    Returns
    -------
    ReturnIntervals
        Intervals between those for one of the days more are called "up to 60 days late" and so on.
        Total losses with the cost of their funds lie below −1: count them in with
        ``outside="clip"``.

    Raises
    ------
    ModelError
        For arguments out of range, or when a sale paid so late earns no more than its funds cost.

    Examples
    --------
    >>> found = cost_of_funds_edges(0.25, 0.08)
    >>> found.edges.round(4)
    array([-1.    , -0.0066,  0.    ,  0.2237,  0.2368,  0.25  ])
    >>> found.names
    ('loss', 'below cost of funds', 'late', 'nearly full', 'full margin')
    >>> cost_of_funds_edges(0.25, 0.08, net=False).edges.round(4)
    array([-1.    ,  0.    ,  0.0066,  0.2303,  0.2434,  0.25  ])
    """
    _check_markup(markup)
    late = _checked_days(funding_rate, terms_days, days, first_above_zero=not net)
    terms = funding_rate * terms_days / _DAYS_PER_YEAR
    goods, funds, full = (-terms, 0.0, markup - terms) if net else (0.0, terms, markup)
    upper = full - funding_rate * late[::-1] / _DAYS_PER_YEAR
    if goods <= _TOTAL_LOSS or upper[0] <= funds:
        raise ModelError(
            f"with a markup of {markup:g}, funds at {funding_rate:g} a year and terms of "
            f"{terms_days:g} days, a sale paid {late[-1]:g} days late leaves {upper[0]:.4g}, not "
            f"above {funds:.4g}, where the cost of funds is earned; give fewer days"
        )
    between = [f"up to {day:g} days late" for day in late[:0:-1]]
    if len(between) == 1:
        between = ["nearly full"]
    names = [_LOSS, _BELOW_FUNDS, "late", *between, "full margin"]
    edges = [_TOTAL_LOSS, goods, funds, *upper.tolist(), markup]
    return ReturnIntervals(edges, good_from=3, names=names)


def _zones(markup: float, cost_of_funds: float) -> tuple[Vector, list[str]]:
    """Where each word begins, and the words: one more, since the first has no beginning."""
    begun = [(part * markup, word) for part, word in _WORDS_OF_MARKUP]
    if cost_of_funds > 0:
        # The margin's words begin where funds are earned; those wholly below it are not used.
        (_, thin), *others = begun
        above = [(start, word) for start, word in others if start > cost_of_funds]
        below = [word for start, word in others if start <= cost_of_funds]
        begun = [(0.0, _BELOW_FUNDS), (cost_of_funds, below[-1] if below else thin), *above]
    starts = np.array([start for start, _ in begun])
    return starts, [_LOSS, *(word for _, word in begun)]


def _named(edges: Vector, markup: float, good_above: float) -> ReturnIntervals:
    if not np.isfinite(good_above):
        raise ModelError(f"good_above is {good_above}; expected a finite return, such as 0")
    begins_good = edges[:-1] >= good_above - _SAME
    begins_good[-1] = True
    good_from = int(np.argmax(begins_good))
    return ReturnIntervals(edges, good_from, names_by_meaning(edges, markup))


def _pooled(returns: ArrayLike) -> Vector:
    """Return all returns in order."""
    r = np.asarray(returns, dtype=np.float64).ravel()
    r = r[~np.isnan(r)]
    if r.size == 0:
        raise DataError("there are no returns to take quantiles of; give a panel with sales")
    if np.isinf(r).any():
        raise DataError(
            f"{int(np.isinf(r).sum()):,} returns are infinite; a return is a finite part of the "
            "cost: mend the panel"
        )
    r.sort()
    return r


def _distinct(pooled: Vector) -> NDArray[np.intp]:
    """Where each distinct value begins among the sorted returns."""
    gap = np.diff(pooled, prepend=-np.inf) > _DISTINCT
    first = np.flatnonzero(gap)
    run = np.cumsum(gap) - 1
    last = np.append(first[1:], pooled.size) - 1
    # A dense run is divided where a cell begins, well away from its ends, so that returns lie on
    # both sides of every division.
    next_cell = np.diff(np.floor(pooled / _CELL), prepend=-np.inf) > 0
    inside = (pooled - pooled[first][run] >= _CELL) & (pooled[last][run] - pooled >= _CELL)
    return np.flatnonzero(gap | (next_cell & inside))


def _top(pooled: Vector, markup: float | None) -> float:
    largest = float(pooled[-1])
    if markup is None:
        _check_markup(largest, "the largest return, where the scale would end,")
        return largest
    _check_markup(markup)
    if largest > markup + _SAME:
        raise DataError(
            f"the largest return is {largest:g}, above the markup of {markup:g}; give the largest "
            "markup in the panel, or leave it out"
        )
    return markup


def _cuts(counts: NDArray[np.intp], n: int) -> list[int]:
    """Divide distinct values into n runs of about the same number of returns.

    Returns the position at which each run but the first begins. Values at the upper end that are
    more than their part each take an interval first, so that payment in full does not use up the
    intervals of the others; what is left is cut from below, each time at the nearest to an equal
    part of what remains, leaving a value for each interval to come.
    """
    reached = np.concatenate([[0], np.cumsum(counts)])
    end, left, peeled = counts.size, n, []
    while left > 1 and counts[end - 1] * left >= reached[end]:
        end, left = end - 1, left - 1
        peeled.append(end)
    cuts: list[int] = []
    begin = 0
    for remaining in range(left, 1, -1):
        aim = reached[begin] + (reached[end] - reached[begin]) / remaining
        first, last = begin + 1, end - remaining + 1
        at = int(np.clip(np.searchsorted(reached, aim), first, last))
        if at > first and aim - reached[at - 1] <= reached[at] - aim:
            at -= 1
        cuts.append(at)
        begin = at
    return cuts + peeled[::-1]


def _roundest(low: float, high: float) -> float:
    """Return the number of fewest decimals well between two values.

    >>> _roundest(-0.3, 0.17), _roundest(0.2349, 0.2391), _roundest(0.2471, 0.25)
    (0.0, 0.237, 0.249)
    """
    middle = (low + high) / 2
    room = (high - low) / 4  # a quarter from either: an edge that nearly touches a value is no help
    for digits in range(_DIGITS):
        rounded = round(middle, digits)
        if low + room <= rounded <= high - room:
            return rounded + 0.0
    return middle


def _check_markup(markup: float, what: str = "the markup") -> None:
    if not 0 < markup < np.inf:
        raise ModelError(f"{what} is {markup}; expected a finite number above 0, such as 0.25")


def _check_number(n: int) -> None:
    if isinstance(n, bool) or n != int(n) or n < 1:
        raise ModelError(f"the number of intervals is {n}; expected a whole number of 1 or more")


def _checked_days(
    funding_rate: float, terms_days: float, days: Sequence[float], *, first_above_zero: bool
) -> Vector:
    for what, value in (("the funding rate", funding_rate), ("terms_days", terms_days)):
        if not 0 < value < np.inf:
            raise ModelError(f"{what} is {value}; expected a finite number above 0")
    late = np.array(days, dtype=np.float64)
    if late.ndim != 1 or late.size == 0 or not np.isfinite(late).all():
        raise ModelError(f"days is {days!r}; expected one number of days past due, or more")
    if late[0] < 0 or (np.diff(late) <= 0).any():
        raise ModelError(f"days is {days!r}; expected days past due that increase from 0 or more")
    if first_above_zero and late[0] == 0:
        raise ModelError(
            "days begins with 0, but returns that do not bear the cost of funds reach the markup "
            "when paid on the due date; begin with a day past due"
        )
    return late
