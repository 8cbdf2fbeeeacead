"""Readers of published problem sets, and ``solve`` held against them.

Two formats: QPs in ``.mat`` files of the Maros–Mészáros form (P, q, r, A, l, u, as the OSQP and
qpbenchmark collections keep them), and the portfolio files of the OR-Library (Beasley 1990; Chang
et al. 2000). Each reader is tested on files written here from published formulas. To hold ``solve``
against the real ones, name folders in CREDIT_PORTFOLIO_MAROS_MESZAROS (``*.mat``, and optimal
values in ``optima.csv``, a line ``NAME,value`` each) and CREDIT_PORTFOLIO_OR_LIBRARY (``port1.txt``
with ``portef1.txt``, …).
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import sparse
from scipy.io import loadmat, savemat

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

CERTIFIED = 1e-9
# Published values are printed to nine digits.
PUBLISHED = 1e-8
# The files write 1e20 for "no bound".
NO_BOUND = 1e19
# Frontier files of the OR-Library are printed to about ten decimals.
FRONTIER = 2e-9
# An eigenvalue below this part of the largest is rounding; P is taken for semidefinite.
RANK = 1e-13


# ------------------------------------------------------------------------------------- the readers


def read_mat(path: Path) -> tuple[CreditProgram, float]:
    """Return the program and its constant r: min xᵀPx/2 + qᵀx + r, l ≤ A x ≤ u."""
    data = loadmat(path)
    P, A = (sparse.csr_array(data[name], dtype=float) for name in "PA")
    q, low, high = (np.ravel(np.asarray(data[name], dtype=float)) for name in ("q", "l", "u"))
    low = np.where(low <= -NO_BOUND, -np.inf, low)
    high = np.where(high >= NO_BOUND, np.inf, high)
    A, low, high, lower, upper = bounds_apart(A, low, high)
    F, D = factored(P)
    program = CreditProgram(
        factors=F,
        idiosyncratic=D,
        linear=q,
        rows=A,
        row_lower=low,
        row_upper=high,
        lower=lower,
        upper=upper,
    )
    return program, float(np.ravel(data["r"])[0])


def bounds_apart(A: Any, low: np.ndarray, high: np.ndarray) -> tuple[Any, ...]:
    """Take the rows with a single entry, which bound a variable, out of A."""
    m, n = A.shape
    lower, upper = np.full(n, -np.inf), np.full(n, np.inf)
    single = np.zeros(m, dtype=bool)
    for row in np.flatnonzero(np.diff(A.indptr) == 1):
        at, entry = A.indices[A.indptr[row]], A.data[A.indptr[row]]
        if entry == 0:
            continue
        ends = sorted((low[row] / entry, high[row] / entry))
        lower[at], upper[at] = max(lower[at], ends[0]), min(upper[at], ends[1])
        single[row] = True
    return A[~single], low[~single], high[~single], lower, upper


def factored(P: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return (F, D) with P/2 = FᵀF + diag(D): a diagonal stays one, the rest by eigenvectors."""
    half = 0.5 * P.toarray()
    # Some collections keep the upper triangle only.
    if not half[np.tril_indices_from(half, -1)].any():
        half = half + np.triu(half, 1).T
    assert np.allclose(half, half.T)
    n = half.shape[0]
    coupled = (half - np.diag(np.diagonal(half))).any(axis=0)
    D = np.where(coupled, 0.0, np.diagonal(half))
    values, vectors = np.linalg.eigh(half[np.ix_(coupled, coupled)])
    assert (values >= -RANK * 1e3 * np.abs(values).max(initial=0.0)).all(), "P is not semidefinite"
    kept = values > RANK * values.max(initial=0.0)
    F = np.zeros((int(kept.sum()), n))
    F[:, coupled] = np.sqrt(values[kept])[:, None] * vectors[:, kept].T
    return F, D


