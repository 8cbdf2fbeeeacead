"""Frontiers against other solvers, plain NumPy, refits and published files."""

from __future__ import annotations

import importlib.util
import os
from pathlib import Path
from types import ModuleType

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

import credit_portfolio as cp
from credit_portfolio import sweeps
from credit_portfolio.evaluation.targets import Targets
from credit_portfolio.frontiers import Frontier, frontier
from credit_portfolio.risk.estimators import ledoit_wolf
from credit_portfolio.sweeps import INSIDE, replaced

EDGES = [-1.0, 0.0, 0.15, 0.2, 0.25]
# Both solvers prove their objective to 1e-9.
AGREED = 4e-9
FILES = os.environ.get("CREDIT_PORTFOLIO_OR_LIBRARY")


@pytest.fixture(scope="module")
def returns() -> pd.DataFrame:
    rng = np.random.default_rng(7)
    m, n = 12, 24
    common = rng.normal(size=(m, 1))
    late = rng.lognormal(-3.5, 0.8, n)
    swing = rng.lognormal(-3.3, 0.6, n)
    values = 0.245 - late - swing * (0.5 * common + rng.normal(size=(m, n)))
    values[rng.random((m, n)) < 0.03] = -0.3
    values[rng.random((m, n)) < 0.08] = np.nan
    return pd.DataFrame(np.clip(values, -1, 0.25), columns=[f"c{i:02}" for i in range(n)])


@pytest.fixture(scope="module")
def money(returns: pd.DataFrame) -> tuple[pd.Series, pd.Series]:
    rng = np.random.default_rng(8)
    current = pd.Series(rng.lognormal(9, 0.7, returns.shape[1]), index=returns.columns)
    return current, current * rng.uniform(1.2, 3.0, len(current))


@pytest.fixture(scope="module")
def model(returns: pd.DataFrame, money: tuple[pd.Series, pd.Series]) -> cp.CreditPortfolio:
    current, limits = money
    panel = cp.ReturnPanel.from_frame(returns)
    return cp.CreditPortfolio(EDGES, 2).fit(panel, limits=limits, current=current)


def clarabel(program: cp.CreditProgram) -> float:
    solution = cp.solve(program, "clarabel")
    assert solution.status == "optimal"
    return solution.objective


# ------------------------------------------------------------------------ each point is optimal


def test_least_variance_for_a_mean_is_what_another_solver_finds(model):
    found = frontier(model, points=6)
    mean = model.allocation_.customers["mean_return"].reindex(model.eligible_).to_numpy()
    p = model.program_
    for value, variance in found.points[["value", "variance"]].to_numpy():
        other = cp.CreditProgram(
            factors=p.factors,
            idiosyncratic=p.idiosyncratic,
            rows=np.vstack([p.rows, mean]),
            row_lower=[*p.row_lower, value],
            row_upper=[*p.row_upper, np.inf],
            lower=p.lower,
            upper=p.upper,
        )
        assert variance == pytest.approx(clarabel(other), rel=AGREED)
    assert (found.points["mean_return"] >= found.points["value"] * (1 - 1e-8)).all()
    assert (found.points["certificate"] <= 1e-9).all()


@pytest.mark.parametrize(("interval", "bad"), [(0, True), (1, True), (3, False)])
def test_a_target_is_swept_by_its_number_or_name(model, interval, bad):
    found = frontier(model, f"target:{interval}", points=5)
    name = model.targets_.intervals.names[interval]
    row = model.program_.row_names.index(f"target {name}")
    for value, variance, degree in found.points[["value", "variance", f"B {name}"]].to_numpy():
        lower, upper = model.program_.row_lower.copy(), model.program_.row_upper.copy()
        lower[row], upper[row] = (-np.inf, value) if bad else (value, np.inf)
        other = replaced(model.program_, row_lower=lower, row_upper=upper)
        assert variance == pytest.approx(clarabel(other), rel=AGREED)
        assert (value - degree if bad else degree - value) >= -1e-8
    named = frontier(model, f"target:{name}", found.points["value"], points=5)
    assert named.points["variance"].to_numpy() == pytest.approx(
        found.points["variance"].to_numpy(), rel=AGREED
    )


