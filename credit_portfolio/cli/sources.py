"""The options that say which ledger a command looks at and how it is read: the same for all."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Annotated, Any

import typer

from credit_portfolio.errors import ModelError

Source = Annotated[
    str,
    typer.Argument(
        metavar="SOURCE",
        help="Invoices or entries: CSV (.gz too), Parquet or a folder of it; DuckDB file or URL "
        "with --table.",
    ),
]
_InTable = Annotated[str | None, typer.Option("--table", help="Table or view of the database.")]
_InSchema = Annotated[str | None, typer.Option("--schema", help="Where in it the table is.")]
_Profile = Annotated[
    str | None,
    typer.Option(
        help="Invoices: canonical, ibm. Entries: entries, sap, sap_document_currency, erpnext, "
        "odoo, highradius, settlement_code."
    ),
]
AsOf = Annotated[str | None, typer.Option(help="Day of the picture, YYYY-MM-DD.")]
_Currency = Annotated[str | None, typer.Option(help="Take only the rows of this currency.")]
Separator = Annotated[str | None, typer.Option(help="Column separator of the CSV.")]
Decimal = Annotated[str | None, typer.Option(help="Decimal mark of the CSV: . or ,")]
DateFormat = Annotated[str | None, typer.Option(help="Format of dates, as %d.%m.%Y.")]
_WriteOffs = Annotated[
    list[str] | None,
    typer.Option(
        metavar="COLUMN=TEXT,…",
        help="Entries that are write-offs, where the profile cannot tell; or: none. Can be "
        "repeated.",
    ),
]
_Links = Annotated[
    str | None,
    typer.Option(help="Second table of the entries, as odoo has: a file, or beside --table."),
]
_Groups = Annotated[
    str | None, typer.Option(help="Columns of the entries to keep with each invoice: region,branch")
]


def ledger_options(
    *,
    table: _InTable = None,
    schema: _InSchema = None,
    profile: _Profile = None,
    as_of: AsOf = None,
    currency: _Currency = None,
    separator: Separator = None,
    decimal: Decimal = None,
    date_format: DateFormat = None,
    write_offs: _WriteOffs = None,
    links: _Links = None,
    groups: _Groups = None,
) -> dict[str, Any]:
    """Return the options that say how a ledger is read, as the settings name them."""
    return {
        "table": table,
        "schema": schema,
        "profile": profile,
        "as_of": as_of,
        "currency": currency,
        "separator": separator,
        "decimal": decimal,
        "date_format": date_format,
        "write_offs": _write_offs(write_offs),
        "links": links,
        "groups": None if groups is None else _names("--groups", groups),
    }


_OPTIONS = inspect.signature(ledger_options, eval_str=True).parameters


def reads_ledger(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command all options of :func:`ledger_options` for its parameter ``reading``."""
    own = inspect.signature(command, eval_str=True)

    @functools.wraps(command)
    def run(**given: Any) -> None:
        options = {name: given.pop(name) for name in _OPTIONS}
        command(**given, reading=ledger_options(**options))

    parameters = [
        parameter
        for name, one in own.parameters.items()
        for parameter in (_OPTIONS.values() if name == "reading" else [one])
    ]
    told: Any = run
    told.__signature__ = own.replace(parameters=parameters)
    told.__annotations__ = {one.name: one.annotation for one in parameters} | {"return": None}
    return run


_ELSEWHERE = {
    "profile={": "columns of [ledger] in the file of --settings",
    "repairs=": "[ledger.repairs] in the file of --settings",
    "open_entries": "--profile with its name",
}
_SHAPES = {"write_offs": " COLUMN=TEXT,… or none"}  # of options that are written otherwise
_OF_STATEMENTS = {"limits": "--decimal", "allocate": "--statements-decimal"}  # of these commands


def options_of(message: str, command: str = "") -> str:
    """Say which options of a command a message of the library means.

    >>> options_of("pass date_format=, or decimal='.'"), options_of("mend the file")
    ('on the command line: --decimal, --date-format', '')
    >>> options_of("pass decimal='.' where the statements are read", "allocate")
    'on the command line: --statements-decimal'
    """
    if "where the statements are read" in message:
        in_file = "decimal of [statements] in the file of --settings"
        return f"on the command line: {_OF_STATEMENTS.get(command, in_file)}"
    parts = [what for sign, what in _ELSEWHERE.items() if sign in message]
    told = message.replace("profile={", "")  # that is for columns, which no option takes
    parts += [
        f"--{name.replace('_', '-')}{_SHAPES.get(name, '')}"
        for name in _OPTIONS
        if re.search(rf"\b{name}=", told)
    ]
    return f"on the command line: {', '.join(parts)}" if parts else ""


def _names(option: str, text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    if not all(names):
        raise ModelError(
            f"{option} is {text!r}; expected names with commas between, as region,branch"
        )
    return names


def _write_offs(given: list[str] | None) -> str | dict[str, list[str]] | None:
    """Read where write-offs are told: columns with their texts, or that there are none."""
    if not given:
        return None
    if given == ["none"]:
        return "none"
    found: dict[str, list[str]] = {}
    for option in given:
        column, equals, texts = option.partition("=")
        words = [text.strip() for text in texts.split(",")]
        if not (equals and column.strip() and all(words)):
            raise ModelError(
                f"--write-offs is {option!r}; expected a column and the texts that say write-off, "
                "as RSTGR=WOF,WOG, or none alone where the source has none"
            )
        found.setdefault(column.strip(), []).extend(words)
    return found
