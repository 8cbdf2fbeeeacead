"""One run from files to a folder of results, as the command line and nightly batches do it."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import ModelError, OutputError
from credit_portfolio.export import whole_file, write_csv
from credit_portfolio.ledger.engines import is_url, without_password
from credit_portfolio.ledger.quality import money_text
from credit_portfolio.ledger.source import open_ledger
from credit_portfolio.limits import (
    WORKING_ASSET_TABLE,
    WORKING_ASSET_TABLE_OF_SYSTEM,
    read_statements,
    working_asset_limits,
)
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.report import write_report
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ProvisionMatrix, ReturnRule
from credit_portfolio.settings import Settings
from credit_portfolio.version import __version__

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence

    import pandas as pd

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.ledger.quality import LedgerQuality
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.limits import Statements

    Path_ = str | os.PathLike[str]

_LIMIT_TABLES = {
    "encyclopaedia": WORKING_ASSET_TABLE,
    "system": WORKING_ASSET_TABLE_OF_SYSTEM,
}
LIMIT_MONEY = ("limit", "working_capital", "net_worth", "working_assets")
"""Columns of the limits that are amounts of money."""

# What the figures depend on; their versions go into the run record.
_PARTS = ("numpy", "scipy", "pandas", "cvxpy", "clarabel", "ibis-framework", "duckdb")
_READ_AT_ONCE = 1 << 20


@dataclass(slots=True)
class Record:
    """What run.json holds: enough to repeat the run and to see that it is the same."""

    settings: Settings
    inputs: list[dict[str, Any]] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)
    status: str = "running"
    message: str = ""
    started: str = field(
        default_factory=lambda: dt.datetime.now(dt.UTC).isoformat(timespec="seconds")
    )
    results: dict[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return nested plain types."""
        return {
            "status": self.status,
            "message": self.message,
            "started": self.started,
            "seconds": {stage: round(taken, 3) for stage, taken in self.seconds.items()},
            "settings": self.settings.to_dict(),
            "inputs": self.inputs,
            **self.results,
            "versions": {
                "python": platform.python_version(),
                "credit_portfolio": __version__,
                **{part: metadata.version(part) for part in _PARTS},
            },
        }


Progress = Callable[[str], None]


def allocate(
    invoices: Path_,
    statements: Path_ | None = None,
    settings: Settings | None = None,
    out: Path_ | None = None,
    *,
    progress: Progress = lambda stage: None,
    notes: Sequence[str] = (),
) -> Allocation:
    """Go from a ledger file and a statements file to an allocation, and write the results.

    Parameters
    ----------
    invoices : path or connection URL
        What :func:`credit_portfolio.open_ledger` takes; ``settings`` name the table of a database.
    statements : path, optional
        CSV; without it there are no limits.
    settings : Settings, optional
    out : path, optional
        Folder for report.html, allocation.csv, allocation.xlsx, allocation.json and run.json, and
        rejected.csv and rejected_statements.csv where rows were rejected. It is made if it is not
        there.
    progress : callable, optional
        Called with the name of each stage as it begins.
    notes : sequence of str, optional
        Sentences that the report shows first.

    The findings of the allocation begin with the rows of the files that were rejected.

    Returns
    -------
    Allocation

    Raises
    ------
    CreditPortfolioError
        As each part says. run.json is written in this case too, with the status and the message,
        and also when the run is interrupted.
    """
    settings = settings or Settings()
    record = Record(settings)
    with results_folder(out) as folder:
        try:
            return _allocate(invoices, statements, settings, folder, record, progress, notes)
        except BaseException as error:
            record.status = "interrupted" if is_interrupt(error) else type(error).__name__
            record.message = str(error)
            if folder is not None:
                _write_record(record, folder)
            raise


