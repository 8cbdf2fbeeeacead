"""Solving over Dask workers: the answers of one machine, whatever happens to a worker."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from scipy import sparse

from credit_portfolio.errors import (
    DataError,
    MissingDependencyError,
    ModelError,
    OutputError,
    SolverError,
)
from credit_portfolio.program.certificate import certify
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import dask_, solve, spread
from credit_portfolio.solvers.dask_ import solve_parquet, solve_with_dask
from credit_portfolio.solvers.dual_newton import SMALL
from credit_portfolio.solvers.parts import taken
from credit_portfolio.solvers.response import responds

distributed: Any = pytest.importorskip("distributed", reason="Dask is not installed")

N = 3 * SMALL


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    cluster = distributed.LocalCluster(
        n_workers=2,
        threads_per_worker=1,
        processes=True,
        memory_limit="1GiB",
        dashboard_address="127.0.0.1:0",
        worker_dashboard_address="127.0.0.1:0",
    )
    with cluster:
        yield cluster.scheduler_address


def book(common: float, n: int = N, seed: int = 0) -> CreditProgram:
    """A budget, a target that binds and an idle one over n customers with equal caps."""
    rng = np.random.default_rng(seed)
    factors = common * rng.normal(1.0, 0.5, (6, n)) + (1 - common) * rng.normal(0, 1, (6, n))
    late = rng.uniform(0.0, 0.4, n)
    return CreditProgram(
        factors=factors / 20,
        idiosyncratic=rng.uniform(0.02, 0.05, n),
        rows=np.vstack([np.ones(n), late, rng.uniform(0.0, 1.0, n)]),
        row_lower=[1.0, -np.inf, -np.inf],
        row_upper=[1.0, 0.17, 0.9],
        upper=5.0 / n,
        row_names=["budget", "late", "idle"],
    )


def with_groups(program: CreditProgram) -> CreditProgram:
    """The same book with sparse rows: the dense ones, and four groups held to a third each."""
    n = program.n_customers
    member = np.arange(n) % 4
    groups = sparse.csr_array((np.ones(n), (member, np.arange(n))), shape=(4, n))
    return CreditProgram(
        factors=program.factors,
        idiosyncratic=program.idiosyncratic,
        rows=sparse.vstack([sparse.csr_array(program.rows), groups], "csr"),
        row_lower=[*program.row_lower, -np.inf, -np.inf, -np.inf, -np.inf],
        row_upper=[*program.row_upper, 0.2, 0.3, 0.3, 0.3],
        upper=program.upper,
    )


def write_parts(program: CreditProgram, folder: Path, edges: list[int]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number, (start, stop) in enumerate(pairwise(edges)):
        columns: dict[str, Any] = {"customer_id": [f"C{i}" for i in range(start, stop)]}
        columns |= {f"f{i}": row[start:stop] for i, row in enumerate(program.factors)}
        columns |= {f"a{i}": row[start:stop] for i, row in enumerate(program.rows)}
        for name in ("idiosyncratic", "linear", "lower", "upper"):
            columns[name] = getattr(program, name)[start:stop]
        pq.write_table(pa.table(columns), folder / f"part-{number:02d}.parquet")


def assert_same_answer(program: CreditProgram, w: np.ndarray, reference: np.ndarray) -> None:
    assert program.objective(w) == pytest.approx(program.objective(reference), rel=1e-9)
    assert np.abs(w - reference).max() <= 1e-9 * np.abs(reference).max()


# Moved by the market, almost everybody ends at a bound; alone, almost everybody between them.
BOOKS = {"common": book(0.9), "idiosyncratic": book(0.02), "groups": with_groups(book(0.9))}


@pytest.fixture(scope="module")
def local() -> dict[str, np.ndarray]:
    """Shares that one machine finds, of each book."""
    shares = {}
    for name, program in BOOKS.items():
        shares[name] = solve(program, tolerance=1e-12).x
    return shares


@pytest.mark.parametrize("name", BOOKS)
@pytest.mark.parametrize("pieces", [2, 5])
def test_workers_give_the_answer_of_one_machine(
    name: str, pieces: int, address: str, local: dict[str, np.ndarray]
) -> None:
    program = BOOKS[name]
    found = solve_with_dask(program, 1e-9, {"address": address, "pieces": pieces})
    assert found.w is not None
    assert found.y is not None
    assert certify(program, found.w, found.y, 1e-9)[0].holds
    assert_same_answer(program, found.w, local[name])


def test_both_methods_are_met(address: str) -> None:
    said = {
        name: solve_with_dask(program, 1e-9, {"address": address}).said
        for name, program in BOOKS.items()
    }
    assert said["common"].startswith("sifting settled")
    assert said["idiosyncratic"].startswith("dual Newton settled")


def test_a_small_program_is_solved_whole(address: str) -> None:
    program = book(0.9, n=500)
    found = solve_with_dask(program, 1e-9, {"address": address, "pieces": 3})
    reference = solve(program, tolerance=1e-12)
    assert found.w is not None
    assert found.said == "the interior point settled on all 500 customers"
    assert program.objective(found.w) == pytest.approx(program.objective(reference.x), rel=1e-9)


def test_customers_without_variance_of_their_own_are_sifted(address: str) -> None:
    program = book(0.9)
    varied = np.where(np.arange(N) % 3 == 0, 0.0, program.idiosyncratic)
    partly = CreditProgram(
        factors=program.factors,
        idiosyncratic=varied,
        rows=program.rows,
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        upper=program.upper,
    )
    found = solve_with_dask(partly, 1e-9, {"address": address})
    reference = solve(partly, "interior_point")
    assert found.w is not None
    assert found.y is not None
    assert certify(partly, found.w, found.y, 1e-9)[0].holds
    assert partly.objective(found.w) == pytest.approx(partly.objective(reference.x), rel=1e-9)


def test_a_program_without_a_feasible_point_has_no_answer(address: str) -> None:
    program = book(0.9)
    impossible = CreditProgram(
        factors=program.factors,
        idiosyncratic=program.idiosyncratic,
        rows=program.rows,
        row_lower=[1.0, -np.inf, 0.9999],
        row_upper=[1.0, 0.01, 1.0],
        upper=program.upper,
    )
    found = solve_with_dask(impossible, 1e-9, {"address": address})
    assert found.w is None
    assert found.y is None
    assert "feasible" in found.said or "settled" in found.said


# --- files --------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["common", "idiosyncratic"])
def test_files_give_the_answer_of_one_machine(
    name: str, address: str, tmp_path: Path, local: dict[str, np.ndarray]
) -> None:
    program = BOOKS[name]
    edges = [0, 10, 30_000, 45_000, N]
    write_parts(program, tmp_path / "book", edges)
    found = solve_parquet(
        tmp_path / "book",
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        row_names=program.row_names,
        address=address,
    )
    assert found.status == "optimal"
    assert found.certificate.holds
    assert found.shares is not None
    assert found.n_customers == N
    assert_same_answer(program, found.shares, local[name])
    assert found.objective == pytest.approx(program.objective(local[name]), rel=1e-9)
    np.testing.assert_allclose(found.exposure, program.factors @ local[name], rtol=1e-8)
    # The workers' certificate is the one that a machine with all customers computes.
    y = np.array(list(found.row_multipliers.values()))
    whole = certify(program, found.shares, y, 1e-9)[0]
    assert found.certificate.worst == pytest.approx(whole.worst, abs=1e-13)
    assert list(found.row_multipliers) == ["budget", "late", "idle"]
    assert found.row_multipliers["late"] > 0
    assert found.row_multipliers["idle"] == 0


def test_the_certificate_of_the_workers_sees_a_wrong_answer(
    address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = BOOKS["common"]
    write_parts(program, tmp_path / "book", [0, 25_000, N])
    find = spread.find

    def find_and_spoil(*arguments: Any) -> Any:
        found, said = find(*arguments)
        spoilt = [w * 1.001 for w in found.given]
        return spread.Found(found.nu, found.y, found.inside, spoilt), said

    monkeypatch.setattr(spread, "find", find_and_spoil)
    found = solve_parquet(
        tmp_path / "book",
        row_lower=program.row_lower,
        row_upper=program.row_upper,
        address=address,
        out=tmp_path / "out",
    )
    assert found.status == "failed"
    assert "refused: primal" in found.message
    assert list((tmp_path / "out").iterdir()) == []


def test_shares_are_written_beside_the_names_and_in_the_order_of_each_file(
    address: str, tmp_path: Path, local: dict[str, np.ndarray]
) -> None:
    program = BOOKS["common"]
    write_parts(program, tmp_path / "book", [0, 25_000, N])
    bounds = {"row_lower": program.row_lower, "row_upper": program.row_upper}
    found = solve_parquet(tmp_path / "book", **bounds, address=address, out=tmp_path / "out")
    assert found.shares is None
    written = sorted((tmp_path / "out").iterdir())
    assert [path.name for path in written] == ["part-00.parquet", "part-01.parquet"]
    table = pa.concat_tables([pq.read_table(path) for path in written])
    assert table.column("customer_id").to_pylist() == [f"C{i}" for i in range(N)]
    assert_same_answer(program, table.column("share").to_numpy(), local["common"])
    with pytest.raises(OutputError, match=r"already has 'part-00.parquet', 'part-01.parquet'"):
        solve_parquet(tmp_path / "book", **bounds, address=address, out=tmp_path / "out")


def test_the_names_of_the_files_decide_nothing_but_the_order(
    address: str, tmp_path: Path, local: dict[str, np.ndarray]
) -> None:
    program = BOOKS["common"]
    write_parts(program, tmp_path / "book", [0, 25_000, N])
    (tmp_path / "book" / "part-00.parquet").rename(tmp_path / "book" / "part-99.parquet")
    found = solve_parquet(
        tmp_path / "book", row_lower=program.row_lower, row_upper=program.row_upper, address=address
    )
    assert found.shares is not None
    turned = np.concatenate([local["common"][25_000:], local["common"][:25_000]])
    assert np.abs(found.shares - turned).max() <= 1e-9 * turned.max()


def test_a_file_that_does_not_fit_is_named(address: str, tmp_path: Path) -> None:
    program = book(0.9, n=300)
    folder = tmp_path / "book"
    bounds = {"row_lower": program.row_lower, "row_upper": program.row_upper}
    with pytest.raises(DataError, match=r"has no file \*\.parquet"):
        solve_parquet(folder, **bounds, address=address)
    write_parts(program, folder, [0, 100, 200, 300])
    second = folder / "part-01.parquet"
    whole = pq.read_table(second)
    for spoilt, said in [
        (whole.drop_columns(["f5"]), "has 5 factors and 3 rows .* expected 6 and 3"),
        (whole.drop_columns(["upper"]), "lacks 'upper'"),
        (whole.slice(0, 0), "has no row"),
        (whole.set_column(1, "f0", pa.array([None] * 100, pa.float64())), "factors has NaN"),
    ]:
        pq.write_table(spoilt, second)
        with pytest.raises(DataError, match=f"part-01.parquet.*{said}"):
            solve_parquet(folder, **bounds, address=address)


# --- workers that die ---------------------------------------------------------------------------


def _kill_one(client: Any) -> None:
    pids = client.run(os.getpid)
    os.kill(next(iter(pids.values())), signal.SIGKILL)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
@pytest.mark.parametrize("name", ["common", "idiosyncratic"])
@pytest.mark.parametrize("moment", ["between two rounds", "within a round"])
def test_a_killed_worker_changes_nothing(
    name: str, moment: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = BOOKS[name]
    quiet = solve_with_dask(program, 1e-9, {"address": address, "pieces": 4})
    killed = []
    submit = dask_._Rounds._submit

    def kill_at_the_fourth(self: Any, label: str, work: Any, calls: Any) -> Any:
        if len(self.done) != 4:
            return submit(self, label, work, calls)
        killed.append(label)
        if moment == "between two rounds":
            _kill_one(self.client)
            return submit(self, label, work, calls)
        futures = submit(self, label, work, calls)
        _kill_one(self.client)
        return futures

    monkeypatch.setattr(dask_._Rounds, "_submit", kill_at_the_fourth)
    found = solve_with_dask(program, 1e-9, {"address": address, "pieces": 4})
    assert len(killed) == 1
    assert quiet.w is not None
    assert found.w is not None
    np.testing.assert_array_equal(found.w, quiet.w)
    assert found.said == quiet.said


def test_a_piece_that_is_gone_for_good_is_named(address: str, tmp_path: Path) -> None:
    source = dask_._Source(str(tmp_path / "gone.npz"), 3, dask_._frame(book(0.9, n=3)))
    with distributed.Client(address, set_as_default=False) as client:
        rounds = dask_._Rounds(client, [source], show=False)
        with pytest.raises(SolverError, match=r"cannot read a piece: .*gone\.npz"):
            rounds("survey", responds)


# --- what is asked for --------------------------------------------------------------------------


def test_our_own_cluster_starts_solves_and_leaves_nothing_behind(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], local: dict[str, np.ndarray]
) -> None:
    options = {"n_workers": 1, "threads_per_worker": 2, "folder": str(tmp_path), "progress": True}
    found = solve_with_dask(BOOKS["common"], 1e-9, options)
    assert found.w is not None
    assert_same_answer(BOOKS["common"], found.w, local["common"])
    assert list(tmp_path.iterdir()) == []
    shown = capfd.readouterr().err
    assert "dashboard: http://127.0.0.1:" in shown
    assert "sift     [==============================] 2/2" in shown


def test_temporary_pieces_are_removed_also_after_a_failure(
    tmp_path: Path, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []

    def fail(*_: Any) -> Any:
        seen.extend(path.name for path in tmp_path.rglob("*.npz"))
        raise SolverError("on purpose")

    monkeypatch.setattr(spread, "find", fail)
    options = {"address": address, "folder": str(tmp_path), "pieces": 2}
    with pytest.raises(SolverError, match="on purpose"):
        solve_with_dask(BOOKS["common"], 1e-9, options)
    assert sorted(seen) == ["piece-00000.npz", "piece-00001.npz"]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"adress": "tcp://a:1"}, r"no option 'adress'.*Did you mean 'address'\?"),
        ({"pieces": 0}, "option pieces of dask is 0; expected a whole number above 0"),
        ({"n_workers": True}, "option n_workers of dask is True"),
        ({"address": "tcp://a:1", "n_workers": 2}, "has its own workers"),
    ],
)
def test_what_cannot_be_meant_is_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        solve_with_dask(book(0.9, n=3), 1e-9, options)


def test_an_address_where_nobody_answers_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dask_, "_CONNECT_SECONDS", 0.5)
    with pytest.raises(SolverError, match=r"no Dask scheduler answers at tcp://127\.0\.0\.1:1"):
        solve_with_dask(book(0.9, n=3), 1e-9, {"address": "tcp://127.0.0.1:1"})


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="nowhere"):
        solve_with_dask(book(0.9, n=3), 1e-9, {"folder": str(tmp_path / "nowhere")})


def test_without_dask_the_install_command_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(MissingDependencyError, match=r"credit-portfolio\[cluster\]"):
        solve_with_dask(book(0.9, n=3), 1e-9, {})


def test_a_round_knows_how_many_bytes_it_took() -> None:
    program = book(0.9, n=4)
    assert dask_._bytes((np.zeros(3), [1, 2.0], None, "text")) == 24 + 16
    assert dask_._bytes(taken(program, np.array([0, 2]))) == 8 * (2 * (6 + 3 + 4) + 6)


def test_a_rare_kind_of_customer_does_not_send_the_book_to_the_client(
    address: str, tmp_path: Path
) -> None:
    # One in 500 is troubled, and a row that only these fill binds: the sample has sixteen of them.
    program = book(0.9)
    rng = np.random.default_rng(3)
    troubled = rng.uniform(size=N) < 1 / 500
    rare = CreditProgram(
        factors=program.factors * np.where(troubled, 0.5, 1.0),
        idiosyncratic=program.idiosyncratic,
        rows=np.vstack([program.rows, troubled]),
        row_lower=[*program.row_lower, -np.inf],
        row_upper=[*program.row_upper, 0.004],
        upper=program.upper,
    )
    write_parts(rare, tmp_path / "book", [0, 25_000, N])
    found = solve_parquet(
        tmp_path / "book", row_lower=rare.row_lower, row_upper=rare.row_upper, address=address
    )
    assert found.status == "optimal"
    assert found.row_multipliers["row 3"] > 0
    whole = 8 * N * (6 + 4 + 4)
    assert sum(each.received for each in found.rounds if each.name == "sift") < 0.1 * whole
    reference = solve(rare, "interior_point", tolerance=1e-11)
    assert found.shares is not None
    assert rare.objective(found.shares) == pytest.approx(rare.objective(reference.x), rel=1e-9)