def test_another_budget_gives_what_a_fit_with_it_gives(returns, money, model):
    current, limits = money
    found = frontier(model, "budget", points=6)
    for value, deviation, count in found.points[
        ["value", "standard_deviation_money", "n_with_credit"]
    ].to_numpy():
        again = cp.CreditPortfolio(EDGES, 2, targets=model.targets_, budget=value).fit(
            cp.ReturnPanel.from_frame(returns), limits=limits, current=current
        )
        assert deviation == pytest.approx(
            again.allocation_.summary["standard_deviation_money"], rel=1e-6
        )
        assert count == again.allocation_.summary["n_with_share"]


def test_the_largest_share_stays_a_part_of_whatever_budget(returns, money):
    current, limits = money
    panel = cp.ReturnPanel.from_frame(returns)
    wide = cp.CreditPortfolio(EDGES, 2, targets={}, max_share=0.08).fit(
        panel, limits=limits, current=current
    )
    found = frontier(wide, "budget", points=4)
    most = float(found.points["value"].iloc[-1])
    # The greatest T with Σ min(L_i, 0.08 T) = T, by bisection.
    low, high = 1.0, float(limits.sum())
    for _ in range(200):
        middle = 0.5 * (low + high)
        enough = np.minimum(limits, 0.08 * middle).sum() >= middle
        low, high = (middle, high) if enough else (low, middle)
    assert most == pytest.approx(low, rel=2 * INSIDE)
    assert (found.points["status"] == "optimal").all()


def test_a_free_interval_gets_a_row_of_its_own(returns, money):
    current, limits = money
    panel = cp.ReturnPanel.from_frame(returns)
    free = cp.CreditPortfolio(EDGES, 2, targets={1: 0.5}).fit(panel, limits=limits, current=current)
    found = frontier(free, "target:0", points=4)
    name = free.targets_.intervals.names[0]
    assert f"target {name}" not in free.program_.row_names
    assert (found.points[f"B {name}"] <= found.points["value"] + 1e-8).all()
    variance = found.points["variance"].to_numpy()
    assert variance[-1] == pytest.approx(free.solution_.objective, rel=AGREED)
    assert variance[0] > variance[-1]


# ------------------------------------------------------------------------------ what it must obey


@st.composite
def programs(draw: st.DrawFn) -> tuple[cp.CreditProgram, np.ndarray]:
    n = draw(st.integers(2, 8))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    # Ties: means from a short list, and customers who are copies of others.
    mean = rng.choice([0.05, 0.1, 0.15, 0.2], n)
    F = 0.1 * rng.standard_normal((2, n))
    F[:, -1] = F[:, 0]
    program = cp.CreditProgram(
        factors=F,
        idiosyncratic=rng.uniform(0.001, 0.02, n),
        rows=np.vstack([np.ones(n), rng.uniform(0, 1, n)]),
        row_lower=[1.0, -np.inf],
        row_upper=[1.0, 0.9],
        upper=draw(st.sampled_from([1.0, 0.8])),
        row_names=["budget", "loss"],
    )
    return program, mean


@settings(max_examples=40)
@given(programs())
def test_variance_is_convex_and_rises_with_the_return(case):
    program, mean = case
    found = frontier(program, points=9, mean_return=mean).points
    assert (found["status"] == "optimal").all()
    variance = found["variance"].to_numpy()
    size = variance.max()
    assert (np.diff(variance) >= -1e-8 * size).all()
    if len(variance) > 2:
        assert (np.diff(variance, 2) >= -1e-8 * size).all()


@settings(max_examples=25)
@given(programs())
def test_beyond_the_end_nothing_is_feasible_and_it_is_told(case):
    program, mean = case
    ends = frontier(program, points=2, mean_return=mean).points["value"].to_numpy()
    best = ends[-1]
    found = frontier(program, values=[best, best + 1e-3], mean_return=mean)
    assert found.points["status"].tolist() == ["optimal", "infeasible"]
    assert np.isnan(found.points["variance"].iloc[1])
    assert len(found.notes) == 1
    assert "1 of 2 values are out of reach" in found.notes[0]


