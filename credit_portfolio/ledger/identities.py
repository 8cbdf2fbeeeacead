"""Customers who may be one: ids that differ by zeros, case or marks, and names of one group.

What looks alike is listed with its money and never merged: ``Repairs(same_customer={...})`` does
that, for the ids that the caller has looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import pandas as pd

from credit_portfolio.errors import ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import frame_of

if TYPE_CHECKING:
    from credit_portfolio.ledger.positions import Ledger

Table: TypeAlias = Any  # ibis.Table; mypy cannot follow columns through mutate and select
Expression: TypeAlias = Any  # a column or scalar of one

NAME_ENDINGS = (
    "ag|associates|co|company|corp|corporation|foundation|gmbh|group|holding|holdings|inc|"
    "incorporated|international|intl|kg|limited|llc|llp|lp|ltd|plc|sa|sarl|srl|systems|trust|us|usa"
)
"""Last words of a name that do not tell one company from another: legal forms, regions, suffixes.

Those that the public sample of HighRadius adds to one customer's name are among them.
"""

_LAST_WORDS = 3  # as many as are cut off, one after the other: "x group holdings inc"


def bare_id(text: Expression) -> Expression:
    """Return an id without what is lost or added on the way: case, marks, leading zeros.

    Parameters
    ----------
    text : column of text
    """
    bare = text.lower().re_replace(r"[^0-9a-z]+", "").re_replace("^0+", "")
    # An id of other letters, or of zeros only, has nothing left to compare.
    return (bare == "").ifelse(text, bare)


def bare_name(text: Expression) -> Expression:
    """Return a name without case, marks, and last words such as ``corp`` or ``us``.

    Parameters
    ----------
    text : column of text
    """
    name = text.lower().re_replace(r"[.,'&/()*-]+", " ").re_replace(r"\s+", " ").strip()
    for _ in range(_LAST_WORDS):
        name = name.re_replace(f"^(.+) ({NAME_ENDINGS})$", r"\1")
    return name


def look_alikes(ledger: Ledger, names: str | None = None) -> pd.DataFrame:
    """Return customer ids that may belong to one customer, as known on the ledger's day.

    Parameters
    ----------
    ledger : Ledger
    names : str, optional
        The grouping column with the customers' names; ids whose names differ by case, marks and
        last words such as ``corp`` are then listed too.

    Returns
    -------
    pandas.DataFrame
        One row an id: why (``id`` or ``name``), alike (what the ids have in common), customer_id,
        invoices, amount and open (Decimal); sorted.

    Raises
    ------
    ModelError
        When the ledger has no such grouping column.

    Examples
    --------
    >>> from credit_portfolio.ledger.source import open_ledger
    >>> rows = pd.DataFrame({
    ...     "customer_id": ["0200769623", "200769623"], "invoice_id": ["1", "2"],
    ...     "invoice_date": ["2024-01-02"] * 2, "due_date": ["2024-02-01"] * 2,
    ...     "amount": ["100.00", "50.00"]})
    >>> look_alikes(open_ledger(rows))[["alike", "customer_id"]].values.tolist()
    [['200769623', '0200769623'], ['200769623', '200769623']]
    """
    parts = [_alike(ledger, "id", bare_id(ledger.invoices.customer_id))]
    if names is not None:
        parts.append(_alike(ledger, "name", bare_name(name_column(ledger, names))))
    found = pd.concat([part for part in parts if len(part)] or parts[:1])
    ordered: pd.DataFrame = found.sort_values(["why", "alike", "customer_id"], ignore_index=True)
    return ordered


def name_column(ledger: Ledger, names: str) -> Expression:
    """Return the grouping column with the customers' names.

    Raises
    ------
    ModelError
        When the ledger has no such grouping column of text.
    """
    if names not in ledger.groups or not ledger.invoices[names].type().is_string():
        raise ModelError(
            f"names are looked for in {names!r}; expected a grouping column of text, found "
            f"{listing(ledger.groups, 20) or 'none'}.{did_you_mean(names, ledger.groups)}"
        )
    return ledger.invoices[names]


def _alike(ledger: Ledger, why: str, key: Expression) -> pd.DataFrame:
    t = ledger.invoices.mutate(alike_=key)
    t = t.filter(t.alike_.notnull() & (t.alike_ != ""))
    each = t.group_by(["alike_", "customer_id"]).aggregate(
        invoices=t.count(), amount=t.amount.sum(), open=t.open.sum()
    )
    several = each.group_by("alike_").aggregate(ids=each.count())
    several = several.filter(several.ids > 1)
    frame = frame_of(each.semi_join(several, "alike_"))
    frame = frame.rename(columns={"alike_": "alike"})
    frame.insert(0, "why", why)
    columns: Sequence[str] = ["why", "alike", "customer_id", "invoices", "amount", "open"]
    result: pd.DataFrame = frame[list(columns)]
    return result
