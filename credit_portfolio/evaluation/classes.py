"""Classes of customers: as prior for small samples, as groups, and as the unit of optimisation.

The model that this package starts from counts customers of the same size. Classes do not: a class
return is weighted by cost, and a class's credit is shared by limit. Only c-means itself counts
every customer once, whatever he buys.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse

from credit_portfolio.errors import DataError, InfeasibleError, ModelError, listing
from credit_portfolio.evaluation.fuzzy import c_means

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]

NO_CLASS = "(none)"

# Sums of n floats are known to n ulps; a class may ask for the sum of its caps all the same.
_ULPS_PER_CUSTOMER = 1.0


@dataclass(frozen=True, eq=False, slots=True)
class CustomerClasses:
    """Which class each customer belongs to.

    Attributes
    ----------
    names : tuple of str
        Distinct, one for each class.
    codes : ndarray of int, shape (n_customers,)
        The class of each customer; where degrees are fuzzy, the one with the largest.
    degrees : ndarray, shape (n_customers, n_classes), optional
        Fuzzy memberships, rows sum to 1. None for crisp classes, of which the codes say all.
    origin : str
    notes : tuple of str
        What a reader has to know: missing labels, samples, empty classes.

    Examples
    --------
    >>> CustomerClasses(("food", "retail"), np.array([0, 1, 1]), None, "by hand").sizes
    array([1, 2])
    """

    names: tuple[str, ...]
    codes: NDArray[np.intp]
    degrees: Matrix | None
    origin: str
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        codes, count = np.asarray(self.codes), len(self.names)
        if len(set(self.names)) != count or not count:
            raise ModelError(f"classes need different names; found {listing(self.names)}")
        if codes.ndim != 1 or codes.dtype.kind not in "iu":
            raise ModelError(
                f"codes have shape {codes.shape} and type {codes.dtype}; expected one whole "
                "number for each customer"
            )
        if codes.size and not (codes.min() >= 0 and codes.max() < count):
            raise ModelError(
                f"codes run from {codes.min()} to {codes.max()}; expected 0 to {count - 1}, as "
                f"there are {count} classes"
            )
        codes = codes.astype(np.intp)
        codes.flags.writeable = False
        object.__setattr__(self, "codes", codes)
        if self.degrees is not None:
            if self.degrees.shape != (codes.size, count):
                raise ModelError(
                    f"degrees has shape {self.degrees.shape}; expected {(codes.size, count)}"
                )
            degrees = self.degrees.view()
            degrees.flags.writeable = False
            object.__setattr__(self, "degrees", degrees)

    @property
    def n_classes(self) -> int:
        """Number of classes, those without customers included."""
        return len(self.names)

    @property
    def sizes(self) -> NDArray[np.intp]:
        """Customers of each class, shape (n_classes,)."""
        return np.bincount(self.codes, minlength=self.n_classes)


@dataclass(frozen=True, eq=False, slots=True)
class ClassPanel:
    """Returns and costs of classes.

    Attributes
    ----------
    values : ndarray, shape (n_periods, n_classes)
        Cost-weighted mean returns; NaN where nobody of the class sold anything.
    costs : ndarray, shape (n_periods, n_classes)
        In money; 0 there.
    names : tuple of str
    """

    values: Matrix
    costs: Matrix
    names: tuple[str, ...]


def classes_by_label(
    labels: pd.Series[Any] | Sequence[object] | NDArray[Any],
    customers: Sequence[object] | pd.Index[Any] | None = None,
    *,
    origin: str | None = None,
) -> CustomerClasses:
    """Take the classes from a column: industry, grade, size.

    Parameters
    ----------
    labels : Series or sequence
        One label for each customer; a missing one becomes the class "(none)", and a note says so.
    customers : sequence, optional
        Ids in the order that is wanted; ``labels`` must then be a Series indexed by them. A
        customer that it does not have counts as without label. Left out, labels are taken in
        their own order.
    origin : str, optional
        For reports; the name of the Series by default.

    Returns
    -------
    CustomerClasses
        In alphabetical order, "(none)" last.

    Raises
    ------
    DataError
        For doubled ids, no customers, or labels that are different things with one text, as 1 and
        "1".

    Examples
    --------
    >>> classes_by_label(["retail", "food", None]).names
    ('food', 'retail', '(none)')
    """
    import pandas as pd

    series = labels if isinstance(labels, pd.Series) else pd.Series(list(labels), dtype=object)
    named = "labels" if series.name is None else f"column {series.name}"
    if customers is not None:
        if not isinstance(labels, pd.Series):
            raise TypeError(
                f"labels is a {type(labels).__name__}; expected a Series indexed by customer_id, "
                "as customers are given"
            )
        doubled = series.index[series.index.duplicated()].unique()
        if len(doubled):
            raise DataError(
                f"labels have customers more than once: {listing(doubled)}; keep one label each"
            )
        series = series.reindex(pd.Index(customers))
    if not len(series):
        raise DataError("there are no labels; expected one for each customer")
    codes, found = pd.factorize(series.astype(object))
    texts = [str(label) for label in found]
    names = sorted(set(texts) - {NO_CLASS})
    if len(set(texts)) < len(texts):
        twice = sorted({text for text in texts if texts.count(text) > 1})
        raise DataError(
            f"different labels have the same text: {listing(twice)}, as the number 1 and the text "
            "'1'; make them one type"
        )
    missing = int((codes < 0).sum())
    if missing or NO_CLASS in texts:
        names.append(NO_CLASS)
    place = {name: position for position, name in enumerate(names)}
    # The last place is found by −1, pandas' code for what is missing.
    moved = np.array([*(place[text] for text in texts), place.get(NO_CLASS, -1)], dtype=np.intp)
    notes = (
        (f"{missing:,} of {len(series):,} customers have no label; they are class {NO_CLASS!r}",)
        if missing
        else ()
    )
    return CustomerClasses(
        tuple(names), moved[codes], None, named if origin is None else origin, notes
    )


def classes_by_profile(
    rows: Matrix,
    n_classes: int,
    centres: ArrayLike,
    *,
    fuzziness: float = 2.0,
    seed: int = 0,
    starts: int = 6,
) -> CustomerClasses:
    """Group customers by fuzzy c-means on their rows of the smoothed evaluation matrix.

    Every customer counts once, whatever he buys: this is where customers are taken to be of the
    same size.

    Parameters
    ----------
    rows : ndarray, shape (n_customers, n_intervals)
        Smoothed, since unsmoothed rows of few periods are grouped by luck.
    n_classes : int
        At least 2.
    centres : array_like, shape (n_intervals,)
        The return that stands for each interval; classes are numbered by their mean return, the
        worst first.
    fuzziness : float, default 2
    seed, starts : int

    Returns
    -------
    CustomerClasses

    Raises
    ------
    ModelError
        For fewer different rows than classes, or arguments that do not fit.

    Examples
    --------
    >>> rows = np.array([[0.9, 0.1], [0.8, 0.2], [0.0, 1.0], [0.1, 0.9]])
    >>> found = classes_by_profile(rows, 2, [-0.5, 0.2])
    >>> found.names, found.codes    # doctest: +NORMALIZE_WHITESPACE
    (('profile 1', 'profile 2'), array([0, 0, 1, 1]))
    """
    returns = np.asarray(centres, dtype=np.float64)
    if rows.ndim != 2 or returns.shape != (rows.shape[1],):
        raise ModelError(
            f"rows has shape {rows.shape} and centres {returns.shape}; expected (n_customers, "
            "n_intervals) and (n_intervals,)"
        )
    if not (np.isfinite(rows).all() and np.isfinite(returns).all()):
        raise DataError("rows and centres must be finite numbers; customers need a row each")
    found = c_means(rows, n_classes, fuzziness=fuzziness, seed=seed, starts=starts)
    means = found.centres @ returns
    order = np.argsort(means, kind="stable")
    degrees = np.ascontiguousarray(found.degrees[:, order])
    names = tuple(f"profile {position + 1}" for position in range(n_classes))
    codes = degrees.argmax(axis=1)
    notes = []
    if found.fitted < len(rows):
        notes.append(
            f"the centres were fitted on {found.fitted:,} of {len(rows):,} customers, drawn with "
            f"seed {seed}"
        )
    if not found.settled:
        notes.append("c-means ran out of steps before the memberships stopped moving")
    told = (f"{name} {100 * mean:.3g} %" for name, mean in zip(names, means[order], strict=True))
    notes.append(f"mean returns: {', '.join(told)}")
    empty = np.flatnonzero(np.bincount(codes, minlength=n_classes) == 0)
    if empty.size:
        notes.append(
            f"nobody belongs mostly to {listing([names[c] for c in empty])}; ask for fewer classes"
        )
    return CustomerClasses(names, codes, degrees, f"c-means of {n_classes} profiles", tuple(notes))


def class_panel(returns: Matrix, costs: Matrix, classes: CustomerClasses) -> ClassPanel:
    """Add up customers' returns by class: Σ cost · return / Σ cost.

    Parameters
    ----------
    returns : ndarray, shape (n_periods, n_customers)
        NaN where a customer had no sale.
    costs : ndarray, shape (n_periods, n_customers)
        Cost of the sales, above 0 where there is a return.

    Raises
    ------
    DataError
        For shapes that do not fit, or a return whose sale has no cost.

    Examples
    --------
    >>> classes = CustomerClasses(("A",), np.array([0, 0]), None, "by hand")
    >>> panel = class_panel(np.array([[0.1, 0.4], [np.nan, 0.2]]), np.array([[2, 1], [0, 1]]),
    ...                     classes)
    >>> panel.values.ravel().round(3), panel.costs.ravel()
    (array([0.2, 0.2]), array([3., 1.]))
    """
    if returns.shape != costs.shape or returns.ndim != 2 or returns.shape[1] != classes.codes.size:
        raise DataError(
            f"returns has shape {returns.shape} and costs {costs.shape} for {classes.codes.size:,} "
            "customers; expected (n_periods, n_customers) of both"
        )
    sold = ~np.isnan(returns)
    # Written so that a cost of NaN fails too.
    wrong = sold & ~((costs > 0) & np.isfinite(costs) & np.isfinite(returns))
    if wrong.any():
        t, i = np.argwhere(wrong)[0]
        raise DataError(
            f"period {t}, customer {i} has the return {returns[t, i]} on sales of cost "
            f"{costs[t, i]} ({int(wrong.sum()):,} such cells); expected a finite return and a "
            "cost above 0, which weighs it"
        )
    weight = np.where(sold, costs, 0.0)
    rows = class_rows(classes)
    total: Matrix = (rows @ weight.T).T
    profit: Matrix = (rows @ (weight * np.where(sold, returns, 0.0)).T).T
    values = np.where(total > 0, profit / np.where(total > 0, total, 1.0), np.nan)
    return ClassPanel(values, np.ascontiguousarray(total), classes.names)


def class_rows(classes: CustomerClasses) -> sparse.csr_array[np.float64, tuple[int, int]]:
    """Return the rows of class sums for the program: 1 where the customer is of the class.

    Returns
    -------
    sparse array, shape (n_classes, n_customers)

    Examples
    --------
    >>> class_rows(CustomerClasses(("A", "B"), np.array([1, 0]), None, "by hand")).toarray()
    array([[0., 1.],
           [1., 0.]])
    """
    n = classes.codes.size
    columns = np.argsort(classes.codes, kind="stable")
    starts = np.concatenate([[0], np.cumsum(classes.sizes)])
    return sparse.csr_array((np.ones(n), columns, starts), shape=(classes.n_classes, n))


def share_by_limit(
    class_amounts: ArrayLike,
    limits: ArrayLike,
    classes: CustomerClasses,
    *,
    floors: ArrayLike | None = None,
    caps: ArrayLike | None = None,
) -> Vector:
    """Share each class's credit among its customers in proportion to their limits.

    x_i = min(max(λ_c L_i, floor_i), cap_i), with λ_c such that the class's total is met: where a
    floor or cap binds, the rest is shared among the others by limit again (water filling).

    Parameters
    ----------
    class_amounts : array_like, shape (n_classes,)
        Credit of each class, in money.
    limits : array_like, shape (n_customers,)
        L_i, finite; also the most that a customer gets.
    classes : CustomerClasses
    floors, caps : array_like, shape (n_customers,), optional
        Least and most of each customer, in money; the limit is the most in any case.

    Returns
    -------
    ndarray, shape (n_customers,)
        Money; each class adds up to its amount but for the rounding of its sum.

    Raises
    ------
    InfeasibleError
        When a class has credit but no limit to share it by, more than its caps can take, or less
        than its floors.
    ModelError
        For a floor above its cap, amounts that are negative or not finite, or shapes that do not
        fit.

    Examples
    --------
    >>> classes = CustomerClasses(("A",), np.array([0, 0, 0]), None, "by hand")
    >>> share_by_limit([60.0], [100.0, 50.0, 50.0], classes, caps=[20.0, 50.0, 50.0])
    array([20., 20., 20.])
    """
    n = classes.codes.size
    amounts = _money("class_amounts", class_amounts, classes.n_classes)
    weight = _money("limits", limits, n)
    low = np.zeros(n) if floors is None else _money("floors", floors, n)
    high = weight if caps is None else np.minimum(weight, _money("caps", caps, n, infinite=True))
    crossed = np.flatnonzero(low > high)
    if crossed.size:
        i = int(crossed[0])
        raise ModelError(
            f"the floor of customer {i} is {low[i]:,.2f}, above his limit or cap of {high[i]:,.2f} "
            f"({crossed.size:,} such); lower the floor"
        )
    shared = np.zeros(n)
    order = np.argsort(classes.codes, kind="stable")
    ends = np.cumsum(classes.sizes)
    for c, (start, end) in enumerate(zip(ends - classes.sizes, ends, strict=True)):
        inside = order[start:end]
        _check_class(classes.names[c], float(amounts[c]), weight[inside], low[inside], high[inside])
        shared[inside] = _filled(float(amounts[c]), weight[inside], low[inside], high[inside])
    return shared


def _filled(amount: float, weight: Vector, low: Vector, high: Vector) -> Vector:
    """Fill to one level: the sum of min(max(λ L, low), high) is piecewise linear in λ."""
    some = weight > 0
    safe = np.where(some, weight, 1.0)
    if not some.any():
        return np.zeros(weight.size)
    # From low/L on a customer's amount grows by L per unit of λ, until high/L.
    level = np.concatenate([(low / safe)[some], (high / safe)[some]])
    slope = np.concatenate([weight[some], -weight[some]])
    order = np.argsort(level, kind="stable")
    level, slope = level[order], np.cumsum(slope[order])
    reached = low.sum() + np.concatenate([[0.0], np.cumsum(slope[:-1] * np.diff(level))])
    at = int(np.clip(np.searchsorted(reached, amount), 1, level.size - 1))
    growth = slope[at - 1]
    found = level[at - 1] + ((amount - reached[at - 1]) / growth if growth > 0 else 0.0)
    # Where the sum of slopes is 0 but for rounding, the quotient may leave its segment.
    found = np.clip(found, level[at - 1], level[at])
    filled: Vector = np.clip(found * weight, low, high)
    return _exact(filled, amount, weight, low, high)


def _exact(filled: Vector, amount: float, weight: Vector, low: Vector, high: Vector) -> Vector:
    """Spread the rounding of the sums over those with room, by limit; it is some ulps of them."""
    rest = amount - float(filled.sum())
    open_ = (filled < high) if rest > 0 else (filled > low)
    if rest == 0 or not weight[open_].any():
        return filled
    filled = filled.copy()
    filled[open_] += rest * (weight[open_] / weight[open_].sum())
    return np.clip(filled, low, high)


def _check_class(name: str, amount: float, weight: Vector, low: Vector, high: Vector) -> None:
    if amount > 0 and not weight.any():
        raise InfeasibleError(
            f"class {name!r} has credit of {amount:,.2f} and "
            + (f"{weight.size:,} customers without any limit" if weight.size else "no customer")
            + " to share it by; give limits, or take the credit from the class",
            conflict=(name,),
            shortfall=amount,
        )
    most, least = float(high.sum()), float(low.sum())
    slack = _ULPS_PER_CUSTOMER * weight.size * np.spacing(max(most, amount))
    if amount > most + slack:
        raise InfeasibleError(
            f"class {name!r} has credit of {amount:,.2f}, {amount - most:,.2f} above what its "
            f"{weight.size:,} customers may owe together, {most:,.2f}; cap the class at that, or "
            "raise limits",
            conflict=(name, "limits"),
            shortfall=amount - most,
        )
    if amount < least - slack:
        raise InfeasibleError(
            f"class {name!r} has credit of {amount:,.2f}, {least - amount:,.2f} below the floors "
            f"of its {weight.size:,} customers, {least:,.2f}; lower floors, or give it more",
            conflict=(name, "floors"),
            shortfall=least - amount,
        )


def _money(name: str, given: ArrayLike, size: int, *, infinite: bool = False) -> Vector:
    money = np.asarray(given, dtype=np.float64)
    if money.shape != (size,):
        raise ModelError(f"{name} has shape {money.shape}; expected ({size},)")
    wrong = np.flatnonzero(~((money >= 0) & (infinite | np.isfinite(money))))
    if wrong.size:
        i = int(wrong[0])
        raise ModelError(
            f"{name} has {money[i]} at position {i} ({wrong.size:,} such); expected finite money "
            "of 0 or more" + ("; credit cannot be shared by it" if name == "limits" else "")
        )
    return money