def test_values_are_sorted_and_doubles_told_once():
    program = cp.CreditProgram(
        idiosyncratic=[0.01, 0.02], rows=[[1, 1]], row_lower=1, row_upper=1, row_names=["budget"]
    )
    found = frontier(program, values=[0.15, 0.1, 0.15], mean_return=[0.1, 0.2])
    assert found.points["value"].tolist() == [0.1, 0.15]
    # The mean of 0.15 leaves shares of a half each.
    assert found.points["variance"].iloc[1] == pytest.approx(0.0075, rel=1e-8)


def test_a_program_s_budget_is_a_multiple_of_its_own():
    program = cp.CreditProgram(
        idiosyncratic=[0.01, 0.02, 0.04],
        rows=[[1, 1, 1]],
        row_lower=1,
        row_upper=1,
        upper=0.5,
        row_names=["budget"],
    )
    found = frontier(program, "budget", values=[0.5, 1.0, 1.5, 1.6])
    assert found.points["status"].tolist() == ["optimal"] * 3 + ["infeasible"]
    # At 1.5 all are at their bounds: a third each.
    assert found.points["variance"].iloc[2] == pytest.approx(0.07 / 9, rel=1e-8)
    assert "0 to 1.5 can be had" in found.notes[0]


def test_sparse_rows_do_as_well():
    from scipy import sparse

    rows = np.array([[1.0, 1.0, 1.0], [0.4, 0.1, 0.0]])
    kwargs = {
        "idiosyncratic": [0.01, 0.02, 0.04],
        "row_lower": [1.0, -np.inf],
        "row_upper": [1.0, 0.2],
        "row_names": ["budget", "loss"],
    }
    mean = [0.1, 0.2, 0.3]
    for over in ("expected_return", "target:loss", "budget"):
        values = [0.5, 1.0] if over == "budget" else None
        dense, thin = (
            frontier(cp.CreditProgram(rows=A, **kwargs), over, values, points=5, mean_return=mean)
            for A in (rows, sparse.csr_array(rows))
        )
        pd.testing.assert_frame_equal(dense.points, thin.points, check_exact=False, rtol=1e-7)


# ------------------------------------------------------------------------------- the references


def test_the_usual_portfolios_have_the_figures_of_plain_numpy(returns, money, model):
    current, limits = money
    found = frontier(model, points=3).references
    risk = model.risk_model_
    sigma = risk.factors.T @ risk.factors + np.diag(risk.idiosyncratic)
    budget, names = current.sum(), list(model.judged_)
    P, mean = model.evaluation_matrix_.values, np.nanmean(returns[names], axis=0)
    made = {
        "current book": (current / budget)[names].to_numpy(),
        "equal shares": np.full(len(names), 1 / len(names)),
        "limit-proportional shares": (limits / limits.sum())[names].to_numpy(),
        "optimum": model.allocation_.shares[names].to_numpy(),
    }
    assert list(found.index) == list(made)
    for name, w in made.items():
        row = found.loc[name]
        assert row["variance"] == pytest.approx(w @ sigma @ w, rel=1e-12)
        assert row["standard_deviation_money"] == pytest.approx(budget * np.sqrt(w @ sigma @ w))
        assert row["mean_return"] == pytest.approx(mean @ w, rel=1e-12)
        degrees = row[[f"B {j}" for j in model.targets_.intervals.names]].to_numpy(float)
        assert degrees == pytest.approx(w @ P, rel=1e-12)
        over = np.maximum(w * budget - limits[names].to_numpy(), 0).sum() / budget
        assert row["over_limit"] == pytest.approx(over, abs=1e-12)
        assert row["meets_limits"] == (over <= 1e-8)
    assert found.loc[["current book", "optimum"], "meets_targets"].all()
    assert found.loc["optimum", "variance"] == found["variance"][found["meets_targets"]].min()


def test_credit_with_customers_who_are_not_judged_is_told(returns, money):
    current, limits = money
    short = returns.copy()
    short.iloc[1:, 0] = np.nan
    short.iloc[0, 0] = 0.2
    model = cp.CreditPortfolio(EDGES, 2).fit(
        cp.ReturnPanel.from_frame(short), limits=limits, current=current
    )
    found = frontier(model, points=3)
    part = current.iloc[0] / current.sum()
    assert f"{part:.1%} of today's exposure" in found.notes[0]


def test_the_tables_can_be_had_as_one(model):
    found = frontier(model, points=3)
    assert isinstance(found, Frontier)
    table = found.to_frame()
    assert table["portfolio"].tolist()[:3] == ["frontier"] * 3
    assert len(table) == 3 + len(found.references)
    assert "3 of 3 points reached" in repr(found)


