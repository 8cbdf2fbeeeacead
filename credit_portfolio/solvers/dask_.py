"""Programs that are larger than a machine: the method of ``dual_newton`` over Dask workers.

The customers are cut into pieces. A piece is the result of a task that reads it from a file, so
that a worker which dies takes nothing along: Dask reads the piece again elsewhere. Everything
else is a round: one pure function of a piece and a few numbers, sent to all pieces, whose answers
are added up in the order of the pieces, whoever finished first. Nothing is remembered on a worker
between rounds; what a round needs of an earlier one is computed again from its multipliers.

sample
    A random part of the customers of each piece gives the first multipliers.
look
    What the customers do at given multipliers: K w and its Hessian, k + q and (k + q)² numbers, for
    a step on the dual. While the multipliers are in doubt it is the expected one.
lengths
    The same product at many lengths of a step, where a whole one went too far.
sift
    The customers nearest to changing sides, and the sums of all others; the program of the near
    is solved by the client.
certify
    Both passes of the certificate, as sums and maxima of each piece.

Where neither the steps nor sifting settle there is no interior point on all customers behind them:
the answer is a failure with its reason.
"""

from __future__ import annotations

import math
import sys
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import numpy as np
from scipy import sparse

from credit_portfolio.errors import (
    CreditPortfolioError,
    DataError,
    MissingDependencyError,
    ModelError,
    OutputError,
    SolverError,
    did_you_mean,
    listing,
)
from credit_portfolio.program.certificate import (
    Certificate,
)
from credit_portfolio.program.columns import workers
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import spread
from credit_portfolio.solvers.solution import Candidate, Status

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import ArrayLike, NDArray

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Index = NDArray[np.intp]

INSTALL = 'pip install "credit-portfolio[cluster]"'

# 200,000 customers of 43 rows are 70 MB: small beside a worker's memory, so that another worker
# can take one over, and 0.05 s of work, ten times what Dask spends on a task.
_PIECE = 200_000
# A task that fails is tried so often again: a worker may die, a file system may have a bad moment.
_RETRIES = 3
# A scheduler that is there answers within milliseconds; workers of a cluster that is just starting
# may take their time to register.
_CONNECT_SECONDS, _WORKER_SECONDS = 5.0, 60.0

# Any free port of this machine, not to be reached from another.
_LOOPBACK = "127.0.0.1:0"

_OPTIONS = ("address", "n_workers", "threads_per_worker", "pieces", "folder", "progress")


@dataclass(frozen=True, slots=True)
class Round:
    """One function over all pieces.

    Attributes
    ----------
    name : str
        "load", "survey", "sample", "look", "lengths", "sift", "certify", "shares" or "write".
    pieces : int
    sent, received : int
        Bytes of the numbers that went to all workers and came back, without the wrapping.
    seconds : float
        From the first message to the last answer.
    busy : float
        Seconds of work added up over the pieces; NaN for "load", whose answers stay where they are.
    """

    name: str
    pieces: int
    sent: int
    received: int
    seconds: float
    busy: float


@dataclass(frozen=True, eq=False, slots=True)
class ClusterSolution:
    """What ``solve_parquet`` found; all but ``shares`` is small whatever n is.

    Attributes
    ----------
    status : Status
        Optimal where the certificate holds, else failed.
    objective : float
        NaN where no point was found.
    row_multipliers : dict of str to float
        By name of the row; positive where it presses against its upper bound.
    exposure : ndarray, shape (k,)
        F w; NaN where no point was found.
    certificate : Certificate
        Recomputed from the files by the workers.
    shares : ndarray, shape (n,), or None
        In the order of the files' names and of their rows; None where they were written to ``out``
        or no point was found.
    message : str
    n_customers : int
    seconds : float
        Of the whole call.
    searching : float
        Without starting and stopping a cluster of our own: rounds, and the client between them.
    rounds : tuple of Round
    """

    status: Status
    objective: float
    row_multipliers: dict[str, float]
    exposure: Vector
    certificate: Certificate
    shares: Vector | None
    message: str
    n_customers: int
    seconds: float
    searching: float
    rounds: tuple[Round, ...] = field(repr=False)


