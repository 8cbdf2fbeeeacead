"""The record of a run, the folder of its results, and the files that each run may write."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import InfeasibleError, OutputError
from credit_portfolio.export import whole_file, write_csv
from credit_portfolio.job.infeasible import forget_conflict, write_conflict
from credit_portfolio.ledger.engines import is_url, without_password
from credit_portfolio.settings import Settings
from credit_portfolio.version import __version__

if TYPE_CHECKING:
    import os

    import pandas as pd

    Path_ = str | os.PathLike[str]

# What the figures depend on; their versions go into the run record.
_PARTS = ("numpy", "scipy", "pandas", "cvxpy", "clarabel", "ibis-framework", "duckdb")
_READ_AT_ONCE = 1 << 20

Progress = Callable[[str], None]


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


@contextmanager
def recorded(record: Record, out: Path_ | None) -> Iterator[Path | None]:
    """Make the folder of results, and leave in it what became of the run, however it ends.

    Raises
    ------
    OutputError
        When the folder cannot be made or written to.
    """
    with results_folder(out) as folder:
        try:
            yield folder
        except BaseException as error:
            record.status = "interrupted" if is_interrupt(error) else type(error).__name__
            record.message = str(error)
            if folder is not None:
                if isinstance(error, InfeasibleError):
                    write_conflict(error, folder)
                else:
                    forget_conflict(folder)
                write_record(record, folder)
            raise
        if folder is not None:
            forget_conflict(folder)
            write_record(record, folder)


def is_interrupt(error: BaseException) -> bool:
    """Whether somebody pressed Ctrl-C; in the midst of a query DuckDB has a word of its own."""
    own = isinstance(error, RuntimeError) and "Query interrupted" in str(error)
    return own or isinstance(error, KeyboardInterrupt)


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


@contextmanager
def stage(name: str, record: Record, progress: Progress) -> Iterator[None]:
    """Say that a stage begins, and keep how long it took."""
    progress(name)
    started = time.perf_counter()
    yield
    record.seconds[name] = time.perf_counter() - started


def write_rejected(rejected: pd.DataFrame, path: Path) -> None:
    """Write the rejected rows with their reasons; no file where there are none."""
    if rejected.empty:
        path.unlink(missing_ok=True)
    else:
        write_csv(rejected, path, index=False)


def write_record(record: Record, folder: Path) -> None:
    """Write run.json."""
    with whole_file(folder / "run.json") as draft:
        draft.write_text(json.dumps(record.to_dict(), indent=2, ensure_ascii=False) + "\n")
