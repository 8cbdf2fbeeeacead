"""One currency out of several: rates with dates, and the rate in force on the day of the invoice.

All money of a row is turned at one rate, that of its invoice date: what was collected and what is
open stay the parts of the amount that they were, and a gain or loss on exchange is no gain or loss
on the sale. A rate that is missing, or older than the caller allows, is an error.
"""

from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, TypeAlias

import ibis
import ibis.expr.operations as ops
import pandas as pd
import pyarrow as pa  # type: ignore[import-untyped]

from credit_portfolio.errors import DataError, ModelError, listing
from credit_portfolio.ledger.positions import frame_of

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select

RATE_COLUMNS = ("currency", "date", "rate")
RATE_TYPE = "decimal(20, 10)"
_PLACES = Decimal("1e-10")
# A rate that ten decimals change by more than this is written the wrong way round, or in units
# that are too large: a hundred-thousandth of an invoice of 1,000 is a cent.
_MOST_LOST = Decimal("1e-5")
_MOST_DAYS = 366


def daily_rates(rates: pd.DataFrame, to: str, most_days: int = 7) -> pd.DataFrame:
    """Return the rate in force on every day, from dated rates.

    Parameters
    ----------
    rates : pandas.DataFrame
        Columns currency, date and rate: what one unit of the currency is worth in ``to`` from
        that day on.
    to : str
        The currency that is asked for; its own rate is 1 and need not be there.
    most_days : int
        For how many days after its own a rate may be used; older ones are stale.

    Returns
    -------
    pandas.DataFrame
        Columns currency, date, rate (Decimal with ten places), one row a currency and day.

    Raises
    ------
    DataError
        For columns that are not there, days or rates that are none, and two rates of one day.
    ModelError
        For ``most_days`` outside 0 to 366.

    Examples
    --------
    >>> rates = pd.DataFrame({"currency": ["USD"], "date": ["2024-01-05"], "rate": ["0.92"]})
    >>> daily_rates(rates, "EUR", most_days=2)["date"].astype(str).tolist()
    ['2024-01-05', '2024-01-06', '2024-01-07']
    """
    if isinstance(most_days, bool) or not 0 <= most_days <= _MOST_DAYS:
        raise ModelError(f"rates may be used for {most_days} days; expected 0 to {_MOST_DAYS}")
    known = _checked(rates, to)
    parts = []
    for currency, group in known.groupby("currency", sort=True):
        own = group.set_index("date")["rate"].sort_index()
        days = pd.date_range(own.index[0], own.index[-1] + pd.Timedelta(days=most_days))
        filled = own.reindex(days, method="ffill")
        started = pd.Series(own.index, index=own.index).reindex(days, method="ffill")
        fresh = (days - pd.DatetimeIndex(started)).days <= most_days
        dates = [day.date() for day in days[fresh]]
        rates_ = filled[fresh].to_numpy()
        parts.append(pd.DataFrame({"currency": str(currency), "date": dates, "rate": rates_}))
    return pd.concat(parts, ignore_index=True)


def _checked(rates: pd.DataFrame, to: str) -> pd.DataFrame:
    missing = [name for name in RATE_COLUMNS if name not in rates.columns]
    if missing:
        raise DataError(
            f"the rates have no column {listing(missing)}; found {listing(rates.columns, 20)}: "
            "expected currency, date and rate"
        )
    if not len(rates):
        raise DataError("the rates have no rows; expected a rate for each currency and day")
    known = pd.DataFrame(
        {
            "currency": rates["currency"].astype("str").str.strip().str.upper(),
            "date": pd.to_datetime(rates["date"], errors="coerce", format="ISO8601"),
            "rate": [_rate(cell) for cell in rates["rate"]],
        }
    )
    wrong = known["date"].isna() | known["rate"].isna() | (known["currency"] == "")
    if wrong.any():
        raise DataError(
            f"{int(wrong.sum()):,} of {len(known):,} rates cannot be used, the first is "
            f"{rates.loc[wrong.to_numpy()].iloc[0].to_dict()}; expected a currency, a day such as "
            "2024-01-31 and a rate above 0 that ten decimals can say: mend them",
            rates.loc[wrong.to_numpy()],
        )
    known["date"] = known["date"].dt.normalize()
    twice = known.duplicated(["currency", "date"], keep=False)
    if twice.any():
        raise DataError(
            f"{int(twice.sum()):,} rates share currency and day with another, the first is of "
            f"{known.loc[twice, 'currency'].iloc[0]}; expected one rate a currency and day: keep "
            "one of each",
            known[twice],
        )
    own = known[(known["currency"] == to) & (known["rate"] != 1)]
    if len(own):
        raise DataError(
            f"the rate of {to} is {own['rate'].iloc[0]}; expected 1, since rates say what a "
            f"currency is worth in {to}: turn the rates round, or ask for another currency"
        )
    return known