def solve_with_dask(
    program: CreditProgram, tolerance: float, options: Mapping[str, Any]
) -> Candidate:
    """Solve a program in memory over Dask workers.

    Parameters
    ----------
    program : CreditProgram
        Written once, in pieces, to a temporary folder that is removed at the end.
    tolerance : float
    options : mapping
        ``address`` of a scheduler (str); without it workers are started on this machine, as many
        as ``n_workers`` (one per core) with ``threads_per_worker`` (1). ``pieces``: how many files
        the customers are cut into. ``folder``: where the temporary folder goes; workers on other
        machines must see it under the same path. ``progress``: a bar for each round on stderr.

    Raises
    ------
    ModelError
        For an unknown option or an impossible value.
    MissingDependencyError
        Without Dask.
    SolverError
        When the scheduler cannot be reached, or a task fails for good.
    OutputError
        When the temporary folder cannot be written.
    """
    asked = _request(options)
    with ExitStack() as stack:
        folder = stack.enter_context(_temporary_folder(asked.folder))
        client = stack.enter_context(_connected(asked, folder))
        count = asked.pieces or _pieces(program.n_customers, sum(client.nthreads().values()))
        sources = _write_pieces(program, folder, min(count, program.n_customers))
        rounds = _Rounds(client, sources, show=asked.progress)
        stack.callback(rounds.release)
        found, said = spread.find(rounds, _frame(program), tolerance)
        if found is None:
            return Candidate(None, None, said, len(rounds.done))
        w = np.concatenate(rounds("shares", spread.shares, each=found.recipes(len(sources))))
        return Candidate(w, found.y, said, len(rounds.done), sharp=True)


def solve_parquet(
    folder: str | Path,
    *,
    row_lower: ArrayLike,
    row_upper: ArrayLike,
    row_names: Sequence[str] | None = None,
    tolerance: float = 1e-9,
    address: str | None = None,
    out: str | Path | None = None,
    progress: bool = False,
) -> ClusterSolution:
    """Solve a program whose customers lie in a folder of Parquet files, over Dask workers.

    Every file is a piece, every row of it a customer, with the columns ``f0`` … of the factors,
    ``a0`` … of the rows, ``idiosyncratic``, ``linear``, ``lower`` and ``upper``, as
    ``CreditProgram`` has them. Other columns are left alone.

    Parameters
    ----------
    folder : str or Path
        With ``*.parquet`` files; workers must see it under the same path.
    row_lower, row_upper : array_like, shape (q,) or scalar
    row_names : sequence of str, optional
        "row 0", "row 1", … by default.
    tolerance : float, default 1e-9
        The largest relative residual with which an answer counts as optimal.
    address : str, optional
        Of a Dask scheduler; without it workers are started on this machine.
    out : str or Path, optional
        Folder that gets a file of the same name for each file read, with the column ``share``, and
        ``customer_id`` where the file read has one. Without it the shares are gathered.
    progress : bool, default False
        A bar for each round on stderr.

    Returns
    -------
    ClusterSolution
        Optimal where the certificate holds, else failed; infeasibility is not proved here.

    Raises
    ------
    DataError
        When the folder has no files, or a file lacks a column, has no row or an impossible entry.
    ModelError, MissingDependencyError, SolverError, OutputError
        As ``solve_with_dask``; OutputError also where ``out`` already has one of the files.
    """
    started = time.perf_counter()
    if not 0 < tolerance < 1:
        raise ModelError(f"tolerance is {tolerance}; expected a number between 0 and 1, as 1e-9")
    asked = _request({"address": address, "progress": progress})
    paths = _part_files(Path(folder))
    k, q = _layout(paths[0])
    frame = CreditProgram(
        factors=np.zeros((k, 1)),
        rows=np.zeros((q, 1)),
        row_lower=row_lower,
        row_upper=row_upper,
        row_names=row_names,
    )
    sources = [_Source(str(path), _rows_of(path), frame) for path in paths]
    targets = None if out is None else _targets(Path(out), paths)
    with ExitStack() as stack:
        scratch = stack.enter_context(_temporary_folder(None))
        client = stack.enter_context(_connected(asked, scratch))
        rounds = _Rounds(client, sources, show=progress)
        stack.callback(rounds.release)
        found, said = spread.find(rounds, frame, tolerance)
        solution = _conclude(rounds, frame, found, said, tolerance, targets)
    return replace(solution, seconds=time.perf_counter() - started)


