"""A book of which a few invoices are years apart from the others: a mistyped year, perhaps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from decimal import Decimal
from typing import Any, TypeAlias

import pandas as pd

from credit_portfolio.ledger.positions import frame_of
from credit_portfolio.ledger.quality import LedgerQuality
from credit_portfolio.ledger.record import FINDINGS, Sums

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select

_LONG_YEARS = 10  # books that are shorter are not asked once more


def spans_decades(sums: Sums) -> bool:
    """Whether more than ten years lie between the first invoice and the last."""
    first, last = sums.accepted[["first", "last"]].iloc[0]
    if pd.isna(first) or pd.isna(last):
        return False
    return bool(last.year - first.year > _LONG_YEARS)


def years_apart(rows: Mapping[int, int]) -> list[int]:
    """Return the years that stand apart, where more than half of all years have no invoice.

    Years that follow each other belong together; those around the most invoices are the book, of
    two with as many the later ones.

    Parameters
    ----------
    rows : mapping of int to int
        Invoices of each year that has any.

    Examples
    --------
    >>> years_apart({1975: 1, 2023: 400, 2024: 600})
    [1975]
    >>> years_apart({1975: 1, 2024: 1})
    [1975]
    >>> years_apart({2010: 5, 2012: 5, 2014: 5})
    []
    """
    years = sorted(rows)
    if 2 * len(years) >= years[-1] - years[0] + 1:
        return []
    runs: list[list[int]] = []
    for year in years:
        if runs and runs[-1][-1] == year - 1:
            runs[-1].append(year)
        else:
            runs.append([year])
    book = max(runs, key=lambda run: (sum(rows[year] for year in run), run))
    return [year for year in years if year not in book]


def with_years_apart(quality: LedgerQuality, accepted: Table) -> LedgerQuality:
    """Return the record with the accepted rows of years that stand apart.

    Parameters
    ----------
    quality : LedgerQuality
    accepted : table expression
        The accepted rows.
    """
    by_year = accepted.group_by(year=accepted.invoice_date.year())
    found = frame_of(by_year.aggregate(rows=accepted.count(), money=accepted.amount.sum()))
    counted = {int(found["year"][k]): int(found["rows"][k]) for k in range(len(found))}
    apart = years_apart(counted)
    if not apart:
        return quality
    money = sum(found["money"][found["year"].isin(apart)], Decimal(0))
    rows = sum(counted[year] for year in apart)
    line = ("years_apart", rows, money, FINDINGS["years_apart"])
    lines = [*quality.findings.itertuples(index=False, name=None), line]
    named = ", ".join(map(str, apart[:5])) + (", …" if len(apart) > 5 else "")
    note = f"years that stand apart from the others: {named}"
    return replace(
        quality,
        findings=pd.DataFrame(lines, columns=list(quality.findings.columns)),
        notes=(*quality.notes, note),
    )