def _rate(cell: object) -> Decimal | None:
    """Return a rate with ten decimals, None for what is none."""
    try:
        rate = Decimal(str(cell).strip())
    except InvalidOperation:
        return None
    if not rate.is_finite() or not 0 < rate < 10**10:
        return None
    kept = rate.quantize(_PLACES, ROUND_HALF_UP)
    return kept if abs(kept - rate) <= rate * _MOST_LOST else None


def rates_table(rates: Any, to: str, most_days: int, source: Table, engine: Any) -> Table:
    """Return rates as a table in the place of the source: currency, date and rate of each day.

    Parameters
    ----------
    rates : pandas.DataFrame or table of Ibis
        A frame goes with frames and files; a database is never written to, so there the rates are
        a table of the same connection, with a row for every currency and day that is needed.
    to, most_days
        As :func:`daily_rates` takes them.
    source : table expression
        The rows that the rates are for.
    engine : backend of Ibis, optional
        The embedded one that holds the source; None for a database.

    Raises
    ------
    ModelError
        When rates and source are not in one place.
    DataError
        As :func:`daily_rates` does.
    """
    if isinstance(rates, pd.DataFrame):
        if engine is None:
            raise ModelError(
                "the source is a table of a database, to which nothing is written, and the rates "
                "are a frame; expected them in one place: pass the rates as a table of Ibis of "
                "the same connection, with a row for every currency and day"
            )
        return _loaded(daily_rates(rates, to, most_days), engine)
    if not isinstance(rates, ibis.Table):
        raise TypeError(f"rates are a DataFrame or a table of Ibis, not {type(rates).__name__}")
    missing = [name for name in RATE_COLUMNS if name not in rates.columns]
    if missing:
        raise DataError(
            f"the table of rates has no column {listing(missing)}; found "
            f"{listing(rates.columns, 20)}: expected currency, date and rate"
        )
    if rates._find_backend() is not source._find_backend():
        raise ModelError(
            "the table of rates and the source are not of one connection; expected them in one "
            "place: take both from the same connection, or pass rates as a frame with a file"
        )
    known = rates.select(
        currency=rates.currency.cast("string").strip().upper(),
        date=rates.date.cast("date"),
        rate=(rates.rate > 0).ifelse(rates.rate, None).cast(RATE_TYPE),
    )
    counted = known.group_by(["currency", "date"]).aggregate(n=known.count())
    twice = frame_of(counted.filter(counted.n > 1).order_by("currency", "date").limit(1))
    if len(twice):
        raise DataError(
            f"the table of rates has {twice['n'][0]} rates of {twice['currency'][0]} on "
            f"{twice['date'][0]}; expected one rate a currency and day: keep one of each"
        )
    return known


def _loaded(daily: pd.DataFrame, engine: Any) -> Table:
    """Return rates of every day as a table of the embedded engine."""
    arrow = pa.table(
        {
            "currency": pa.array(daily["currency"].astype(object), pa.string()),
            "date": pa.array(daily["date"], pa.date32()),
            "rate": pa.array(daily["rate"], pa.decimal128(20, 10)),
        }
    )
    engine.con.register("rates_by_day", arrow)
    schema = ibis.Schema.from_pyarrow(arrow.schema)
    return ops.DatabaseTable("rates_by_day", schema=schema, source=engine).to_expr()


def with_rates(parsed: Table, rates: Table, to: str) -> Table:
    """Return rows with ``currency_factor``, the rate of their invoice date; NULL without one.

    Parameters
    ----------
    parsed : table expression
        Has currency and invoice_date.
    rates : table expression
        From :func:`rates_table`.
    to : str
        The currency that is asked for.
    """
    rates = rates.select(rate_of="currency", rate_day="date", found="rate")
    joined = parsed.left_join(
        rates, [parsed.currency == rates.rate_of, parsed.invoice_date == rates.rate_day]
    )
    same = joined.currency == to
    one = ibis.literal(Decimal(1), type=RATE_TYPE)
    joined = joined.mutate(
        currency_factor=same.ifelse(one, joined.found),
        mark_converted=(~same).fill_null(False),
        currency=ibis.literal(to),
        currency_asked=ibis.literal(True),
    )
    return joined.drop("rate_of", "rate_day", "found")