def _conclude(
    rounds: _Rounds,
    frame: CreditProgram,
    found: spread.Found | None,
    said: str,
    tolerance: float,
    targets: list[str] | None,
) -> ClusterSolution:
    n = sum(rounds.sizes)
    status, objective, shares = Status.FAILED, math.nan, None
    exposure = np.full(frame.n_factors, np.nan)
    certificate = Certificate(np.inf, np.inf, np.inf, tolerance)
    y = np.full(frame.n_rows, np.nan)
    if found is not None:
        certificate, levels, y = spread.certify_spread(rounds, frame, found, tolerance)
        exposure = levels.exposure
        objective = float(exposure @ exposure) + levels.spread + levels.cost
        status = Status.OPTIMAL if certificate.holds else Status.FAILED
        said = said if certificate.holds else f"{said}; refused: {certificate}"
        recipes = found.recipes(len(rounds.sizes))
        if targets is None:
            shares = np.concatenate(rounds("shares", spread.shares, each=recipes))
        elif certificate.holds:
            writes = [
                (source, target, *recipe)
                for source, target, recipe in zip(rounds.sources, targets, recipes, strict=True)
            ]
            rounds("write", _write_shares, each=writes)
    return ClusterSolution(
        status=status,
        objective=objective,
        row_multipliers=dict(zip(frame.row_names, y.tolist(), strict=True)),
        exposure=exposure,
        certificate=certificate,
        shares=shares,
        message=said,
        n_customers=n,
        seconds=math.nan,  # known once the cluster is closed
        searching=time.perf_counter() - rounds.started,
        rounds=tuple(rounds.done),
    )


# --- what is asked for --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Request:
    address: str | None = None
    n_workers: int | None = None
    threads_per_worker: int | None = None
    pieces: int | None = None
    folder: str | None = None
    progress: bool = False


def check_options(options: Mapping[str, Any]) -> None:
    """Raise a ModelError for an option that ``solve_with_dask`` does not have or cannot use."""
    _request(options)


def _request(options: Mapping[str, Any]) -> _Request:
    for name in options:
        if name not in _OPTIONS:
            raise ModelError(
                f"dask has no option {name!r}; it has {listing(_OPTIONS, 9)}."
                f"{did_you_mean(name, _OPTIONS)}"
            )
    asked = _Request(**options)
    for name in ("n_workers", "threads_per_worker", "pieces"):
        value = getattr(asked, name)
        if value is not None and not (type(value) is int and value > 0):
            raise ModelError(f"option {name} of dask is {value!r}; expected a whole number above 0")
    if asked.address is not None and (asked.n_workers or asked.threads_per_worker):
        raise ModelError(
            f"the cluster at {asked.address} has its own workers; leave n_workers and "
            "threads_per_worker out, or the address"
        )
    return asked


def _pieces(n_customers: int, threads: int) -> int:
    """Return how many pieces: as many for each thread, so that none waits at the end of a round."""
    return max(threads, 1) * math.ceil(n_customers / (max(threads, 1) * _PIECE))


@contextmanager
def _temporary_folder(parent: str | None) -> Iterator[Path]:
    try:
        made = TemporaryDirectory(
            prefix="credit-portfolio-", dir=parent, ignore_cleanup_errors=True
        )
    except OSError as error:
        raise OutputError(
            f"the pieces of the program cannot be written to {parent or 'the temporary folder'}: "
            f"{error}; name another place with folder="
        ) from error
    with made as name:
        yield Path(name)


