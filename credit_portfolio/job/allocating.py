"""From files to an allocation and its folder of results."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from credit_portfolio.job.inputs import read_inputs
from credit_portfolio.job.record import Record, recorded, stage, write_rejected
from credit_portfolio.ledger.quality import money_text
from credit_portfolio.report import write_report
from credit_portfolio.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.job.record import Path_, Progress
    from credit_portfolio.ledger.quality import LedgerQuality
    from credit_portfolio.ledger.source import Ledger
    from credit_portfolio.limits import Statements


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
    with recorded(record, out) as folder:
        inputs = read_inputs(invoices, statements, settings, record, progress)
        with stage("finding the shares", record, progress):
            model = inputs.fit(settings)
            allocation = with_source(model.allocation_, inputs.ledger, inputs.sheets, folder)
        record.status, record.message = "optimal", str(allocation.certificate)
        record.results = results_of(inputs.ledger, allocation)
        if folder is not None:
            with stage("writing the results", record, progress):
                _write(allocation, inputs.ledger, inputs.sheets, folder, notes)
    return allocation


def with_source(
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


def results_of(ledger: Ledger, allocation: Allocation) -> dict[str, Any]:
    """Return what the run record tells of an allocation."""
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
