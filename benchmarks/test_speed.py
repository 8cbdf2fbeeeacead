"""The registry under pytest-benchmark, and what the benchmarks rest on.

``pytest benchmarks --benchmark-enable`` times; without that switch each program is solved once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import credit_portfolio as cp
from benchmarks import measure, scaling, solver_peers, sweep
from benchmarks.peers import ACCURACY, PEERS
from benchmarks.registry import BLOCK, COMMON, INTERVALS, SPECS, Spec, panel, program
from credit_portfolio.risk.estimators import ledoit_wolf

EVERYDAY = [f"{family}-{size}" for family in COMMON for size in ("100", "1k")]
OTHERS = [name for name in PEERS if name != "credit_portfolio"]


@pytest.mark.parametrize("name", [*EVERYDAY, "common-30k", "idiosyncratic-30k", "groups-10k"])
def test_ours_proves_its_answer(benchmark: Any, name: str) -> None:
    stated = program(SPECS[name])
    solution = benchmark(cp.solve, stated)
    assert solution.certificate.worst <= ACCURACY


@pytest.mark.filterwarnings("ignore")  # other libraries' own
@pytest.mark.parametrize("solver", OTHERS)
def test_a_peer_solves_the_same_program(benchmark: Any, solver: str) -> None:
    peer = PEERS[solver]
    if not peer.installed:
        pytest.skip(f"{peer.module} is not installed")
    stated = program(SPECS["common-100"])
    w, y = benchmark(peer.solve, stated)
    row = solver_peers.score(stated, w, y)
    # OSQP ends at what its polishing reaches; the others are asked for 1e-9.
    assert row.get("certificate", row.get("primal")) < 1e-6
    assert row["objective"] == pytest.approx(cp.solve(stated).objective, rel=1e-6)


def test_the_same_spec_makes_the_same_program() -> None:
    first, second = (program(SPECS["common-1k"]) for _ in range(2))
    np.testing.assert_array_equal(first.factors, second.factors)
    np.testing.assert_array_equal(first.row_upper, second.row_upper)


def test_blocks_make_the_covariance_of_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    spec, n = Spec("small", 900), 900
    monkeypatch.setattr("benchmarks.registry.BLOCK", 300)
    made = program(spec)
    movement = np.random.default_rng([spec.seed, 0]).standard_normal(spec.n_periods)
    drawn = [
        panel(spec, movement, 300, np.random.default_rng([spec.seed, 1 + b])) for b in range(3)
    ]
    whole = ledoit_wolf(np.hstack(drawn))
    assert n < BLOCK
    np.testing.assert_allclose(made.factors, whole.factors, rtol=1e-12)
    np.testing.assert_allclose(made.idiosyncratic, whole.idiosyncratic, rtol=1e-11)


def test_returns_lie_in_the_intervals_and_some_are_missing() -> None:
    returns = panel(SPECS["common-1k"], np.zeros(36), 1000, np.random.default_rng(3))
    assert not INTERVALS.outside(returns).any()
    assert 0.05 < np.isnan(returns).mean() < 0.15


@pytest.mark.parametrize(
    ("family", "least", "most"), [("common", 0, 0.1), ("idiosyncratic", 0.9, 1)]
)
def test_families_differ_in_how_many_end_between_their_bounds(
    family: str, least: float, most: float
) -> None:
    stated = program(SPECS[f"{family}-1k"])
    x = cp.solve(stated).x
    between = np.mean((x > stated.lower) & (x < stated.upper))
    assert least <= between <= most


def test_a_score_tells_a_bad_answer() -> None:
    stated = program(SPECS["common-100"])
    w = np.full(100, 0.01)
    assert solver_peers.score(stated, w, np.zeros(stated.n_rows))["certificate"] > 0.01
    assert solver_peers.score(stated, 0.5 * w, None)["primal"] > 0.1


def test_own_arrays_are_counted_in_full() -> None:
    spec = SPECS["common-1k"]
    # c is beside what the spec counts twice over: F, rows, D, c, lower, upper.
    assert measure.program_bytes(program(spec)) == spec.bytes


def test_tables_show_what_was_not_run() -> None:
    row = {"spec": "common-1m", "n": 1, "solver": "skfolio", "not_run": "n × n"}
    assert "n × n" in solver_peers.line(row)
    assert "killed" in "\n".join(scaling.lines([{"spec": "common-10m", "failed": "killed"}]))


def test_the_machine_is_described_without_its_name() -> None:
    import platform

    told = " ".join(measure.machine(["numpy"]))
    assert "cores of" in told
    assert platform.node() not in told


@pytest.mark.parametrize("name", ["common-10k", "idiosyncratic-10k"])
def test_a_sweep_ends_where_cold_solves_do(name: str) -> None:
    assert sweep.sweep(name, points=11).apart <= sweep.AGREED
