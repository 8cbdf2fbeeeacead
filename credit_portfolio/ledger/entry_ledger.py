"""A ledger made from entries: its invoices as they stood on a day, and what is on account."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from credit_portfolio.ledger import source as sources
from credit_portfolio.ledger.entries import (
    Store,
    at_once,
    invoices_from_entries,
    unapplied_on,
)
from credit_portfolio.ledger.findings import (
    Told,
    count,
    findings_of,
)
from credit_portfolio.ledger.positions import Ledger, frame_of
from credit_portfolio.ledger.quality import LedgerQuality
from credit_portfolio.ledger.record import decimal_of, refuse_before
from credit_portfolio.ledger.source import Expression, Table

_TOTALS = ("amount", "collected", "discount", "written_off", "open")


@dataclass(frozen=True, slots=True)
class Mended:
    """What repairs did to the rows, and whether disputed invoices are held out of every picture.

    Parameters
    ----------
    told : tuple
        Finding, rows and money of each repair that touched an accepted row of the source.
    hold_out_disputed : bool
        Whether invoices are left out while they are disputed.
    """

    told: Told = ()
    hold_out_disputed: bool = False


@dataclass(frozen=True, eq=False, slots=True, repr=False)
class EntryLedger(Ledger):
    """A ledger made from entries; :func:`credit_portfolio.open_entries` makes one.

    It is a :class:`credit_portfolio.Ledger` whose ``invoices`` have two further columns,
    ``credited`` (what credit notes took off, no longer in ``amount``) and ``discount``: then
    collected + discount + written_off + open = amount. ``accepted`` holds the accepted entries,
    with the grouping columns as ``g0``, ``g1`` and so on;
    ``keep`` computes a picture once, where that can be done without writing to a database, and
    ``mended`` says what was repaired.
    """

    keep: Store = at_once
    mended: Mended = Mended()

    def unapplied(self) -> pd.DataFrame:
        """Return money and credit on account of each customer, as float64.

        Returns
        -------
        pandas.DataFrame
            Index ``customer_id``, sorted; columns ``unapplied_cash``, ``unapplied_credit``; a
            customer with neither has no row.
        """
        frame = frame_of(unapplied_on(self.accepted, self.as_of))
        ordered: pd.DataFrame = frame.set_index("customer_id").sort_index().astype("float64")
        return ordered

    def on(self, day: str | datetime.date | pd.Timestamp) -> EntryLedger:
        """Return the same ledger as it stood on another day; nothing is read or judged again.

        Parameters
        ----------
        day : str, date or Timestamp
            ``YYYY-MM-DD`` in text.

        Raises
        ------
        DataError
            When the day is before the first invoice.
        ModelError
            For text that is no day.
        """
        as_of = sources.day_of(day)
        found = pictured(
            self.accepted,
            as_of,
            self.groups,
            self.currency,
            self.quality,
            self.keep,
            self.mended,
        )
        if not found.n_invoices:
            invoices = self.accepted.filter(self.accepted.kind == "invoice")
            first = frame_of(invoices.aggregate(first=invoices.booking_date.min()))
            refuse_before(as_of, first["first"].iloc[0], self.quality.source)
        return found


def inner_names(groups: Sequence[str]) -> list[str]:
    """Return what grouping columns are called among entries, whose own names they may have."""
    return [f"g{k}" for k in range(len(groups))]


def pictured(
    accepted: Table,
    as_of: datetime.date,
    groups: tuple[str, ...],
    currency: str,
    quality: LedgerQuality,
    keep: Store,
    mended: Mended,
) -> EntryLedger:
    """Return the ledger as known on a day."""
    inner = inner_names(groups)
    every = invoices_from_entries(accepted, as_of, inner)
    every = every.rename(dict(zip(groups, inner, strict=True)))
    every = keep(f"invoices_{as_of:%Y%m%d}", every)
    told = list(mended.told)
    if mended.hold_out_disputed:
        held = every.filter(every.disputed)
        row = frame_of(held.aggregate(rows=held.count(), money=held.open.sum())).iloc[0]
        told.append(("held_out_disputed", int(row["rows"]), decimal_of(row["money"])))
        every = every.filter(~every.disputed)
    invoices = every.filter(every.amount > 0)
    t = every
    sums: dict[str, Expression] = {
        "invoices": count(t.amount > 0),
        "customers": t.customer_id.nunique(where=t.amount > 0),
        "still_open": count(t.open > 0),
        "credited_in_full": count(t.amount == 0),
        "credited_in_full_money": t.credited.sum(where=t.amount == 0),
    }
    for name in (*_TOTALS, "credited"):
        sums[f"{name}_count"] = count(t[name] != 0)
        sums[f"{name}_money"] = t[name].sum()
    known = frame_of(t.aggregate(**sums)).iloc[0]
    totals = pd.DataFrame(
        {
            "invoices": [int(known[f"{name}_count"]) for name in _TOTALS],
            "money": [decimal_of(known[f"{name}_money"]) for name in _TOTALS],
        },
        index=pd.Index(_TOTALS),
    )
    later = accepted.filter(accepted.booking_date > as_of)
    after = frame_of(later.aggregate(rows=later.count(), money=later.amount.sum())).iloc[0]
    quality = replace(
        quality,
        rows_after_as_of=int(after["rows"]),
        amount_after_as_of=decimal_of(after["money"]),
        findings=findings_of(accepted, every, as_of, known, told),
        control_totals=totals,
        as_of=as_of,
    )
    return EntryLedger(
        invoices=invoices,
        as_of=as_of,
        currency=currency,
        quality=quality,
        groups=groups,
        n_invoices=int(known["invoices"]),
        n_open=int(known["still_open"]),
        n_customers=int(known["customers"]),
        accepted=accepted,
        keep=keep,
        mended=mended,
    )
