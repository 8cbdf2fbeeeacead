"""Receivables indicators: how long money is out, how much of it is late, lost, disputed.

Stocks (open, not due, over 90 days) are those of the ledger's day. Flows (sales, collections,
write-offs) are those of a window of ``days`` days that ends on it, both as the ledger's positions
tell them, so that

    open at the end = open at the beginning + sales − collected − written off

holds to the last digit; in a ledger of entries, credit notes and discounts take their part too.
All sums run in the engine on exact decimals; what leaves it is one row a
group, and only ratios are floats. A ratio of nothing is NaN: no sales in the window, nothing open,
nothing paid. It is never 0 and never infinite.

What can be known of the past: a row an invoice has one settled date, so the position on an earlier
day is exact as far as that date goes, and part payments before it are not seen; a ledger of entries
has each payment's day. Days to pay count from the date on which the invoice was settled. The
dispute flag of an invoice has no date: it is that of the ledger's day on every earlier day. An
invoice from before the ledger's first one is not there at all, so a window never reaches further
back than that first invoice, and the column ``days`` says how long it is.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import Ledger, frame_of, positions_on

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.ledger.source import Expression, Table

    Vector = NDArray[np.float64]

TOTAL = "total"
"""Index of the row over all invoices, where no column is asked for."""

_LATE_DAYS = 90
_MONEY_BASES = ("open", "amount")


@dataclass(frozen=True, slots=True)
class Indicator:
    """What one column of :func:`indicators` says.

    Parameters
    ----------
    name, label : str
        The column, and its name for readers.
    unit : str
        "money", "days", "count", "number", "share" (a fraction) or "index" (100 is best).
    formula : str
        In words; window means the days of the column ``days``.
    """

    name: str
    label: str
    unit: str
    formula: str


INDICATORS: tuple[Indicator, ...] = (
    Indicator("days", "window", "count", "days of sales, payments and write-offs below"),
    Indicator("open", "open", "money", "not yet collected or written off"),
    Indicator("share", "share of all open money", "share", "open / open of the ledger"),
    Indicator("not_due", "not yet due", "money", "open, due on the day or later"),
    Indicator("over_90_share", "over 90 days past due", "share", "part of open"),
    Indicator("sales", "sales", "money", "invoiced in the window"),
    Indicator("collected", "collected", "money", "in the window"),
    Indicator("written_off", "written off", "money", "in the window"),
    Indicator("days_sales_outstanding", "days sales outstanding", "days", "open × window / sales"),
    Indicator("best_possible_days", "best possible", "days", "not yet due × window / sales"),
    Indicator("average_days_delinquent", "average days delinquent", "days", "the two's difference"),
    Indicator("countback_days", "countback", "days", "open against the latest months"),
    Indicator("days_to_pay", "days to pay", "days", "paid − invoiced, by money paid"),
    Indicator("days_beyond_terms", "days beyond terms", "days", "paid − due, by money paid"),
    Indicator(
        "collection_effectiveness",
        "collection effectiveness",
        "index",
        "100: nothing overdue is left",
    ),
    Indicator("bad_debt_ratio", "bad-debt ratio", "share", "written off / sales"),
    Indicator("dispute_rate", "dispute rate", "share", "disputed sales / sales"),
    Indicator("customers_owing", "customers who owe", "count", "with money open"),
    Indicator("largest_share", "largest customer", "share", "part of open"),
    Indicator("top_10_share", "ten largest customers", "share", "part of open"),
    Indicator("effective_customers", "effective customers", "number", "1 / Σ share²"),
)
"""The columns of :func:`indicators`, in their order."""


def indicators(
    ledger: Ledger,
    by: str | None = None,
    over: int | None = None,
    *,
    days: int = 90,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Return all indicators in one table.

    Parameters
    ----------
    ledger : Ledger
        Its ``as_of`` is the day of the picture.
    by : str, optional
        ``customer_id``, ``disputed`` or a grouping column: one row a value, sorted, a blank under
        the empty name. None for one row ``total``.
    over : int, optional
        That many days of the past: ``as_of`` and the month ends before it. The index is then the
        day, or the value of ``by`` and the day; a value has no row before its first invoice.
    days : int, default 90
        Length of the window of sales, payments and write-offs that ends on the day.
    progress : callable, optional
        Called with days done and days to do.

    Returns
    -------
    pandas.DataFrame
        The columns of :data:`INDICATORS`: money in the ledger's currency, days, and fractions as
        float64. By ``customer_id`` the last four, about how open money spreads over customers, are
        left out.

    Raises
    ------
    ModelError
        For an unknown column, or ``days`` or ``over`` below 1.

    Examples
    --------
    >>> import pandas as pd
    >>> from credit_portfolio.ledger.source import open_ledger
    >>> rows = pd.DataFrame({
    ...     "customer_id": ["A", "A", "B"], "invoice_id": ["1", "2", "3"],
    ...     "invoice_date": ["2024-01-02", "2024-02-01", "2024-03-15"],
    ...     "due_date": ["2024-02-01", "2024-03-02", "2024-04-14"],
    ...     "amount": [18_000, 9_000, 3_000], "settled_date": ["2024-02-11", None, None]})
    >>> table = indicators(open_ledger(rows, as_of="2024-03-31"))
    >>> table.loc["total", ["days_sales_outstanding", "best_possible_days"]].to_list()
    [36.0, 9.0]
    >>> float(table.loc["total", "days_beyond_terms"])
    10.0
    """
    _check(ledger, by, days=days, over=over)
    first = _first_day(ledger)
    if over is None:
        return _table(ledger, by, days, first)
    ends = past_days(ledger, over)
    parts: dict[Any, pd.DataFrame] = {}
    for done, day in enumerate(ends):
        if progress is not None:
            progress(done, len(ends))
        parts[pd.Timestamp(day)] = _table(ledger_on(ledger, day, first), by, days, first)
    if progress is not None:
        progress(len(ends), len(ends))
    if by is None:
        series = pd.concat([part.iloc[0].rename(day) for day, part in parts.items()], axis=1)
        return series.T.rename_axis("day")
    joined = pd.concat(parts, names=["day", by]).swaplevel().sort_index()
    result: pd.DataFrame = joined
    return result


