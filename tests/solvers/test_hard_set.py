"""Programs that stop solvers, each solved to 1e-9 or answered honestly.

"Solved" is the package's own certificate and, beside it, weak duality in extended precision.
Sizes above the dual method's smallest go through its sampling.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import Solution, dual_newton, solve

CERTIFIED = 1e-9
# The project's bar for shares in other units.
SAME_SHARES = 1e-7

Book = Callable[..., dict[str, Any]]

METHODS = ["auto", "interior_point"]
SIZES = [2_000, 30_000]


@pytest.fixture
def solved(prove: Any) -> Callable[..., Solution]:
    def check(program: CreditProgram, method: str = "auto") -> Solution:
        solution = solve(program, method)
        assert solution.status == "optimal", solution
        assert solution.certificate.worst <= CERTIFIED
        proof = prove(program, solution.x, solution.duals.rows)
        assert proof.worst <= CERTIFIED, proof
        assert solution.solver != "clarabel", solution.message  # no second opinion was needed
        return solution

    return check


def test_the_largest_of_these_go_through_the_sampling() -> None:
    assert SIZES[0] <= dual_newton.SMALL < SIZES[1]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("common", [0.003, 0.05, 0.5])
def test_a_diagonal_over_six_orders_of_magnitude(
    common: float, n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(11, n=n, k=12, common=common, cap=8.0)
    D = 10.0 ** np.random.default_rng(11).uniform(-6, 0, n)
    solved(CreditProgram(**{**given, "idiosyncratic": D}), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_a_hundred_and_twenty_factors(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    solved(CreditProgram(**book(12, n=n, k=120)), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_five_hundred_sparse_group_rows(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    program = CreditProgram(**book(13, n=n, k=12, groups=500))
    assert sparse.issparse(program.rows)
    assert program.n_rows == 503
    solved(program, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_limits_over_many_orders_of_magnitude(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    upper = np.random.default_rng(14).lognormal(0.0, 3.0, n)
    given = book(14, n=n)
    inside = upper / upper.sum()
    B = inside @ given["rows"].T
    program = CreditProgram(
        **{
            **given,
            "upper": 3.0 * inside,
            "row_lower": np.array([1.0, -np.inf, B[2]]),
            "row_upper": np.array([1.0, B[1], np.inf]),
        }
    )
    assert upper.max() / upper.min() > 1e6
    solved(program, method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("room", [1e-2, 1e-4, 0.0])
def test_limits_that_hold_almost_every_customer(
    room: float, n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(15, n=n)
    upper = given["upper"] / given["upper"].sum() * (1.0 + room)
    program = CreditProgram(
        **{**given, "upper": upper, "rows": np.ones((1, n)), "row_lower": 1.0, "row_upper": 1.0}
    )
    solution = solved(program, method)
    held = np.abs(solution.x - upper) <= CERTIFIED * upper.max()
    assert held.mean() >= 0.9


def on_the_edge(book: Book, n: int, miss: float) -> dict[str, Any]:
    """The loss interval may hold no less than the least that any shares allow, less ``miss``."""
    given = book(16, n=n)
    loss, upper = given["rows"][1], given["upper"]
    order = np.argsort(loss)
    filled = np.minimum(np.cumsum(upper[order]), 1.0)
    best = np.empty(n)
    best[order] = np.diff(filled, prepend=0.0)
    least = float(best @ loss)
    return {
        **given,
        "rows": given["rows"][:2],
        "row_lower": np.array([1.0, -np.inf]),
        "row_upper": np.array([1.0, least - miss]),
        "row_names": ["budget", "loss"],
    }


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("room", [1e-6, 1e-8])
def test_a_target_within_a_millionth_of_infeasible(
    room: float, n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    solved(CreditProgram(**on_the_edge(book, n, -room)), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_a_target_missed_by_a_millionth_is_proved_infeasible(
    n: int, method: str, book: Book, total_miss: Any
) -> None:
    program = CreditProgram(**on_the_edge(book, n, 1e-6))
    solution = solve(program, method)
    assert solution.status == "infeasible", solution
    assert set(solution.conflict) == {"budget", "loss"}
    # The certificate weighs the miss against budget and target, which are of size one together.
    assert 1e-7 < solution.margin < 1e-4
    assert total_miss(program) > 1e-7
    # Farkas by hand: the least of yᵀA w over the box against the most that the rows allow.
    y = solution.duals.rows.astype(np.longdouble)
    pull = program.rows.T.astype(np.longdouble) @ y
    least = np.minimum(pull, 0) @ program.upper.astype(np.longdouble)
    allowed = y[0] * 1.0 + y[1] * program.row_upper[1]
    assert y[1] >= 0
    assert least > allowed


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_duplicated_customers_share_alike(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    half = book(17, n=n // 2)
    program = CreditProgram(
        factors=np.hstack([half["factors"]] * 2),
        idiosyncratic=np.tile(half["idiosyncratic"], 2),
        rows=np.hstack([half["rows"]] * 2),
        row_lower=half["row_lower"],
        row_upper=half["row_upper"],
        lower=0.0,
        upper=np.tile(half["upper"] / 2, 2),
    )
    solution = solved(program, method)
    assert solution.unique is True
    one, other = np.split(solution.x, 2)
    # A gap of 1e-9 leaves D (w − w')² at 2e-9 of the objective at the most.
    apart = half["idiosyncratic"] @ (one - other) ** 2
    assert apart <= 4 * CERTIFIED * solution.objective
    assert np.abs(one - other).max() <= SAME_SHARES


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_customers_whose_columns_are_zero(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(18, n=n)
    F, D, rows = given["factors"].copy(), given["idiosyncratic"].copy(), given["rows"].copy()
    F[:, ::5] = 0.0  # no risk in common
    F[:, 1::50] = D[1::50] = 0.0  # none at all: they take what their limits allow
    F[:, 2::50] = rows[:, 2::50] = 0.0  # in no row, not even the budget's: they get nothing
    given |= {"factors": F, "idiosyncratic": D, "rows": rows}
    solution = solved(CreditProgram(**given), method)
    assert np.abs(solution.x[2::50]).max() <= CERTIFIED * solution.x.max()


@pytest.mark.parametrize("method", METHODS)
def test_one_customer(method: str, solved: Callable[..., Solution]) -> None:
    for k in (0, 1, 36):
        program = CreditProgram(
            factors=np.full((k, 1), 0.1),
            idiosyncratic=0.01,
            rows=[[1.0]],
            row_lower=1,
            row_upper=1,
        )
        solution = solved(program, method)
        assert solution.x == pytest.approx([1.0], abs=CERTIFIED)
        assert solution.objective == pytest.approx(0.01 * k + 0.01, abs=CERTIFIED)
    alone = solved(CreditProgram(idiosyncratic=2.0, linear=[-1.0], lower=-np.inf), method)
    assert alone.x == pytest.approx([0.25], abs=CERTIFIED)


@pytest.mark.parametrize("method", METHODS)
def test_one_customer_who_is_sampled_too(
    method: str, small_scale: Callable[..., None], solved: Callable[..., Solution]
) -> None:
    small_scale()
    test_one_customer(method, solved)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", [2, 5, 30])
def test_fewer_customers_than_factors(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    for own in (True, False):
        given = book(19, n=n, k=120, cap=8.0 if n > 5 else None)
        if not own:
            given["idiosyncratic"] = np.zeros(n)
        assert solved(CreditProgram(**given), method).unique is True


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_without_own_variance_more_customers_than_factors_tie(
    n: int, method: str, solved: Callable[..., Solution]
) -> None:
    rng = np.random.default_rng(20)
    given: dict[str, Any] = {
        "factors": rng.normal(size=(12, n)),
        "rows": np.vstack([np.ones(n), rng.uniform(0, 1, n)]),
        "row_lower": [1.0, -np.inf],
        "row_upper": [1.0, 0.5],
        "upper": 10.0 / n,
    }
    program = CreditProgram(**given)
    solution = solved(program, method)
    assert solution.unique is False
    assert "smallest norm" in solution.message
    # The smallest norm without the package's own tie-break: a hundredth of the factors' variance
    # for everybody moves it by a hundredth of 1/n, and the gap of 1e-9 leaves 1e-4 of a share.
    own = 1e-2 * float((given["factors"] ** 2).mean())
    nearly = solve(CreditProgram(**given, idiosyncratic=own), method)
    assert np.abs(solution.x - nearly.x).max() <= 1e-3 * solution.x.max()
    assert solution.x @ solution.x == pytest.approx(nearly.x @ nearly.x, rel=1e-6)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_fixed_shares_stay_where_they_are(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(21, n=n, cap=4.0)
    fixed = np.random.default_rng(21).random(n) < 0.3
    inside = given["upper"] / given["upper"].sum()
    given["lower"] = np.where(fixed, inside, 0.0)
    given["upper"] = np.where(fixed, inside, given["upper"])
    solution = solved(CreditProgram(**given), method)
    assert np.array_equal(solution.x[fixed], inside[fixed])
    assert np.isfinite(solution.duals.bounds).all()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_almost_all_shares_fixed(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(22, n=n, cap=4.0)
    free = np.zeros(n, dtype=bool)
    free[:7] = True
    inside = given["upper"] / given["upper"].sum()
    given["lower"] = np.where(free, 0.0, inside)
    given["upper"] = np.where(free, given["upper"], inside)
    solution = solved(CreditProgram(**given), method)
    assert np.array_equal(solution.x[~free], inside[~free])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_returns_in_other_units_change_no_share(
    scale: float, n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(23, n=n)
    plain = solved(CreditProgram(**given), method)
    scaled = solved(
        CreditProgram(
            **{
                **given,
                "factors": given["factors"] * scale,
                "idiosyncratic": given["idiosyncratic"] * scale**2,
            }
        ),
        method,
    )
    assert np.abs(plain.x - scaled.x).max() <= SAME_SHARES
    assert scaled.objective == pytest.approx(plain.objective * scale**2, rel=2 * CERTIFIED)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_rows_in_other_units_change_no_share(
    scale: float, n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(24, n=n)
    units = np.array([1.0, scale, 1.0 / scale])
    other = {
        "rows": given["rows"] * units[:, None],
        "row_lower": given["row_lower"] * units,
        "row_upper": given["row_upper"] * units,
    }
    plain = solved(CreditProgram(**given), method)
    scaled = solved(CreditProgram(**{**given, **other}), method)
    assert np.abs(plain.x - scaled.x).max() <= SAME_SHARES


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_rows_that_say_the_same_twice(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(25, n=n)
    given["rows"] = np.vstack([given["rows"], given["rows"][:2], given["rows"][0]])
    given["row_lower"] = np.r_[given["row_lower"], 1.0, -np.inf, -np.inf]
    given["row_upper"] = np.r_[given["row_upper"], 1.0, given["row_upper"][1], 1.0]
    solved(CreditProgram(**given), method)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n", SIZES)
def test_a_budget_above_the_limits_is_infeasible_and_below_by_a_hair_is_not(
    n: int, method: str, book: Book, solved: Callable[..., Solution]
) -> None:
    given = book(26, n=n)
    given |= {"rows": np.ones((1, n)), "row_names": ["budget"]}
    total = float(given["upper"].sum())
    given |= {"row_lower": total * (1 + 1e-6), "row_upper": total * (1 + 1e-6)}
    impossible = solve(CreditProgram(**given), method)
    assert impossible.status == "infeasible"
    assert list(impossible.conflict) == ["budget"]
    given |= {"row_lower": total * (1 - 1e-6), "row_upper": total * (1 - 1e-6)}
    solved(CreditProgram(**given), method)