def _allocate(
    invoices: Path_,
    statements: Path_ | None,
    settings: Settings,
    folder: Path | None,
    record: Record,
    progress: Progress,
    notes: Sequence[str],
) -> Allocation:
    with _stage("reading the ledger", record, progress):
        record.inputs.append(fingerprint(invoices))
        ledger = read_ledger(invoices, settings)
    with _stage("building the return panel", record, progress):
        panel = _panel(ledger, settings)
    limits = sheets = None
    if statements is not None:
        with _stage("rating the statements", record, progress):
            record.inputs.append(fingerprint(statements))
            sheets = read_sheets(statements, settings)
            limits = rate(sheets, settings, as_of=ledger.as_of)
    with _stage("finding the shares", record, progress):
        model = _model(settings, ledger.currency)
        exposure = ledger.exposure()
        model.fit(panel, limits=limits, current=exposure if exposure.sum() > 0 else None)
        allocation = _with_source(model.allocation_, ledger, sheets, folder)
    record.status, record.message = "optimal", str(allocation.certificate)
    record.results = _results(ledger, allocation)
    if folder is not None:
        with _stage("writing the results", record, progress):
            _write(allocation, ledger, sheets, folder, notes)
        _write_record(record, folder)
    return allocation


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody pressed Ctrl-C; in the midst of a query DuckDB has a word of its own."""
    own = isinstance(error, RuntimeError) and "Query interrupted" in str(error)
    return own or isinstance(error, KeyboardInterrupt)


def read_ledger(invoices: Path_, settings: Settings) -> Ledger:
    """Open the ledger as the settings say."""
    s = settings.ledger
    if s.columns is not None and s.profile is not None:
        raise ModelError("the settings give both a profile and columns; leave one of them out")
    return open_ledger(
        invoices,
        profile=s.columns if s.columns is not None else s.profile,
        as_of=s.as_of,
        table=s.table,
        schema=s.schema,
        currency=s.currency,
        separator=s.separator,
        decimal=s.decimal,
        date_format=s.date_format,
    )


def read_sheets(statements: Path_, settings: Settings) -> Statements:
    """Read the customers' statements as the settings say."""
    s = settings.statements
    with warnings.catch_warnings():
        # Rows without a customer id are told with all other rejected rows, not as a warning.
        warnings.simplefilter("ignore", UserWarning)
        return read_statements(
            statements,
            columns=s.columns,
            separator=s.separator,
            decimal=s.decimal,
            date_format=s.date_format,
        )


def rate(
    statements: Statements, settings: Settings, as_of: str | dt.date | None = None
) -> pd.DataFrame:
    """Return the working-asset limits of statements as the settings say."""
    s = settings.limits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return working_asset_limits(
            statements,
            table=_LIMIT_TABLES[s.table],
            rounding=s.rounding,
            tangible=s.tangible,
            as_of=as_of,
            max_age_days=s.max_age_days,
            unit=s.unit,
        )


def limit_style(sheet: str, column: str, row: Mapping[str, Any]) -> str | None:
    """Say how a number of the limits' sheet is shown."""
    return "money" if column in LIMIT_MONEY else "share" if column == "percentage" else None


def fingerprint(path: Path_) -> dict[str, Any]:
    """Name, size and SHA-256 of an input file; a missing file is left to its reader to report.

    Of a database only the name can be told, and never the password.
    """
    if is_url(path):
        return {"name": without_password(str(path)), "bytes": None, "sha256": None}
    file = Path(path)
    if not file.is_file():
        return {"name": file.name, "bytes": None, "sha256": None}
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while block := stream.read(_READ_AT_ONCE):
            digest.update(block)
    return {"name": file.name, "bytes": file.stat().st_size, "sha256": digest.hexdigest()}


def make_folder(out: Path_) -> Path:
    """Make the output folder and see that it can be written, before any long work.

    Raises
    ------
    OutputError
    """
    folder = Path(out)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".write-probe"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise OutputError(
            f"cannot write into {folder}: {error.strerror or error}; choose another with --out"
        ) from error
    return folder


@contextmanager
def results_folder(out: Path_ | None) -> Iterator[Path | None]:
    """Make the output folder for a while of work; one that stays empty is taken away on failure.

    Raises
    ------
    OutputError
        When it cannot be made or written to.
    """
    if out is None:
        yield None
        return
    place = Path(out)
    made = [folder for folder in (place, *place.parents) if not folder.exists()]
    try:
        yield make_folder(out)
    except BaseException:
        with suppress(OSError):  # one that is not empty stays, and those above it
            for folder in made:
                folder.rmdir()
        raise


def _with_source(
    allocation: Allocation, ledger: Ledger, sheets: Statements | None, folder: Path | None
) -> Allocation:
    """Say in the allocation which file it comes from, and which rows of it do not count."""
    quality = ledger.quality
    known = {
        "as_of": ledger.as_of.isoformat(),
        "source": quality.file_name,
        "rows_read": quality.rows_read,
        "rows_rejected": quality.rows_rejected,
    }
    first = [_rejected_invoices(quality, folder)]
    if sheets is not None:
        first.append(rejected_statements(sheets, folder))
    late = quality.findings.set_index("finding")["rows"].get("dated_after_today", 0)
    if late:
        first.append(
            f"{_rows(late)} of the ledger {_is(late)} dated after today; see the ledger's quality"
        )
    return replace(
        allocation,
        summary=known | allocation.summary,
        findings=(*filter(None, first), *allocation.findings),
    )