def _table(ledger: Ledger, by: str | None, days: int, first: dt.date) -> pd.DataFrame:
    """Return the table on the ledger's own day."""
    sums = _sums(ledger, by, days, first)
    table = pd.DataFrame({name: formula(sums) for name, formula in _FORMULAS.items()})
    table["countback_days"] = _countback(ledger, by).reindex(table.index)
    if by != "customer_id":
        spread = concentration(ledger, within=by, top=(1, 10)).reindex(table.index)
        table["customers_owing"] = spread["n"].fillna(0.0)
        table["largest_share"] = spread["top_1"]
        table["top_10_share"] = spread["top_10"]
        table["effective_customers"] = spread["effective_number"]
    return table[[i.name for i in INDICATORS if i.name in table]]


# --- one function an indicator ------------------------------------------------------------------


def days_sales_outstanding(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return DSO: open money × days / credit sales of these days.

    Parameters
    ----------
    ledger : Ledger
    by : str, optional
        As in :func:`indicators`.
    days : int, default 90
        Length of the window; shorter where the ledger begins later.

    Returns
    -------
    pandas.Series
        Days, by the values of ``by``; NaN without sales in the window: money is open, but no rate
        of sale measures how long.

    References
    ----------
    Oracle JD Edwards and bizcreditpolicy: 12,000 × 90 / 30,000 = 36.
    """
    return _one("days_sales_outstanding", ledger, by, days)


def best_possible_days(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return best possible DSO: open money that is not yet due × days / credit sales.

    Days; what DSO would be if nothing were late. Arguments and NaN as in
    :func:`days_sales_outstanding`. Source: eCredit.
    """
    return _one("best_possible_days", ledger, by, days)


def average_days_delinquent(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return ADD: DSO less best possible DSO, the days that late payment adds.

    Days. Arguments and NaN as in :func:`days_sales_outstanding`. Source: eCredit.
    """
    return _one("average_days_delinquent", ledger, by, days)


def countback_days(ledger: Ledger, by: str | None = None) -> pd.Series:
    """Return countback DSO: use open money up against the sales of the latest months.

    While more is open than the month sold, the month counts with all its days (the month of
    ``as_of`` with those up to it) and its sales are taken off; the last month counts in proportion.
    A month without sales counts with all its days, so growth and seasons do not bend the figure as
    they bend DSO.

    Parameters
    ----------
    ledger : Ledger
    by : str, optional
        As in :func:`indicators`.

    Returns
    -------
    pandas.Series
        Days; 0 where nothing is open. It is never undefined: open money is part of some sale.
    """
    _check(ledger, by)
    return _countback(ledger, by)


def days_to_pay(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return Σ (settled − invoiced) × collected / Σ collected, of what was settled in the window.

    Days, weighted by money; write-offs have no weight, open invoices are not in it yet (read it
    beside DSO, which has them). Arguments as in :func:`days_sales_outstanding`; NaN where nothing
    was collected. Source: eCredit.
    """
    return _one("days_to_pay", ledger, by, days)


def days_beyond_terms(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return DBT: Σ (settled − due) × collected / Σ collected, of what was settled in the window.

    Days, weighted by money; below 0 when paid early. Arguments and NaN as in :func:`days_to_pay`.
    Source: eCredit.
    """
    return _one("days_beyond_terms", ledger, by, days)


def collection_effectiveness(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return CEI: of the money that could have been collected in the window, how much is gone.

    (open before + sales − open now) / (open before + sales − not due now) × 100, so 100 when
    nothing overdue is left. The numerator is what was collected and what was written off: a
    write-off flatters it, so read it beside the bad-debt ratio.

    Arguments as in :func:`days_sales_outstanding`; NaN where nothing could have been collected.
    Source: eCredit.
    """
    return _one("collection_effectiveness", ledger, by, days)


def bad_debt_ratio(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return money written off in the window / sales of the window.

    A fraction; above 1 when old sales go bad while new ones dry up. A write-off without a date
    counts on the day of its invoice. Arguments and NaN as in :func:`days_sales_outstanding`.
    """
    return _one("bad_debt_ratio", ledger, by, days)


def dispute_rate(ledger: Ledger, by: str | None = None, *, days: int = 90) -> pd.Series:
    """Return disputed sales of the window / sales of the window.

    A fraction of money. The flag has no date: it is what the ledger says today, also for a past
    window. Arguments and NaN as in :func:`days_sales_outstanding`.
    """
    return _one("dispute_rate", ledger, by, days)


def over_90_share(ledger: Ledger, by: str | None = None) -> pd.Series:
    """Return the part of open money that is more than 90 days past due.

    A fraction; NaN where nothing is open.
    """
    return _one("over_90_share", ledger, by, _LATE_DAYS)


def _one(name: str, ledger: Ledger, by: str | None, days: int) -> pd.Series:
    _check(ledger, by, days=days)
    sums = _sums(ledger, by, days, _first_day(ledger))
    return pd.Series(_FORMULAS[name](sums), index=sums.index, name=name, dtype="float64")


def _ratio(above: ArrayLike, below: ArrayLike) -> Vector:
    """Divide; over 0 it is NaN."""
    numerator, denominator = np.asarray(above, np.float64), np.asarray(below, np.float64)
    empty = np.full(numerator.shape, np.nan)
    quotient: Vector = np.divide(numerator, denominator, out=empty, where=denominator != 0)
    return quotient


_FORMULAS: Mapping[str, Callable[[pd.DataFrame], Any]] = {
    "days": lambda s: s["days"],
    "open": lambda s: s["open"],
    "share": lambda s: _ratio(s["open"], np.full(len(s), s["open"].sum())),
    "not_due": lambda s: s["not_due"],
    "over_90_share": lambda s: _ratio(s["over_90"], s["open"]),
    "sales": lambda s: s["sales"],
    "collected": lambda s: s["collected"],
    "written_off": lambda s: s["written_off"],
    "days_sales_outstanding": lambda s: _ratio(s["open"] * s["days"], s["sales"]),
    "best_possible_days": lambda s: _ratio(s["not_due"] * s["days"], s["sales"]),
    "average_days_delinquent": lambda s: _ratio(s["overdue"] * s["days"], s["sales"]),
    "days_to_pay": lambda s: _ratio(s["paid_days"], s["paid"]),
    "days_beyond_terms": lambda s: _ratio(s["late_days"], s["paid"]),
    "collection_effectiveness": lambda s: 100 * _ratio(s["gone"], s["collectable"]),
    "bad_debt_ratio": lambda s: _ratio(s["written_off"], s["sales"]),
    "dispute_rate": lambda s: _ratio(s["disputed"], s["sales"]),
}


# --- sums in the engine -------------------------------------------------------------------------


def ledger_on(ledger: Ledger, day: dt.date, first: dt.date) -> Ledger:
    """Return the invoices as they were known on an earlier day; counts and quality stay."""
    if day == ledger.as_of:
        return ledger
    if day < first:
        t = ledger.invoices
        return replace(ledger, invoices=t.filter(t.invoice_date <= day), as_of=day)
    if type(ledger).on is Ledger.on:  # the same picture without its counts, which nobody reads here
        invoices = positions_on(ledger.accepted, day, ledger.groups)
        return replace(ledger, invoices=invoices, as_of=day)
    return ledger.on(day)


def past_days(ledger: Ledger, months: int) -> list[dt.date]:
    """Return ``as_of`` and the month ends before it, the latest so many, none without invoices."""
    first = _first_day(ledger)
    found = [ledger.as_of]
    while len(found) < months:
        month_end = found[-1].replace(day=1) - dt.timedelta(days=1)
        if month_end < first:
            break
        found.append(month_end)
    return found[::-1]


def _first_day(ledger: Ledger) -> dt.date:
    dates = frame_of(ledger.invoices.aggregate(first=ledger.invoices.invoice_date.min()))
    first: dt.date | None = dates["first"].iloc[0]
    return ledger.as_of if first is None else first


def _key(table: Table, by: str) -> Expression:
    """Return the column, a blank in text as the empty name, as ``Ledger.ageing`` has it."""
    return table[by].fill_null("") if table[by].type().is_string() else table[by]


def _gather(table: Table, by: str | None, sums: Mapping[str, Expression]) -> pd.DataFrame:
    """Run one aggregation; a sum over no rows is 0."""
    sums = {name: total.fill_null(0) for name, total in sums.items()}
    if by is None:
        frame = frame_of(table.aggregate(**sums))
        frame.index = pd.Index([TOTAL])
    else:
        frame = frame_of(table.group_by(key=_key(table, by)).aggregate(**sums))
        frame = frame.set_index("key").sort_index().rename_axis(by)
    return frame


def _sums(ledger: Ledger, by: str | None, days: int, first: dt.date) -> pd.DataFrame:
    """Return what the formulas need, float64; differences are taken on exact decimals."""
    begin = max(_before(ledger.as_of, days), _before(first, 1))
    s = _gather(ledger.invoices, by, _sums_at_end(ledger.invoices, ledger.as_of, begin))
    ledger.check(open=Decimal(s["open"].sum()))
    t = ledger_on(ledger, begin, first).invoices
    nothing: Any = Decimal(0)
    before = _gather(
        t, by, {name: t[name].sum() for name in ("open", "collected", "written_off")}
    ).reindex(s.index, fill_value=nothing)
    for name in ("collected", "written_off"):
        s[name] = s[name] - before[name]
    s["overdue"] = s["open"] - s["not_due"]
    s["gone"] = before["open"] + s["sales"] - s["open"]
    s["collectable"] = before["open"] + s["sales"] - s["not_due"]
    s["days"] = (ledger.as_of - begin).days
    return s.astype("float64")


def _sums_at_end(t: Table, day: dt.date, begin: dt.date) -> dict[str, Expression]:
    new = t.invoice_date > begin
    paid = (t.settled_date > begin).fill_null(False).ifelse(t.collected, 0)
    return {
        "open": t.open.sum(),
        "not_due": (t.due_date >= day).ifelse(t.open, 0).sum(),
        "over_90": _float((t.due_date < _before(day, _LATE_DAYS)).ifelse(t.open, 0)),
        "collected": t.collected.sum(),
        "written_off": t.written_off.sum(),
        "sales": new.ifelse(t.amount, 0).sum(),
        "disputed": _float((new & t.disputed).ifelse(t.amount, 0)),
        "paid": _float(paid),
        "paid_days": _float(paid * _days(t.invoice_date, t.settled_date)),
        "late_days": _float(paid * _days(t.due_date, t.settled_date)),
    }


def _float(money: Expression) -> Expression:
    """Add up exactly, hand over as float: of these sums no difference is taken."""
    return money.sum().cast("float64")


def _days(start: Expression, until: Expression) -> Expression:
    # As int32: a decimal times a wider integer needs more digits than engines give a decimal.
    return until.delta(start, unit="day").cast("int32")


def _before(day: dt.date, days: int) -> dt.date:
    """Return an earlier day, no earlier than the calendar begins."""
    return dt.date.fromordinal(max(day.toordinal() - days, 1))


def _countback(ledger: Ledger, by: str | None) -> pd.Series:
    """Find, in the engine, the month in which the sales from the latest on reach the open money."""
    t = ledger.invoices
    month = t.invoice_date.truncate("M")
    keys = {"month": month} if by is None else {"key": _key(t, by), "month": month}
    cells = t.group_by(**keys).aggregate(sales=t.amount.sum(), open=t.open.sum())
    own = [] if by is None else ["key"]
    latest_first = {"order_by": cells.month.desc(), "rows": (None, 0)}
    cells = cells.mutate(
        owed=cells.open.sum().over(group_by=own),
        sold=cells.sales.sum().over(group_by=own, **latest_first),
    )
    newer = cells.sold - cells.sales
    # Where nothing is open, the latest month with sales stands for 0 days.
    reached = (cells.sold >= cells.owed) & (newer < cells.owed)
    found = frame_of(
        cells.filter(reached | ((cells.owed == 0) & (newer == 0))).select(
            *own,
            "month",
            used=(cells.owed - newer).cast("float64"),
            sales=cells.sales.cast("float64"),
            owes=cells.owed != 0,
        )
    )
    found.index = pd.Index([TOTAL] * len(found)) if by is None else pd.Index(found["key"])
    months = pd.DatetimeIndex(pd.to_datetime(found["month"]))
    today = pd.Timestamp(ledger.as_of)
    length = np.minimum(months.days_in_month, (today - months).days + 1)
    later = (today - months).days + 1 - length
    counted = np.where(found["owes"], later + length * _ratio(found["used"], found["sales"]), 0.0)
    days = pd.Series(counted, index=found.index, name="countback_days", dtype="float64")
    once: pd.Series = days[~days.index.duplicated()].sort_index().rename_axis(by)
    return once


# --- concentration ------------------------------------------------------------------------------


def concentration(
    ledger: Ledger,
    by: str = "customer_id",
    *,
    of: str = "open",
    within: str | None = None,
    top: Sequence[int] = (1, 5, 10),
) -> pd.DataFrame:
    """Return how unevenly money is spread: over customers, industries, regions.

    With the shares s of the n values of ``by`` that have money above 0: the k largest together,
    the Herfindahl-Hirschman index Σ s², the effective number 1 / Σ s² (so many equal ones would be
    as concentrated), and the Gini coefficient (0 all equal, (n − 1)/n one has all).

    Parameters
    ----------
    ledger : Ledger
    by : str, default "customer_id"
        Whose shares.
    of : {"open", "amount"}
        Open money on ``as_of``, or all that was ever invoiced.
    within : str, optional
        One row a value of this column, each with shares of its own; None for one row ``total``.
    top : sequence of int
        The k of the largest shares.

    Returns
    -------
    pandas.DataFrame
        Columns n, ``top_1``, …, hhi, effective_number, gini; fractions of 1. NaN where no money
        is, with n = 0.

    Raises
    ------
    ModelError
        For an unknown column or base, or a k below 1.
    """
    _check(ledger, by)
    _check(ledger, within)
    if of not in _MONEY_BASES:
        raise ModelError(
            f"concentration of {of!r}; expected 'open' or 'amount'.{did_you_mean(of, _MONEY_BASES)}"
        )
    if not all(_whole(k) for k in top):
        raise ModelError(f"top is {list(top)}; expected whole numbers from 1 up, such as (1, 5)")
    t = ledger.invoices
    keys = {"one": _key(t, by)} | ({} if within is None else {"key": _key(t, within)})
    money = frame_of(t.group_by(**keys).aggregate(money=t[of].sum().cast("float64")))
    if within is None:
        rows: dict[Any, dict[str, float]] = {TOTAL: spread_of(money["money"], top)}
    else:
        groups = money.groupby("key", dropna=False, sort=True)["money"]
        rows = {name: spread_of(part, top) for name, part in groups}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis(within)


def spread_of(money: ArrayLike, top: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
    """Return the measures of :func:`concentration` for amounts; only those above 0 count.

    >>> {name: round(value, 3) for name, value in spread_of([60, 30, 10, 0], top=[1]).items()}
    {'n': 3.0, 'top_1': 0.6, 'hhi': 0.46, 'effective_number': 2.174, 'gini': 0.333}
    """
    given = np.asarray(money, np.float64)
    falling = np.sort(given[given > 0])[::-1]
    n = falling.size
    names = [f"top_{k}" for k in top]
    if not n:
        return {"n": 0.0, **dict.fromkeys([*names, "hhi", "effective_number", "gini"], np.nan)}
    shares = falling / falling.sum()
    hhi = float(shares @ shares)
    # Σ (n + 1 − 2i) s_i / n over falling shares: half the mean difference over the mean.
    gini = float((n + 1 - 2 * np.arange(1, n + 1)) @ shares / n)
    largest = {name: float(shares[:k].sum()) for name, k in zip(names, top, strict=True)}
    return {"n": float(n), **largest, "hhi": hhi, "effective_number": 1 / hhi, "gini": gini}


# --- from one day to the next -------------------------------------------------------------------


def transitions(
    ledger: Ledger,
    since: str | dt.date | None = None,
    *,
    edges: Sequence[int] = (30, 60, 90),
    by: str | None = None,
) -> pd.DataFrame:
    """Return where the money that was open on an earlier day is now, bucket by bucket.

    Each invoice is followed, so nothing is mixed up with sales made since.

    Parameters
    ----------
    ledger : Ledger
    since : str or date, optional
        The earlier day; 30 days before ``as_of`` by default.
    edges : sequence of int
        Last day past due of each bucket but the last, as in ``Ledger.ageing``.
    by : str, optional
        As in :func:`indicators`; the index is then the value and the bucket. A value with nothing
        open on ``since`` is left out.

    Returns
    -------
    pandas.DataFrame
        One row a bucket on ``since``: ``opening`` (money), then its parts as fractions: still open
        in each bucket, ``collected``, ``written_off`` and ``reduced`` (by credit notes, discounts
        and reversals, which only a ledger of entries has). They add up to 1; a bucket that was
        empty has NaN.

    Raises
    ------
    ModelError
        For an unknown column, wrong edges, or a day that is not before ``as_of``.
    """
    _check(ledger, by)
    names = _bucket_names(edges)
    earlier = ledger_on(ledger, _earlier_day(ledger, since), _first_day(ledger))
    was, now = earlier.invoices, ledger.invoices
    was = was.filter(was.open != 0)
    own = {} if by is None else {"key": _key(was, by)}
    was = was.select(
        "invoice_id",
        **own,
        bucket=_bucket(was, earlier.as_of, edges),
        opening=was.open,
        collected_then=was.collected,
        written_off_then=was.written_off,
    )
    now = now.select(
        "invoice_id", "open", "collected", "written_off", later=_bucket(now, ledger.as_of, edges)
    )
    # An invoice may be gone altogether: one that was reversed, in a ledger of entries.
    both = was.left_join(now, "invoice_id")
    both = both.mutate(
        **{name: both[name].fill_null(0) for name in ("open", "collected", "written_off")}
    )
    both = both.mutate(
        collected=both.collected - both.collected_then,
        written_off=both.written_off - both.written_off_then,
    )
    parts = {
        f"b{place}": (both.later == place).ifelse(both.open, 0).sum() for place in range(len(names))
    }
    frame = frame_of(
        both.group_by([*own, "bucket"]).aggregate(
            opening=both.opening.sum(),
            **parts,
            collected=both.collected.sum(),
            written_off=both.written_off.sum(),
            reduced=(both.opening - both.open - both.collected - both.written_off).sum(),
        )
    )
    frame["bucket"] = [names[int(place)] for place in frame["bucket"]]
    frame = frame.set_index([*own, "bucket"]).astype("float64")
    frame.columns = pd.Index(["opening", *names, "collected", "written_off", "reduced"])
    frame = _all_buckets(frame, names, by)
    for name in frame.columns[1:]:
        frame[name] = _ratio(frame[name], frame["opening"])
    return frame


def roll_rates(
    ledger: Ledger,
    since: str | dt.date | None = None,
    *,
    edges: Sequence[int] = (30, 60, 90),
    by: str | None = None,
) -> pd.DataFrame:
    """Return the part of each bucket's money that rolled on into later buckets.

    Of money that was not yet due, the part that is past due now; of 1-30 days, the part in a later
    bucket; and so on. Of the last bucket, the part that is still open. When ``since`` is one bucket
    width earlier, as by default, this is the textbook's ratio of balances, bucket k + 1 today over
    bucket k then, for all buckets with an end; but the first and the last bucket are not mixed
    up with later sales and older arrears. The product of a rate with all later ones is the part of
    the money that ends up over the last edge: a first loss rate.

    Parameters
    ----------
    ledger, since, edges, by
        As in :func:`transitions`.

    Returns
    -------
    pandas.DataFrame
        One row ``total``, or one a value of ``by``; a column a bucket on ``since``: fractions, NaN
        where the bucket was empty.
    """
    parts = transitions(ledger, since, edges=edges, by=by)
    names = _bucket_names(edges)
    rolled = pd.Series(np.nan, index=parts.index, dtype="float64")
    place = parts.index.get_level_values("bucket")
    for index, name in enumerate(names):
        later = names[index + 1 :] or names[-1:]
        rows = place == name
        rolled[rows] = parts.loc[rows, later].sum(axis=1, skipna=False)
    if by is None:
        return rolled.to_frame(TOTAL).T[names].rename_axis(columns=None)
    wide = rolled.unstack("bucket").reindex(columns=names)
    table: pd.DataFrame = wide.rename_axis(columns=None)
    return table


def _all_buckets(frame: pd.DataFrame, names: list[str], by: str | None) -> pd.DataFrame:
    """Return a row for every bucket, in their order."""
    if by is None:
        return frame.reindex(pd.Index(names, name="bucket"), fill_value=0.0)
    values = sorted(frame.index.get_level_values("key").unique())
    every = pd.MultiIndex.from_product([values, names], names=["key", "bucket"])
    return frame.reindex(every, fill_value=0.0).rename_axis([by, "bucket"])


def _bucket_names(edges: Sequence[int]) -> list[str]:
    days: list[Any] = list(edges)
    if not days or not all(map(_whole, days)) or days != sorted(set(days)):
        raise ModelError(
            f"edges {days}; expected whole days that increase from 1 on, such as (30, 60, 90)"
        )
    starts = [1, *(day + 1 for day in days)]
    closed = [f"{a}-{b}" for a, b in zip(starts, days, strict=False)]
    return ["not_due", *closed, f"over {days[-1]}"]


def _bucket(table: Table, day: dt.date, edges: Sequence[int]) -> Expression:
    """Return the place of each invoice's bucket; 0 is not yet due."""
    place: Any = len(edges) + 1
    for index in range(len(edges), 0, -1):
        place = (table.due_date >= _before(day, edges[index - 1])).ifelse(index, place)
    return (table.due_date >= day).ifelse(0, place).cast("int32")


def _earlier_day(ledger: Ledger, since: str | dt.date | None) -> dt.date:
    if since is None:
        return _before(ledger.as_of, 30)
    try:
        day = dt.date.fromisoformat(since) if isinstance(since, str) else pd.Timestamp(since).date()
    except ValueError as error:
        raise ModelError(f"since is {since!r}; expected a day such as '2013-09-30'") from error
    if day >= ledger.as_of:
        raise ModelError(f"since is {day}; expected a day before the ledger's {ledger.as_of}")
    return day


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _check(ledger: Ledger, by: str | None, **counts: int | None) -> None:
    allowed = ("customer_id", "disputed", *ledger.groups)
    if by is not None and by not in allowed:
        raise ModelError(
            f"indicators by {by!r}; expected None or one of {listing(allowed, 20)}."
            f"{did_you_mean(str(by), allowed)}"
        )
    for name, count in counts.items():
        if count is not None and not _whole(count):
            raise ModelError(f"{name} is {count!r}; expected a whole number from 1 up")
