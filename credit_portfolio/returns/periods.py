"""The periods of a panel: which are mature, and what is said of those that are not."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.returns.rule import ReturnRule

    Vector = NDArray[np.float64]

UNITS = {"month": ("M", 12), "quarter": ("Q", 4), "year": ("Y", 1)}  # of pandas; in a year


@dataclass(frozen=True, eq=False, slots=True)
class Frame:
    """The periods of a panel, and those that are left out of it."""

    periods: pd.PeriodIndex
    ripe: NDArray[np.bool_]  # per period with invoices
    dropped: pd.DataFrame


def frame_of_periods(
    ordinals: NDArray[np.int64],
    invoices: NDArray[np.int64],
    amount: Vector,
    period: str,
    maturity_days: int,
    as_of: dt.date,
) -> Frame:
    """Tell mature periods from those to drop; from the first to the last, also without a sale."""
    starts = starts_of(ordinals, period)
    cutoff = pd.Timestamp(as_of) - pd.Timedelta(days=maturity_days)
    ends = starts.end_time.normalize()
    ripe = np.asarray(ends <= cutoff)
    dropped = no_periods()
    if not ripe.all():
        reasons = [
            f"ended {end.date()}, less than {maturity_days} days before {as_of}" for end in ends
        ]
        columns = {"period": starts, "reason": reasons, "invoices": invoices, "amount": amount}
        dropped = pd.DataFrame(columns)[~ripe].reset_index(drop=True)
    if not ripe.any():
        raise DataError(
            f"no {period} had ended {maturity_days} days before {as_of}; give a later "
            "as_of, a shorter period or fewer maturity_days",
            dropped,
        )
    first, last = starts[ripe].min(), starts[ripe].max()
    periods = pd.period_range(first, last, freq=UNITS[period][0], name="period")
    return Frame(periods, ripe, dropped)


def ordinals_of(first: int, last: int, period: str) -> NDArray[np.int64]:
    """Return the number of the period, as pandas counts them, of each day from first to last.

    Parameters
    ----------
    first, last : int
        Days since 1970-01-01.

    Examples
    --------
    >>> ordinals_of(89, 91, "quarter")    # 31 March, 1 and 2 April 1970
    array([0, 1, 1])
    """
    each = 12 // UNITS[period][1]
    months = np.arange(first, last + 1).astype("datetime64[D]").astype("datetime64[M]")
    return months.astype(np.int64) // each


def starts_of(ordinals: NDArray[np.int64], period: str) -> pd.PeriodIndex:
    """Return the periods of these numbers, as pandas counts them."""
    unit = UNITS[period][0]
    return pd.PeriodIndex([pd.Period(ordinal=int(n), freq=unit) for n in ordinals])


def no_periods() -> pd.DataFrame:
    """Return the table of periods left out, empty."""
    return pd.DataFrame({"period": [], "reason": [], "invoices": [], "amount": []})


def notes_on_gaps(
    periods: pd.PeriodIndex, ordinals: NDArray[np.int64], invoices: NDArray[np.int64]
) -> tuple[str, ...]:
    """Say so where more than half of the periods have no sale: one mistyped year does that.

    Parameters
    ----------
    periods : pandas.PeriodIndex
        Those of the panel.
    ordinals, invoices : ndarray
        The periods with a sale, in any order, and how many invoices each has.

    Examples
    --------
    >>> periods = pd.period_range("2018", "2024", freq="Y")
    >>> notes_on_gaps(periods, np.array([48, 53, 54]), np.array([1, 8, 9]))[0][:63]
    '4 of the 7 periods have no sale at all, 4 of them between 2018 '
    """
    empty = len(periods) - len(ordinals)
    if 2 * empty <= len(periods):
        return ()
    order = np.argsort(ordinals)
    place = int(np.argmax(np.diff(ordinals[order]))) + 1
    before, after = order[:place], order[place:]
    few = min(before, after, key=lambda side: int(invoices[side].sum()))
    start, end = (int(ordinals[order[k]] - ordinals[order[0]]) for k in (place - 1, place))
    count = int(invoices[few].sum())
    which = "before" if few is before else "after"
    return (
        f"{empty:,} of the {len(periods):,} periods have no sale at all, {end - start - 1:,} of "
        f"them between {periods[start]} and {periods[end]}: is the date right of the {count:,} "
        f"invoices {which} that gap, or the period too short for this book?",
    )


def notes_on_open(still_open: float, rule: ReturnRule, ledger: Ledger) -> tuple[str, ...]:
    """Say so where money of mature periods is open and nothing is provided for it."""
    if rule.provisions is None and still_open > 0:
        return (
            f"{still_open:,.2f} {ledger.currency}".strip()
            + " of the mature periods is still open and counts in full, since the return rule has "
            "no provision matrix",
        )
    return ()