@contextmanager
def _connected(asked: _Request, scratch: Path) -> Iterator[Any]:
    """Open a client of the cluster asked for, or of one on this machine, and close what we opened.

    The dashboard of our own cluster answers on this machine only.
    """
    try:
        import distributed as dask
    except ImportError as error:
        raise MissingDependencyError(
            f"solving over a cluster needs Dask, which is not installed; run: {INSTALL}"
        ) from error
    distributed: Any = dask  # typed in part only
    with ExitStack() as stack:
        if asked.address is None:
            cluster = stack.enter_context(_own_cluster(distributed, asked, scratch))
            where = cluster.scheduler_address
        else:
            where = asked.address
        try:
            client = distributed.Client(where, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError, TimeoutError) as error:
            raise SolverError(
                f"no Dask scheduler answers at {where}: {error}; start one, or correct the address"
            ) from error
        stack.callback(client.close)
        try:
            client.wait_for_workers(1, timeout=_WORKER_SECONDS)
        except TimeoutError as error:
            raise SolverError(
                f"the Dask scheduler at {where} has no workers after {_WORKER_SECONDS:.0f} s; "
                "start some, then repeat"
            ) from error
        if asked.progress:
            print(f"dashboard: {client.dashboard_link}", file=sys.stderr)
        yield client


@contextmanager
def _own_cluster(distributed: Any, asked: _Request, scratch: Path) -> Iterator[Any]:
    from dask.system import CPU_COUNT

    try:
        cluster = distributed.LocalCluster(
            n_workers=asked.n_workers or CPU_COUNT,
            threads_per_worker=asked.threads_per_worker or 1,
            processes=True,
            # None would not switch them off: they would answer at port 8787, to every machine.
            dashboard_address=_LOOPBACK,
            worker_dashboard_address=_LOOPBACK,
            local_directory=str(scratch),
        )
    except RuntimeError as error:
        raise SolverError(
            f"no workers could be started on this machine: {error}; in a script, solve below "
            "`if __name__ == '__main__':`, since each worker imports the script"
        ) from error
    with cluster:
        yield cluster


# --- pieces in files ----------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Source:
    """Where a piece lies; the frame has the bounds of the rows and no customers' data."""

    path: str
    n: int
    frame: CreditProgram


def _frame(program: CreditProgram) -> CreditProgram:
    """Return the same rows over a single customer without data: all that the client needs."""
    return CreditProgram(
        factors=np.zeros((program.n_factors, 1)),
        rows=np.zeros((program.n_rows, 1)),
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        row_names=program.row_names,
    )


def _write_pieces(program: CreditProgram, folder: Path, count: int) -> list[_Source]:
    frame = _frame(program)
    edges = np.linspace(0, program.n_customers, count + 1).astype(int)
    columns: Any = None if isinstance(program.rows, np.ndarray) else sparse.csc_array(program.rows)
    sources = []
    for number, (start, stop) in enumerate(pairwise(edges)):
        arrays = {
            name: getattr(program, name)[..., start:stop]
            for name in ("factors", "idiosyncratic", "linear", "lower", "upper")
        }
        if columns is None:
            arrays["rows"] = program.rows[:, start:stop]
        else:
            part = columns[:, start:stop].tocsr()
            arrays |= {"data": part.data, "indices": part.indices, "indptr": part.indptr}
        path = folder / f"piece-{number:05d}.npz"
        try:
            np.savez(path, **arrays)
        except OSError as error:
            raise OutputError(
                f"piece {number} of {count} cannot be written to {path}: {error}; free space, or "
                "name another place with folder="
            ) from error
        sources.append(_Source(str(path), int(stop - start), frame))
    return sources


def _parquet() -> Any:
    import pyarrow.parquet  # type: ignore[import-untyped]

    return pyarrow.parquet


def _part_files(folder: Path) -> list[Path]:
    paths = sorted(folder.glob("*.parquet"))
    if not paths:
        raise DataError(f"{folder} has no file *.parquet; expected one file or more of customers")
    return [path.resolve() for path in paths]