def _rejected_invoices(quality: LedgerQuality, folder: Path | None) -> str:
    count = quality.rows_rejected
    if not count:
        return ""
    money = f"{money_text(quality.amount_rejected)} {quality.currency}".rstrip()
    blank = quality.rows_without_readable_amount
    unread = f", and {blank:,} without a readable amount" if blank else ""
    return (
        f"{count:,} of {_rows(quality.rows_read)} of the ledger ({money}{unread}) {_was(count)} "
        f"rejected; {_where_rejected('rejected.csv', folder)}"
    )


def rejected_statements(sheets: Statements, folder: Path | None) -> str:
    """Say how many rows of the statements were rejected, and where they are; empty for none."""
    count = len(sheets.rejected)
    if not count:
        return ""
    where = _where_rejected("rejected_statements.csv", folder)
    return (
        f"{count:,} of {_rows(sheets.rows_read)} of the statements {_was(count)} rejected; {where}"
    )


def _where_rejected(name: str, folder: Path | None) -> str:
    if folder is None:
        return f"give a folder with --out to get them with reasons in {name}"
    return f"{name} has them with reasons"


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _is(count: int) -> str:
    return "is" if count == 1 else "are"


def _was(count: int) -> str:
    return "was" if count == 1 else "were"


@contextmanager
def _stage(name: str, record: Record, progress: Progress) -> Iterator[None]:
    progress(name)
    started = time.perf_counter()
    yield
    record.seconds[name] = time.perf_counter() - started


def _panel(ledger: Ledger, settings: Settings) -> ReturnPanel:
    s = settings.returns
    provisions = None
    if s.provisions is not None:
        p = s.provisions
        provisions = ProvisionMatrix(tuple(p.days), tuple(p.rates), p.basis)
    rule = ReturnRule(s.markup, s.funding_rate, provisions, s.late_settlement)
    return ReturnPanel.from_ledger(
        ledger, rule, s.period, maturity_days=s.maturity_days, min_periods=s.min_periods
    )


def _model(settings: Settings, currency: str) -> CreditPortfolio:
    s = settings.model
    intervals, good_from = settings.edges()
    targets: Any = s.targets
    return CreditPortfolio(
        intervals,
        good_from,
        targets=targets,
        risk_model=s.risk_model,
        operator=s.operator,
        budget=s.budget,
        max_share=s.max_share,
        floor=_floor(s.floor),
        outside=s.outside,
        unit=s.unit,
        currency=currency,
        solver=s.solver,
        tolerance=s.tolerance,
    )


def _floor(floor: str | float | None) -> Any:
    """TOML has no null: the word "none" stands for no floor."""
    return None if floor == "none" else floor


def _results(ledger: Ledger, allocation: Allocation) -> dict[str, Any]:
    quality, proof = ledger.quality, allocation.certificate
    return {
        "as_of": ledger.as_of.isoformat(),
        "ledger": {
            "rows_read": quality.rows_read,
            "rows_accepted": quality.rows_accepted,
            "rows_rejected": quality.rows_rejected,
            "amount_read": str(quality.amount_read),
            "amount_accepted": str(quality.amount_accepted),
            "amount_rejected": str(quality.amount_rejected),
        },
        "summary": allocation.summary,
        "model": allocation.settings,
        "certificate": {
            "primal": proof.primal,
            "dual": proof.dual,
            "gap": proof.gap,
            "tolerance": proof.tolerance,
            "holds": proof.holds,
        },
        "findings": list(allocation.findings),
    }


def _write(
    allocation: Allocation,
    ledger: Ledger,
    sheets: Statements | None,
    folder: Path,
    notes: Sequence[str],
) -> None:
    allocation.to_csv(folder / "allocation.csv")
    allocation.to_excel(folder / "allocation.xlsx")
    allocation.to_json(folder / "allocation.json")
    write_rejected(ledger.quality.rejected, folder / "rejected.csv")
    if sheets is not None:
        write_rejected(sheets.rejected, folder / "rejected_statements.csv")
    write_report(
        allocation,
        folder / "report.html",
        quality=ledger.quality,
        ageing=ledger.ageing(),
        notes=notes,
    )


def write_rejected(rejected: pd.DataFrame, path: Path) -> None:
    """Write the rejected rows with their reasons; no file where there are none."""
    if rejected.empty:
        path.unlink(missing_ok=True)
    else:
        write_csv(rejected, path, index=False)


def _write_record(record: Record, folder: Path) -> None:
    with whole_file(folder / "run.json") as draft:
        draft.write_text(json.dumps(record.to_dict(), indent=2, ensure_ascii=False) + "\n")