# ---------------------------------------------------------------------------------- what is refused


def test_what_cannot_be_swept_is_refused_with_the_way_out(model):
    program = model.program_
    with pytest.raises(cp.ModelError, match="has no allocation"):
        frontier(cp.CreditPortfolio(EDGES, 2))
    with pytest.raises(cp.ModelError, match="Did you mean 'expected_return'"):
        frontier(model, "expected_returns")
    with pytest.raises(cp.ModelError, match="expected 0 to 3"):
        frontier(model, "target:9")
    with pytest.raises(cp.ModelError, match="belong to the fitted model"):
        frontier(model, mean_return=np.zeros(24))
    with pytest.raises(cp.ModelError, match="needs the mean_return"):
        frontier(program)
    with pytest.raises(cp.ModelError, match=r"expected \(24,\)"):
        frontier(program, mean_return=[0.1])
    with pytest.raises(cp.ModelError, match="has no row 'profit'"):
        frontier(program, "target:profit")
    with pytest.raises(cp.ModelError, match="bounded on both sides"):
        frontier(program, "target:budget")
    with pytest.raises(cp.ModelError, match="finite numbers"):
        frontier(model, values=[np.nan])
    with pytest.raises(cp.ModelError, match="at least 2"):
        frontier(model, points=1)
    with pytest.raises(cp.ModelError, match="money above 0"):
        frontier(model, "budget", values=[0.0])


def test_a_budget_without_limits_has_no_end(returns, money):
    current, _ = money
    free = cp.CreditPortfolio(EDGES, 2).fit(cp.ReturnPanel.from_frame(returns), current=current)
    with pytest.raises(cp.ModelError, match="no customer has a limit in money"):
        frontier(free, "budget")
    found = frontier(free, "budget", values=[1e3, 1e6])
    first, second = found.points["variance"]
    assert first == pytest.approx(second, rel=1e-12)
    assert "limit-proportional shares" not in found.references.index


def test_conditions_that_conflict_without_the_swept_one_are_named():
    program = cp.CreditProgram(
        idiosyncratic=[0.01, 0.02],
        rows=[[1, 1], [1, 0], [0, 1]],
        row_lower=[1, -np.inf, -np.inf],
        row_upper=[1, 0.3, 0.3],
        row_names=["budget", "first", "second"],
    )
    with pytest.raises(cp.InfeasibleError, match="budget, first, second"):
        frontier(program, mean_return=[0.1, 0.2])


# ------------------------------------------------------------------------------ published frontiers