def _layout(path: Path) -> tuple[int, int]:
    """Count the factors and rows that a file has."""
    pq = _parquet()

    names = set(pq.read_schema(path).names)

    def count(letter: str) -> int:
        size = 0
        while f"{letter}{size}" in names:
            size += 1
        return size

    return count("f"), count("a")


def _rows_of(path: Path) -> int:
    pq = _parquet()

    count = int(pq.read_metadata(path).num_rows)
    if count == 0:
        raise DataError(f"{path} has no row; remove it, or fill it with customers")
    return count


def _targets(out: Path, paths: list[Path]) -> list[str]:
    out = out.resolve()
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{out} cannot be made: {error}; choose another place") from error
    targets = [out / path.name for path in paths]
    there = [target.name for target in targets if target.exists()]
    if there:
        raise OutputError(
            f"{out} already has {listing(there)}; nothing is written over: choose an empty folder"
        )
    return [str(target) for target in targets]


def _load(source: _Source) -> CreditProgram:
    """Read a piece; it is checked as every program is."""
    frame = source.frame
    bounds: dict[str, Any] = {"row_lower": frame.row_lower, "row_upper": frame.row_upper}
    if source.path.endswith(".parquet"):
        return _load_parquet(source.path, frame, bounds)
    with np.load(source.path) as arrays:
        found: dict[str, Any] = dict(arrays)
    if "rows" not in found:
        parts = (found.pop("data"), found.pop("indices"), found.pop("indptr"))
        found["rows"] = sparse.csr_array(parts, shape=(frame.n_rows, source.n))
    return CreditProgram(**found, **bounds)


def _load_parquet(path: str, frame: CreditProgram, bounds: dict[str, Any]) -> CreditProgram:
    pq = _parquet()

    layout = _layout(Path(path))
    if layout != (frame.n_factors, frame.n_rows):
        raise DataError(
            f"{path} has {layout[0]} factors and {layout[1]} rows (columns f0 …, a0 …); expected "
            f"{frame.n_factors} and {frame.n_rows}, as the first file has"
        )
    vectors = ["idiosyncratic", "linear", "lower", "upper"]
    missing = sorted(set(vectors) - set(pq.read_schema(path).names))
    if missing:
        raise DataError(f"{path} lacks {listing(missing)}; every file needs {listing(vectors)}")

    def matrix(letter: str, size: int) -> Matrix:
        names = [f"{letter}{row}" for row in range(size)]
        table = pq.read_table(path, columns=names)
        made = np.empty((size, table.num_rows))
        for row, name in enumerate(names):
            made[row] = table.column(name).to_numpy()
        return made

    table = pq.read_table(path, columns=vectors)
    n = table.num_rows
    try:
        return CreditProgram(
            factors=matrix("f", layout[0]) if layout[0] else np.zeros((0, n)),
            rows=matrix("a", layout[1]) if layout[1] else np.zeros((0, n)),
            **{name: table.column(name).to_numpy() for name in vectors},
            **bounds,
        )
    except (ModelError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error


# --- rounds -------------------------------------------------------------------------------------


class _Rounds:
    """Sends a function over all pieces and gathers in their order; keeps a record of each round."""

    def __init__(self, client: Any, sources: list[_Source], *, show: bool) -> None:
        self.client, self.sources, self.show = client, sources, show
        self.sizes = [source.n for source in sources]
        self.done: list[Round] = []
        # Keys are new for each solve: a result of an earlier one must not be taken for ours.
        self._token = uuid4().hex
        self.started = time.perf_counter()
        self._pieces = self._submit("load", _load, [(source,) for source in sources])
        self._await("load", self._pieces)
        seconds = time.perf_counter() - self.started
        self.done.append(Round("load", len(sources), 0, 0, seconds, math.nan))

    def __call__(
        self,
        name: str,
        work: Callable[..., Any],
        *shared: Any,
        each: Sequence[tuple[Any, ...]] | None = None,
    ) -> list[Any]:
        """Return what the work gives for every piece, its own arguments last, in order."""
        started = time.perf_counter()
        of_each = [()] * len(self._pieces) if each is None else each
        calls = [
            (work, piece, *shared, *own) for piece, own in zip(self._pieces, of_each, strict=True)
        ]
        futures = self._submit(name, _timed, calls)
        self._await(name, futures)
        answers = self._gather(name, futures)
        results = [result for _, result in answers]
        sent = sum(_bytes(shared) + _bytes(own) for own in of_each)
        busy = sum(seconds for seconds, _ in answers)
        seconds = time.perf_counter() - started
        self.done.append(Round(name, len(calls), sent, _bytes(results), seconds, busy))
        return results

    def release(self) -> None:
        """Let the workers forget the pieces."""
        for piece in self._pieces:
            piece.release()

    def _submit(
        self, name: str, work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]
    ) -> list[Any]:
        label = f"{name}-{self._token}-{len(self.done)}"
        return [
            self.client.submit(
                work, *arguments, key=f"{label}-{number}", retries=_RETRIES, pure=False
            )
            for number, arguments in enumerate(calls)
        ]

    def _gather(self, name: str, futures: list[Any]) -> list[Any]:
        from distributed.scheduler import KilledWorker

        try:
            return list(self.client.gather(futures))
        except CreditPortfolioError:
            raise
        except KilledWorker as error:
            raise SolverError(
                f"workers died over and over in {name}: {error}; a piece and its scratch may not "
                "fit their memory: use more pieces, or workers with more memory"
            ) from error
        except FileNotFoundError as error:
            raise SolverError(
                f"a worker cannot read a piece: {error}; the files must lie where all workers see "
                "them under the same path"
            ) from error
        except Exception as error:
            raise SolverError(f"{name} failed on a worker for good: {error!r}") from error

    def _await(self, name: str, futures: list[Any]) -> None:
        """Wait for a round, and show how far it is; what went wrong in it is for ``_gather``."""
        import distributed

        in_turn: Any = distributed.as_completed
        total = len(futures)
        for ended, _ in enumerate(in_turn(futures, loop=self.client.loop), start=1):
            if self.show:
                full = 30 * ended // total
                line = f"\r{len(self.done):3d} {name:8s} [{'=' * full:30s}] {ended:,}/{total:,}"
                print(line, end="" if ended < total else "\n", file=sys.stderr, flush=True)


