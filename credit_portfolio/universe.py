"""Who takes part in an allocation, and why the others do not."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, listing

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.returns.panel import ReturnPanel

    Vector = NDArray[np.float64]
    Money = pd.Series[float] | pd.DataFrame | dict[str, float]


@dataclass(frozen=True, eq=False, slots=True)
class Universe:
    """All customers that appear anywhere, in one order, and what is known of each.

    Attributes
    ----------
    customers : pandas.Index
        Union of panel, limits, current book and floors, sorted.
    limit : ndarray, shape (n,)
        Money; +inf where no limits are given, 0 for a customer without a statement.
    floor : ndarray, shape (n,)
        Money; 0 by default.
    current : ndarray or None, shape (n,)
        Today's exposure in money.
    judged : ndarray of bool, shape (n,)
        Customers who have a risk and a row of P: those with enough periods, and those who borrow.
    known : ndarray of bool, shape (n,)
        Customers with enough periods.
    eligible : ndarray of bool, shape (n,)
        Judged customers with a limit above 0: they can get a share.
    exclusion : ndarray of str, shape (n,)
        Reason code of those who are not eligible, "" for those who are.
    detail : ndarray of str, shape (n,)
        The sentence that goes with the code.
    findings : tuple of str
    """

    customers: pd.Index[Any]
    limit: Vector
    floor: Vector
    current: Vector | None
    judged: NDArray[np.bool_]
    known: NDArray[np.bool_]
    eligible: NDArray[np.bool_]
    exclusion: NDArray[np.object_]
    detail: NDArray[np.object_]
    findings: tuple[str, ...]


def assemble(
    panel: ReturnPanel,
    limits: Money | None = None,
    current: Money | None = None,
    floors: Money | None = None,
    *,
    borrow: bool = False,
) -> Universe:
    """Match panel, limits, current book and floors by customer id.

    Parameters
    ----------
    panel : ReturnPanel
    limits : Series or DataFrame with a column ``limit``, optional
        Money per customer; of a DataFrame, ``reason`` and ``explanation`` are passed on.
    current : Series or mapping, optional
        Today's exposure per customer, 0 or more.
    floors : Series or mapping, optional
        Least money per customer.
    borrow : bool, default False
        Judge customers with too few periods too: they borrow from their class.

    Raises
    ------
    DataError
        For doubled ids, NaN, infinite or negative money, or limits that share no id with the panel.
    ModelError
        For a floor above its limit, or one on a customer who cannot get a share.
    """
    limit_frame = _limit_frame(limits)
    now = None if current is None else _money("current", current)
    least = _money("floors", floors) if floors is not None else pd.Series(dtype=np.float64)
    customers = panel.customers
    for other in (limit_frame, now, least):
        if other is not None:
            customers = customers.union(other.index)
    customers = customers.rename("customer_id")
    periods = pd.Series(panel.observed, index=panel.customers).reindex(customers).fillna(0)
    known = (periods >= panel.min_periods).to_numpy()
    judged = known | borrow
    n = len(customers)
    exclusion, detail = np.full(n, "", dtype=object), np.full(n, "", dtype=object)
    limit = np.full(n, np.inf)
    if limit_frame is not None:
        _check_overlap(limit_frame.index, panel.customers)
        limit = limit_frame["limit"].reindex(customers).to_numpy(dtype=np.float64)
        _mark_limits(customers, limit_frame, limit, exclusion, detail)
        limit = np.nan_to_num(limit, nan=0.0, posinf=np.inf)
    if not borrow:
        _mark_periods(periods.to_numpy(), panel.min_periods, exclusion, detail)
    eligible = exclusion == ""
    floor = _aligned(least, customers)
    _check_floors(customers, floor, limit, eligible)
    held = None if now is None else _aligned(now, customers)
    return Universe(
        customers=customers,
        limit=limit,
        floor=floor,
        current=held,
        judged=judged,
        known=known,
        eligible=eligible,
        exclusion=exclusion,
        detail=detail,
        findings=_findings(customers, panel, limit_frame, now, eligible, held, borrow=borrow),
    )


def _aligned(money: pd.Series[float], customers: pd.Index[Any]) -> Vector:
    aligned: Vector = np.asarray(money.reindex(customers).fillna(0.0), dtype=np.float64)
    return aligned


def _money(name: str, given: Money) -> pd.Series[float]:
    if isinstance(given, pd.DataFrame):
        if given.shape[1] != 1:
            raise DataError(
                f"{name} is a table with columns {listing(given.columns)}; give one Series of "
                "money indexed by customer_id"
            )
        given = given.iloc[:, 0]
    if not isinstance(given, (pd.Series, Mapping)):
        raise TypeError(
            f"{name} is a {type(given).__name__}; expected a Series or a mapping with a "
            "customer_id for each amount"
        )
    entries: Iterable[tuple[object, object]] = given.items()
    written = [label for label, value in entries if isinstance(value, str)]
    if written:
        raise DataError(
            f"{name} holds something that is not a number: text for {listing(written)}; turn it "
            "into numbers first, so that nobody has to guess the decimal mark"
        )
    try:
        series = pd.Series(given, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(f"{name} holds something that is not a number: {error}") from error
    return _checked(name, series)


def _checked(name: str, series: pd.Series[float]) -> pd.Series[float]:
    series = series.set_axis(pd.Index([str(label) for label in series.index], dtype="str"))
    doubled = series.index[series.index.duplicated()].unique()
    if len(doubled):
        raise DataError(
            f"{name} has customers more than once: {listing(doubled)}; add them up first"
        )
    wrong = series[~(series >= 0) | np.isinf(series)]
    if name == "limits":
        wrong = series[~(series >= 0)]
    if len(wrong):
        raise DataError(
            f"{name} has {len(wrong):,} entries that are not money of 0 or more, the first for "
            f"{wrong.index[0]!r}: {wrong.iloc[0]}; mend or leave out those customers",
            wrong.rename("value").rename_axis("customer_id").reset_index(),
        )
    return series


def _limit_frame(limits: Money | None) -> pd.DataFrame | None:
    if limits is None:
        return None
    if isinstance(limits, pd.DataFrame):
        if "limit" not in limits.columns:
            raise DataError(
                f"limits has columns {listing(limits.columns)}; expected one named 'limit', "
                "indexed by customer_id, as working_asset_limits returns it"
            )
        column = _money("limits", limits["limit"])
        frame = pd.DataFrame({"limit": column})
        for name in ("reason", "explanation"):
            said = limits[name] if name in limits.columns else [""] * len(frame)
            frame[name] = ["" if pd.isna(text) else str(text) for text in said]
        return frame
    return pd.DataFrame({"limit": _money("limits", limits), "reason": "", "explanation": ""})


def _check_overlap(limited: pd.Index[Any], known: pd.Index[Any]) -> None:
    if len(limited.intersection(known)) == 0:
        raise DataError(
            f"no customer has both a limit and a sale: limits name {listing(limited, 3)}, the "
            f"ledger {listing(known, 3)}; check the ids (text, leading zeros, capital letters)"
        )


def _mark_limits(
    customers: pd.Index[Any],
    frame: pd.DataFrame,
    limit: Vector,
    exclusion: NDArray[np.object_],
    detail: NDArray[np.object_],
) -> None:
    missing = np.isnan(limit)
    exclusion[missing] = "excluded: no statement"
    detail[missing] = "there is no statement, and so no limit, for this customer"
    zero = np.flatnonzero(limit == 0)
    known = frame.loc[customers[zero]]
    exclusion[zero] = "excluded: limit 0"
    for i, reason, why in zip(zero, known["reason"], known["explanation"], strict=True):
        said = why or reason
        detail[i] = f"the limit is 0: {said}" if said else "the limit is 0"


def _mark_periods(
    periods: Vector,
    min_periods: int,
    exclusion: NDArray[np.object_],
    detail: NDArray[np.object_],
) -> None:
    for i in np.flatnonzero((periods < min_periods) & (exclusion == "")):
        seen = int(periods[i])
        exclusion[i] = "excluded: too few periods" if seen else "excluded: no sales history"
        detail[i] = (
            f"{seen} mature periods with a sale, at least {min_periods} are needed"
            if seen
            else "no sale in a mature period, so there is no return to judge by"
        )


def _check_floors(
    customers: pd.Index[Any], floor: Vector, limit: Vector, eligible: NDArray[np.bool_]
) -> None:
    barred = (floor > 0) & ~eligible
    if barred.any():
        raise ModelError(
            f"{int(barred.sum()):,} customers have a floor but cannot get a share: "
            f"{listing(customers[barred])}; see their reason in the limits, or drop the floor"
        )
    crossed = floor > limit
    if crossed.any():
        i = int(np.argmax(crossed))
        raise ModelError(
            f"the floor of customer {customers[i]!r} is {floor[i]:,.2f}, above the limit of "
            f"{limit[i]:,.2f} ({int(crossed.sum()):,} such); lower the floor"
        )


def _findings(
    customers: pd.Index[Any],
    panel: ReturnPanel,
    limits: pd.DataFrame | None,
    now: pd.Series[float] | None,
    eligible: NDArray[np.bool_],
    held: Vector | None,
    *,
    borrow: bool,
) -> tuple[str, ...]:
    found: list[str] = list(panel.notes)
    if len(panel.dropped):
        found.append(
            f"periods left out as not yet mature ({len(panel.dropped)}): "
            f"{listing(map(str, panel.dropped['period']))}"
        )
    if len(panel.too_few) and not borrow:
        found.append(
            f"customers with fewer than {panel.min_periods} periods ({len(panel.too_few):,}): "
            f"{listing(panel.too_few)}"
        )
    if limits is not None:
        strangers = limits.index.difference(panel.customers)
        if len(strangers):
            found.append(
                f"statements that belong to no customer of the ledger ({len(strangers):,}): "
                f"{listing(strangers)}"
            )
    if now is not None and held is not None:
        outside = float(held[~eligible].sum())
        if outside > 0:
            found.append(
                f"{outside:,.2f} of today's exposure ({outside / held.sum():.1%}) is with "
                "customers who are excluded from the proposal"
            )
    return tuple(found)