@pytest.fixture(scope="module")
def readers() -> ModuleType:
    path = Path(__file__).parent / "solvers" / "test_published_sets.py"
    spec = importlib.util.spec_from_file_location("published_sets", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def held_against_files(readers: ModuleType, port: Path, efficient: Path, every: int) -> int:
    mean, sd, C = readers.read_port(port)
    published = readers.read_frontier(efficient)[::every]
    program = readers.markowitz(mean, sd, C, float(mean.min()))
    alone = cp.CreditProgram(
        factors=program.factors,
        rows=np.ones((1, mean.size)),
        row_lower=1.0,
        row_upper=1.0,
        row_names=["budget"],
    )
    order = np.argsort(published[:, 0])
    # The largest mean is printed to ten decimals, and may be beyond what can be reached by some.
    wanted = np.minimum(published[order, 0], mean.max())
    found = frontier(alone, values=wanted, mean_return=mean).points
    assert (found["status"] == "optimal").all()
    kept = np.unique(wanted, return_index=True)[1]
    assert np.abs(found["variance"].to_numpy() - published[order, 1][kept]).max() <= (
        readers.FRONTIER
    )
    return len(found)


@pytest.mark.skipif(not FILES, reason="CREDIT_PORTFOLIO_OR_LIBRARY names no folder of its files")
def test_published_frontiers_are_reached(readers):
    folder = Path(str(FILES))
    ports = sorted(folder.glob("port[0-9].txt"))
    assert ports
    for port in ports:
        efficient = port.with_name(port.name.replace("port", "portef"))
        assert held_against_files(readers, port, efficient, every=40) >= 10


def test_a_file_of_that_format_is_read_and_reached(readers, tmp_path):
    rng = np.random.default_rng(9)
    mean, sd = rng.uniform(0.001, 0.01, 5), rng.uniform(0.02, 0.06, 5)
    loading = rng.uniform(0.2, 0.8, 5)
    C = np.outer(loading, loading)
    np.fill_diagonal(C, 1.0)
    lines = ["5", *(f"{m!r} {s!r}" for m, s in zip(mean.tolist(), sd.tolist(), strict=True))]
    lines += [f"{i + 1} {j + 1} {float(C[i, j])!r}" for i in range(5) for j in range(i, 5)]
    (tmp_path / "port1.txt").write_text("\n".join(lines))
    sigma = C * np.outer(sd, sd)
    points = [(m, least_variance(sigma, mean, m)) for m in np.linspace(0.007, mean.max(), 12)]
    text = "\n".join(f"{m:.12f} {v:.12f}" for m, v in reversed(points))
    (tmp_path / "portef1.txt").write_text(text)
    used = held_against_files(readers, tmp_path / "port1.txt", tmp_path / "portef1.txt", every=1)
    assert used == 12


def least_variance(sigma: np.ndarray, mean: np.ndarray, wanted: float) -> float:
    """Least variance by trying every set of holdings: Lagrange's conditions, no solver."""
    best, n = np.inf, mean.size
    for members in range(1, 2**n):
        held = np.array([i for i in range(n) if members >> i & 1])
        for rows in ([np.ones(held.size)], [np.ones(held.size), mean[held]]):
            A = np.array(rows)
            right = np.array([1.0, wanted])[: len(A)]
            system = np.block([[sigma[np.ix_(held, held)], A.T], [A, np.zeros((len(A), len(A)))]])
            w = np.linalg.lstsq(system, np.r_[np.zeros(held.size), right], rcond=None)[0]
            w = w[: held.size]
            fits = np.abs(A @ w - right).max() < 1e-10 and w.min() >= -1e-12
            if fits and mean[held] @ w >= wanted - 1e-12:
                best = min(best, float(w @ sigma[np.ix_(held, held)] @ w))
    return best


def test_a_book_of_explicit_targets_can_be_swept_too(returns, money):
    current, limits = money
    panel = cp.ReturnPanel.from_frame(returns)
    intervals = cp.ReturnIntervals(EDGES, 2)
    targets = Targets.explicit({3: 0.3}, intervals)
    model = cp.CreditPortfolio(intervals, targets=targets).fit(
        panel, limits=limits, current=current
    )
    assert (frontier(model, "target:3", points=3).points["status"] == "optimal").all()


def test_points_at_scale_are_certified():
    rng = np.random.default_rng(10)
    n, m = 3_000, 12
    values = 0.2 + 0.04 * rng.standard_normal((m, n))
    risk = ledoit_wolf(values)
    program = cp.CreditProgram(
        factors=risk.factors,
        idiosyncratic=risk.idiosyncratic,
        rows=np.ones((1, n)),
        row_lower=1.0,
        row_upper=1.0,
        upper=5.0 / n,
        row_names=["budget"],
    )
    found = frontier(program, points=10, mean_return=values.mean(axis=0)).points
    assert (found["certificate"] <= 1e-9).all()
    # At the top the 600 best of 3,000 are at their bounds, but for the little that it is inside.
    assert found["n_with_credit"].iloc[-1] == pytest.approx(600, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_the_end_of_a_range_is_that_of_a_linear_program_of_all(seed):
    random = np.random.default_rng(seed)
    n = 6_000
    A = np.vstack(
        [np.ones(n), random.random((3, n)) * (random.random((3, n)) < [[1], [0.5], [0.01]])]
    )
    cost = random.standard_normal(n)
    least, most = np.zeros(n), np.full(n, 10.0 / n)
    level = A @ np.full(n, 1.0 / n)
    lower, upper = (
        np.array([1.0, 0.9 * level[1], -np.inf, level[3]]),
        np.array([1.0, np.inf, level[2], np.inf]),
    )
    few = sweeps._sifted(cost, A, lower, upper, least, most)
    assert few is not None
    assert few == pytest.approx(sweeps._linear(cost, A, lower, upper, least, most).fun, rel=1e-9)