def _timed(work: Callable[..., Any], *arguments: Any) -> tuple[float, Any]:
    """Do some work with BLAS on one thread: a worker has its own threads, one for each task."""
    with workers(0):
        started = time.perf_counter()
        result = work(*arguments)
        return time.perf_counter() - started, result


def _bytes(value: Any) -> int:
    """Size of the numbers in an answer."""
    if isinstance(value, np.ndarray):
        return value.nbytes
    if isinstance(value, (list, tuple)):
        return sum(map(_bytes, value))
    if isinstance(value, (int, float, bool)):
        return 8
    if isinstance(value, sparse.csr_array):
        return _bytes([value.data, value.indices, value.indptr])
    names = getattr(value, "__slots__", ())
    return sum(_bytes(getattr(value, name)) for name in names)


# --- what a worker writes -------------------------------------------------------------------------


def _write_shares(
    piece: CreditProgram,
    source: _Source,
    target: str,
    nu: Vector,
    inside: Index | None,
    given: Vector | None,
) -> int:
    """Write a piece's shares; the name appears once the file is whole, also when tried again."""
    import pyarrow as pa

    pq = _parquet()

    columns: dict[str, Any] = {}
    if "customer_id" in pq.read_schema(source.path).names:
        columns["customer_id"] = pq.read_table(source.path, columns=["customer_id"]).column(0)
    columns["share"] = spread.shares(piece, nu, inside, given)
    unfinished = Path(f"{target}.{uuid4().hex}.part")
    try:
        pq.write_table(pa.table(columns), unfinished)
        unfinished.replace(target)
    except OSError as error:
        with suppress(OSError):
            unfinished.unlink()
        raise OutputError(
            f"shares cannot be written to {target}: {error}; choose another place"
        ) from error
    return piece.n_customers