def read_port(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return means, standard deviations and correlations of an OR-Library portfolio file."""
    numbers = np.array(path.read_text().split(), dtype=float)
    n = int(numbers[0])
    mean, sd = numbers[1 : 1 + 2 * n].reshape(n, 2).T
    entries = numbers[1 + 2 * n :].reshape(-1, 3)
    C = np.eye(n)
    i, j = entries[:, 0].astype(int) - 1, entries[:, 1].astype(int) - 1
    C[i, j] = C[j, i] = entries[:, 2]
    return mean, sd, C


def read_frontier(path: Path) -> np.ndarray:
    """Return (mean, variance) per line of an OR-Library frontier file."""
    return np.array(path.read_text().split(), dtype=float).reshape(-1, 2)


def markowitz(mean: np.ndarray, sd: np.ndarray, C: np.ndarray, wanted: float) -> CreditProgram:
    """Least variance for a mean of at least ``wanted``, fully invested, nothing sold short."""
    values, vectors = np.linalg.eigh(C)
    kept = values > RANK * values.max()
    return CreditProgram(
        factors=np.sqrt(values[kept])[:, None] * vectors[:, kept].T * sd,
        rows=np.vstack([np.ones(mean.size), mean]),
        row_lower=[1.0, wanted],
        row_upper=[1.0, np.inf],
    )


# -------------------------------------------------------------- small members of the published set

INF = 1e20


def with_bounds(rows: Any, low: Any, high: Any, lower: Any, upper: Any) -> dict[str, Any]:
    n = len(lower)
    return {
        "A": sparse.csc_matrix(np.vstack([np.reshape(rows, (-1, n)), np.eye(n)])),
        "l": np.r_[low, lower].astype(float),
        "u": np.r_[high, upper].astype(float),
    }


def hs118() -> dict[str, Any]:
    """Hock and Schittkowski's 118: fifteen variables, seventeen chains of differences and sums."""
    n = 15
    q = np.tile([2.3, 1.7, 2.2], 5)
    curve = np.tile([0.0001, 0.0001, 0.00015], 5)
    rows, low, high = [], [], []
    for j in range(1, 5):
        for part, (least, most) in enumerate([(-7, 6), (-7, 7), (-7, 6)]):
            row = np.zeros(n)
            row[3 * j + part], row[3 * j + part - 3] = 1.0, -1.0
            rows.append(row)
            low.append(least)
            high.append(most)
    for j, least in enumerate([60, 50, 70, 85, 100]):
        row = np.zeros(n)
        row[3 * j : 3 * j + 3] = 1.0
        rows.append(row)
        low.append(least)
        high.append(INF)
    lower, upper = np.zeros(n), np.tile([90.0, 120.0, 60.0], 5)
    lower[:3], upper[:3] = [8, 43, 3], [21, 57, 16]
    bounds = with_bounds(rows, low, high, lower, upper)
    return {"P": 2 * np.diag(curve), "q": q, "r": 0.0, **bounds}


def dual_like() -> tuple[dict[str, Any], float]:
    """Like the set's DUAL problems: least xᵀPx/2 on a simplex, P positive definite; closed form."""
    n = 30
    rng = np.random.default_rng(1)
    B = 0.1 * rng.normal(size=(40, n))
    P = B.T @ B + np.eye(n)
    v = np.linalg.solve(P, np.ones(n))
    assert (v > 0).all()  # so that no bound presses
    problem = {"P": P, "q": np.zeros(n), "r": 0.0}
    bounds = with_bounds(np.ones(n), [1.0], [1.0], np.zeros(n), np.full(n, INF))
    return {**problem, **bounds}, 0.5 / float(v.sum())


SMALL: dict[str, tuple[dict[str, Any], float]] = {
    "HS21": (
        {
            "P": np.diag([0.02, 2.0]),
            "q": [0, 0],
            "r": -100.0,
            **with_bounds([10, -1], [10], [INF], [2, -50], [50, 50]),
        },
        -99.96,
    ),
    "HS35": (
        {
            "P": [[4, 2, 2], [2, 4, 0], [2, 0, 2]],
            "q": [-8, -6, -4],
            "r": 9.0,
            **with_bounds([1, 1, 2], [-INF], [3], [0] * 3, [INF] * 3),
        },
        1 / 9,
    ),
    "HS76": (
        {
            "P": [[2, 0, -1, 0], [0, 1, 0, 0], [-1, 0, 2, 1], [0, 0, 1, 1]],
            "q": [-1, -3, 1, -1],
            "r": 0.0,
            **with_bounds(
                [[1, 2, 1, 1], [3, 1, 2, -1], [0, 1, 4, 0]],
                [-INF, -INF, 1.5],
                [5, 4, INF],
                [0] * 4,
                [INF] * 4,
            ),
        },
        -4.681818181818182,
    ),
    "HS118": (hs118(), 664.820450),
    "DUAL-like": dual_like(),
}


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("method", ["auto", "interior_point"])
def test_small_members_reach_their_published_optimum(
    name: str, method: str, tmp_path: Path, prove: Any
) -> None:
    problem, optimum = SMALL[name]
    path = tmp_path / f"{name}.mat"
    savemat(path, {**problem, "P": sparse.csc_matrix(np.asarray(problem["P"], dtype=float))})
    program, constant = read_mat(path)
    solution = solve(program, method)
    assert solution.status == "optimal"
    assert prove(program, solution.x, solution.duals.rows).worst <= CERTIFIED
    assert solution.objective + constant == pytest.approx(optimum, rel=PUBLISHED)


@pytest.mark.parametrize("name", SMALL)
def test_the_reader_changes_no_objective_and_no_bound(name: str, tmp_path: Path) -> None:
    problem, _ = SMALL[name]
    path = tmp_path / f"{name}.mat"
    savemat(path, {**problem, "P": sparse.csc_matrix(np.asarray(problem["P"], dtype=float))})
    program, constant = read_mat(path)
    P, q = np.asarray(problem["P"], dtype=float), np.asarray(problem["q"], dtype=float)
    rng = np.random.default_rng(2)
    for _ in range(20):
        x = rng.normal(size=q.size) * 10
        wanted = 0.5 * x @ P @ x + q @ x + problem["r"]
        assert program.objective(x) + constant == pytest.approx(wanted, rel=1e-12, abs=1e-10)
        level = problem["A"] @ x
        inside = bool(((level >= problem["l"]) & (level <= problem["u"])).all())
        rows = program.activity(x)
        ours = ((rows >= program.row_lower) & (rows <= program.row_upper)).all()
        ours &= ((x >= program.lower) & (x <= program.upper)).all()
        assert bool(ours) is inside


def test_an_upper_triangle_stands_for_the_whole(tmp_path: Path) -> None:
    problem, optimum = SMALL["HS35"]
    savemat(tmp_path / "half.mat", {**problem, "P": sparse.csc_matrix(np.triu(problem["P"]))})
    program, constant = read_mat(tmp_path / "half.mat")
    assert solve(program).objective + constant == pytest.approx(optimum, rel=PUBLISHED)


def test_negated_and_scaled_bounds_of_one_variable_meet() -> None:
    A = sparse.csr_array(np.array([[-2.0, 0.0], [1.0, 0.0], [1.0, 1.0]]))
    rows, low, high, lower, upper = bounds_apart(
        A, np.array([-6.0, 1.0, 0.0]), np.array([np.inf, 9.0, 4.0])
    )
    assert rows.shape == (1, 2)
    assert (low[0], high[0]) == (0.0, 4.0)
    assert lower.tolist() == [1.0, -np.inf]
    assert upper.tolist() == [3.0, np.inf]


def test_a_matrix_of_less_than_full_rank_is_factored_exactly() -> None:
    B = np.random.default_rng(3).normal(size=(3, 8))
    P = np.zeros((10, 10))
    P[:8, :8] = B.T @ B
    P[8, 8] = 4.0
    F, D = factored(sparse.csr_array(P))
    assert F.shape == (3, 10)
    assert D.tolist() == [0] * 8 + [2.0, 0.0]
    assert np.allclose(F.T @ F + np.diag(D), P / 2, rtol=0, atol=1e-12)


# --------------------------------------------------------------------------- OR-Library portfolios


def written_port(folder: Path) -> tuple[Path, Path]:
    """Three assets, two of them correlated, and their frontier in closed form."""
    (folder / "port9.txt").write_text(
        " 3\n .01 .1\n .02 .2\n .03 .3\n 1 1 1\n 1 2 .5\n 1 3 0\n 2 2 1\n 2 3 0\n 3 3 1\n"
    )
    lines = [f" {m:.10f} {v:.10f}" for m, v in three_assets(np.linspace(0.0175, 0.024, 9))]
    (folder / "portef9.txt").write_text("\n".join(lines))
    return folder / "port9.txt", folder / "portef9.txt"


def three_assets(means: np.ndarray) -> list[tuple[float, float]]:
    """The frontier by Lagrange's equations, where all three shares are above zero."""
    S = np.array([[0.01, 0.01, 0], [0.01, 0.04, 0], [0, 0, 0.09]])
    K = np.zeros((5, 5))
    K[:3, :3], K[3, :3], K[4, :3] = 2 * S, 1.0, [0.01, 0.02, 0.03]
    K[:3, 3:] = K[3:, :3].T
    found = []
    for m in means:
        w = np.linalg.solve(K, [0, 0, 0, 1, m])[:3]
        assert (w >= 0).all()
        found.append((float(m), float(w @ S @ w)))
    return found


def off_the_frontier(
    port: Path, frontier: Path, most: int = 60
) -> list[tuple[float, float, float]]:
    """Points of the published frontier that ``solve`` does not reach, or finds too high."""
    assets, points = read_port(port), read_frontier(frontier)
    wrong = []
    for wanted, published in points[:: max(1, len(points) // most)]:
        # The file's mean is rounded; a whole unit of its last digit may be out of reach.
        least = min(wanted, float(assets[0].max()))
        solution = solve(markowitz(*assets, least))
        if solution.status != "optimal" or abs(solution.objective - published) > FRONTIER:
            wrong.append((wanted, published, solution.objective))
    return wrong


def test_the_reader_of_portfolios_reads_what_was_written(tmp_path: Path) -> None:
    port, frontier = written_port(tmp_path)
    mean, sd, C = read_port(port)
    assert mean.tolist() == [0.01, 0.02, 0.03]
    assert sd.tolist() == [0.1, 0.2, 0.3]
    assert C.tolist() == [[1, 0.5, 0], [0.5, 1, 0], [0, 0, 1]]
    assert read_frontier(frontier).shape == (9, 2)


def test_the_written_frontier_is_reached_and_a_false_one_is_told(tmp_path: Path) -> None:
    port, frontier = written_port(tmp_path)
    assert off_the_frontier(port, frontier) == []
    points = read_frontier(frontier)
    points[4, 1] *= 1.001
    frontier.write_text("\n".join(f"{m:.10f} {v:.10f}" for m, v in points))
    assert len(off_the_frontier(port, frontier)) == 1


# ------------------------------------------------------------------------------ the real ones


def folder_named(variable: str) -> Path:
    named = os.environ.get(variable)
    if not named:
        pytest.skip(f"{variable} names no folder with the published files")
    return Path(named)


def test_the_maros_meszaros_set_is_solved_or_refused_honestly(prove: Any) -> None:
    folder = folder_named("CREDIT_PORTFOLIO_MAROS_MESZAROS")
    optima = folder / "optima.csv"
    lines = optima.read_text().split() if optima.exists() else []
    published = {line.split(",")[0]: float(line.split(",")[1]) for line in lines}
    paths = sorted(folder.glob("*.mat"))
    assert paths, f"no .mat file in {folder}"
    wrong: list[Any] = []
    for path in paths:
        program, constant = read_mat(path)
        solution = solve(program)
        if solution.status == "optimal":
            proof = prove(program, solution.x, solution.duals.rows)
            value = solution.objective + constant
            wanted = published.get(path.stem, value)
            if proof.worst > CERTIFIED or abs(value - wanted) > 1e-6 * max(1.0, abs(wanted)):
                wrong.append((path.stem, value, wanted, proof))
        elif solution.status != "failed":  # every member has an optimum
            wrong.append((path.stem, solution))
    assert wrong == []


def test_the_frontiers_of_the_or_library_are_reached() -> None:
    folder = folder_named("CREDIT_PORTFOLIO_OR_LIBRARY")
    ports = sorted(folder.glob("port[0-9].txt"))
    assert ports, f"no port1.txt … port5.txt in {folder}"
    for port in ports:
        assert off_the_frontier(port, folder / f"portef{port.stem[-1]}.txt") == []


def test_folders_of_published_files_are_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prove: Any
) -> None:
    for name, (problem, _) in SMALL.items():
        P = sparse.csc_matrix(np.asarray(problem["P"], dtype=float))
        savemat(tmp_path / f"{name}.mat", {**problem, "P": P})
    written_port(tmp_path)
    optima = tmp_path / "optima.csv"
    optima.write_text("".join(f"{name},{optimum}\n" for name, (_, optimum) in SMALL.items()))
    for variable in ("CREDIT_PORTFOLIO_MAROS_MESZAROS", "CREDIT_PORTFOLIO_OR_LIBRARY"):
        monkeypatch.setenv(variable, str(tmp_path))
    test_the_maros_meszaros_set_is_solved_or_refused_honestly(prove)
    test_the_frontiers_of_the_or_library_are_reached()
    optima.write_text("HS35,0.1112\n")
    with pytest.raises(AssertionError, match="HS35"):
        test_the_maros_meszaros_set_is_solved_or_refused_honestly(prove)
