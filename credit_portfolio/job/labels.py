"""Labels of customers for classes and groups: from a file, or from columns of the ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from credit_portfolio.book import CLASS
from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.ledger.positions import frame_of

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.settings import Settings

_ID = "customer_id"


def labels_of(ledger: Ledger, settings: Settings) -> pd.DataFrame | None:
    """Return the columns that the model's classes and groups name, by customer.

    Where both have a column, the file's label counts for the customers that it labels, and the
    ledger's for the others. All labels are text, as the keys of a settings file are.

    Returns
    -------
    pandas.DataFrame or None
        Index ``customer_id``; None where no column is named.

    Raises
    ------
    ModelError
        For a column that neither has, or a file in which no column is used.
    DataError
        For a file that cannot be used, or customers with several labels in one column.
    """
    s = settings.model
    wanted = [s.classes] if isinstance(s.classes, str) else []
    wanted += [column for column in s.groups or {} if column != CLASS]
    wanted = list(dict.fromkeys(wanted))
    of_file = pd.DataFrame()
    if settings.labels.file is not None:
        of_file = _read(settings.labels.file, settings.labels.separator)
        if not set(wanted) & set(of_file.columns):
            raise ModelError(
                f"no column of {settings.labels.file} is used: it has "
                f"{listing(of_file.columns, 20)}, and classes and groups name "
                f"{listing(wanted, 20) or 'none'}; name one of them, or leave the file out"
            )
    if not wanted:
        return None
    known = [*of_file.columns, *ledger.groups]
    found = {}
    for column in wanted:
        if column not in known:
            raise ModelError(
                f"classes or groups name the column {column!r}; the ledger and the labels have "
                f"{listing(known, 20) or 'none'}.{did_you_mean(column, known)}"
            )
        given = pd.Series(dtype=object)
        if column in of_file.columns:
            given = of_file[column].dropna()
        if column in ledger.groups:
            told = _of_ledger(ledger, column, settings.labels.several, given.index)
            given = pd.concat([given, told]) if len(given) else told
        found[column] = given
    return pd.DataFrame(found).rename_axis(_ID)


def _read(path: str, separator: str | None) -> pd.DataFrame:
    """Read a CSV of customer_id and columns of text; blanks are missing."""
    # Without a separator it is found from the head of the file, which the plain engine cannot.
    how: dict[str, Any] = {"sep": separator} if separator else {"sep": None, "engine": "python"}
    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", **how)
    except (OSError, ValueError) as error:  # pandas' own errors of parsing are ValueErrors
        why = getattr(error, "strerror", None) or error
        raise DataError(
            f"cannot read the labels {path}: {why}; expected a CSV with customer_id and a column "
            "for each kind of label"
        ) from error
    if _ID not in table.columns or table.shape[1] < 2:
        raise DataError(
            f"{path} has the columns {listing(table.columns, 20)}; expected customer_id and a "
            "column for each kind of label"
        )
    table = table.apply(lambda column: column.str.strip())
    doubled = table[table[_ID].duplicated(keep=False)]
    if len(doubled):
        names = doubled[_ID].unique()
        raise DataError(
            f"{path} has {len(names):,} customers more than once: {listing(names)}; keep one row "
            "each",
            doubled,
        )
    result: pd.DataFrame = table.set_index(_ID).replace("", None)
    return result


def _of_ledger(ledger: Ledger, column: str, several: str, settled: pd.Index[Any]) -> pd.Series[Any]:
    """Return a customer's one label in a column of his invoices; blank ones say nothing.

    Those whose label is settled otherwise are left out.
    """
    t = ledger.invoices
    told = t.filter(t[column].notnull())
    found = frame_of(
        told.group_by(customer_id=told.customer_id, label=told[column]).aggregate(
            latest=told.invoice_date.max()
        )
    )
    found["label"] = found["label"].map(_text)
    found = found[(found["label"] != "") & ~found[_ID].isin(settled)]
    found["latest"] = pd.to_datetime(found["latest"])
    # Labels that are one text (1 and 1.0, say) are one label.
    found = found.groupby([_ID, "label"])["latest"].max().reset_index()
    found = found.sort_values([_ID, "latest", "label"]).reset_index(drop=True)
    if several == "latest":
        newest = found.groupby(_ID)["latest"].transform("max")
        found = found[found["latest"] == newest]
    doubtful = found[found[_ID].duplicated(keep=False)]
    if len(doubtful):
        _refuse(doubtful, column, several)
    labels: pd.Series[Any] = found.set_index(_ID)["label"].rename(column)
    return labels


def _refuse(doubtful: pd.DataFrame, column: str, several: str) -> None:
    first = doubtful[doubtful[_ID] == doubtful[_ID].iloc[0]]
    count = doubtful[_ID].nunique()
    day = "on his latest day " if several == "latest" else ""
    way = "" if several == "latest" else 'take the latest with labels.several = "latest", or '
    who = "1 customer has" if count == 1 else f"{count:,} customers have"
    raise DataError(
        f"{who} several labels {day}in the column {column!r} of the ledger, "
        f"{first[_ID].iloc[0]!r} has {listing(first['label'])}; {way}give one label each in a "
        "file with --labels",
        doubtful.rename(columns={"label": column}),
    )


def _text(value: Any) -> str:
    """Write a label as text: a whole number without a decimal point."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()
