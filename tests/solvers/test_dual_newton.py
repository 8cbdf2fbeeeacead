"""The structured solver, each of its methods really taken, against others and against itself.

The sizes at which it samples, sifts and uses Newton's method are brought down here, so that a few
hundred customers go all the way. What is proved by hand is proved in extended precision.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import ascent, dual_newton, solve

# The project's bars: the certificate, and the objective against an independent solver.
CERTIFIED = 1e-9
OBJECTIVE = 1e-8

Book = Callable[..., dict[str, Any]]

# What the generator of books is asked for. Weak factors leave most customers between their bounds,
# which is where Newton's method is tried; strong ones press most of them to a bound.
CASES: dict[str, dict[str, Any]] = {
    "smooth": {"common": 0.01, "cap": None},
    "smooth with limits": {"common": 0.01, "cap": 8.0},
    "smooth with groups": {"common": 0.01, "cap": 8.0, "groups": 12},
    "no factors": {"k": 0, "cap": None},
    "pressed": {"common": 0.3, "k": 4, "n": 1500},
    "pressed with groups": {"common": 0.3, "k": 4, "n": 1500, "groups": 8},
    "pressed without limits": {"common": 2.0, "n": 3000, "cap": None},
}


def with_all_kinds_of_rows(given: dict[str, Any], seed: int) -> dict[str, Any]:
    """Add an equality, a lower side, two sides and an open row that the same shares meet."""
    rng = np.random.default_rng([7, seed])
    n = given["upper"].size
    inside = np.where(np.isfinite(given["upper"]), given["upper"], 1.0)
    inside = inside / inside.sum()
    more = rng.uniform(0, 1, (4, n))
    at = more @ inside
    return {
        **given,
        "rows": sparse.vstack([sparse.csr_array(given["rows"]), sparse.csr_array(more)])
        if sparse.issparse(given["rows"])
        else np.vstack([given["rows"], more]),
        "row_lower": np.r_[given["row_lower"], at[0], at[1] * 1.01, at[2] * 0.99, -np.inf],
        "row_upper": np.r_[given["row_upper"], at[0], np.inf, at[2] * 1.01, np.inf],
    }


def with_all_kinds_of_customers(given: dict[str, Any], seed: int) -> dict[str, Any]:
    """Fix some shares, free others of any sign, give some floors, and all a cost."""
    rng = np.random.default_rng([8, seed])
    n = given["upper"].size
    mean = 1.0 / n
    kind = rng.choice(4, n, p=[0.7, 0.1, 0.1, 0.1])
    lower, upper = given["lower"].copy(), given["upper"].copy()
    fixed = np.where(np.isfinite(upper), np.minimum(upper, mean) * 0.5, 0.5 * mean)
    lower[kind == 1], upper[kind == 1] = fixed[kind == 1], fixed[kind == 1]
    lower[kind == 2], upper[kind == 2] = -np.inf, np.inf
    lower[kind == 3] = np.minimum(upper, 0.2 * mean)[kind == 3]
    return {
        **given,
        "lower": lower,
        "upper": upper,
        "linear": rng.normal(size=n) * float(given["idiosyncratic"].mean()) * mean,
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kinds", ["plain", "rows", "customers"])
def test_our_methods_clarabel_and_piqp_agree(
    case: str,
    kinds: str,
    book: Book,
    small_scale: Callable[..., None],
    prove: Any,
    by_clarabel: Any,
    by_piqp: Any,
) -> None:
    given = book(1, **CASES[case])
    if kinds == "rows":
        given = with_all_kinds_of_rows(given, 1)
    if kinds == "customers":
        given = with_all_kinds_of_customers(given, 1)
    program = CreditProgram(**given)
    small_scale()
    found = {name: solve(program, name) for name in ("auto", "interior_point")}
    for solution in found.values():
        assert solution.status == "optimal", solution
        assert solution.certificate.worst <= CERTIFIED
        assert prove(program, solution.x, solution.duals.rows).worst <= CERTIFIED
    assert found["interior_point"].message.startswith("interior point (asked for) ")
    for reference in (by_clarabel, by_piqp):
        w, y = reference(program)
        proof = prove(program, w, y)
        assert proof.primal <= OBJECTIVE
        for solution in found.values():
            assert abs(solution.objective - program.objective(w)) <= OBJECTIVE * proof.size
    # The gap bounds the distance in the norm of D: Σ D (w − w')² ≤ 2 · 1e-9 of the objective.
    apart = found["auto"].x - found["interior_point"].x
    value = found["auto"].objective + float(np.abs(program.linear) @ np.abs(found["auto"].x))
    assert program.idiosyncratic @ apart**2 <= 4 * CERTIFIED * value


@pytest.mark.parametrize("case", CASES)
def test_the_same_program_gets_the_same_answer_bit_for_bit(
    case: str, book: Book, small_scale: Callable[..., None]
) -> None:
    small_scale()
    first, second = (solve(CreditProgram(**book(2, **CASES[case]))) for _ in range(2))
    assert first.status == "optimal"
    assert np.array_equal(first.x, second.x)
    assert np.array_equal(first.duals.rows, second.duals.rows)
    assert first.message == second.message


def test_the_answer_does_not_depend_on_the_global_random_state(
    book: Book, small_scale: Callable[..., None]
) -> None:
    small_scale()
    program = CreditProgram(**book(2, **CASES["pressed"]))
    np.random.seed(1)
    state = np.random.get_state()[1].copy()
    first = solve(program).x
    assert np.array_equal(np.random.get_state()[1], state)
    np.random.seed(2)
    assert np.array_equal(solve(program).x, first)


@pytest.mark.parametrize("method", ["dual_newton", "interior_point"])
@pytest.mark.parametrize("without", ["none", "some"])
def test_a_customer_without_variance_of_his_own_is_no_obstacle(
    without: str,
    method: str,
    book: Book,
    small_scale: Callable[..., None],
    prove: Any,
    by_clarabel: Any,
) -> None:
    small_scale()
    given = book(3, n=400, k=6)
    D = given["idiosyncratic"]
    own = np.zeros_like(D) if without == "none" else np.where(np.arange(400) % 3, D, 0.0)
    program = CreditProgram(**{**given, "idiosyncratic": own})
    solution = solve(program, method)
    assert solution.status == "optimal", solution
    proof = prove(program, solution.x, solution.duals.rows)
    assert proof.worst <= CERTIFIED
    w, y = by_clarabel(program)
    size = max(proof.size, prove(program, w, y).size)
    assert abs(solution.objective - program.objective(w)) <= OBJECTIVE * size


# ----------------------------------------------------------------------- each hand-over is taken


def test_a_small_program_goes_to_the_interior_point_at_once(book: Book) -> None:
    solution = solve(CreditProgram(**book()))
    assert solution.status == "optimal"
    assert solution.message.startswith(f"interior point (n ≤ {dual_newton.SMALL:,})")


def test_each_method_ends_some_program_and_says_so(
    book: Book, small_scale: Callable[..., None], calls: Counter[str]
) -> None:
    small_scale()
    told: Counter[str] = Counter()
    for case in CASES.values():
        for seed in range(4):
            calls.clear()
            solution = solve(CreditProgram(**book(seed, **case)))
            assert solution.status == "optimal"
            words = {
                "dual Newton settled": calls["newton"],
                "sifting settled": calls["_sift"],
                "interior point": calls["_everything"],
            }
            # The last that was asked has told; one whose proof fails hands over to the next.
            said = [word for word, count in words.items() if count][-1]
            assert solution.message.startswith(said)
            assert calls["_from_sample"] + calls["_from_sample None"] == 1
            told[said] += 1
    assert min(told.values()) >= 3, told
    assert len(told) == 3


def test_newton_hands_over_to_sifting_where_few_are_between_their_bounds(
    book: Book, small_scale: Callable[..., None], calls: Counter[str]
) -> None:
    small_scale()
    solution = solve(CreditProgram(**book(0, **CASES["pressed"])))
    assert solution.message.startswith("sifting settled on ")
    assert calls == {"_from_sample": 1, "approach": 1, "_sift": 1}


def test_newton_hands_over_where_it_does_not_settle(
    book: Book,
    small_scale: Callable[..., None],
    calls: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
    prove: Any,
) -> None:
    small_scale()
    program = CreditProgram(**book(1, **CASES["smooth"]))
    assert solve(program).message.startswith("dual Newton settled")
    monkeypatch.setattr(ascent, "NEWTON_STEPS", 2)
    calls.clear()
    solution = solve(program)
    assert calls["newton None"] == 1
    assert calls["_sift"] + calls["_sift None"] == 1
    assert solution.status == "optimal"
    assert not solution.message.startswith("dual Newton")
    assert prove(program, solution.x, solution.duals.rows).worst <= CERTIFIED


def test_sifting_hands_over_where_it_does_not_settle(
    book: Book,
    small_scale: Callable[..., None],
    calls: Counter[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    small_scale()
    monkeypatch.setattr(dual_newton, "ROUNDS", 0)
    solution = solve(CreditProgram(**book(0, **CASES["pressed"])))
    assert calls == {"_from_sample": 1, "approach": 1, "_sift None": 1, "_everything": 1}
    assert solution.status == "optimal"
    assert solution.message.startswith("interior point (neither sifting nor Newton settled)")


def test_a_sample_that_tells_nothing_ends_in_the_interior_point(
    book: Book, small_scale: Callable[..., None], calls: Counter[str]
) -> None:
    small_scale()
    given = book(1, **CASES["pressed"])
    n = given["upper"].size
    # Nine customers have a floor as a row each. A sample of 60 misses most of them, and then asks
    # for nothing to be above something.
    one_each = sparse.eye_array(n, format="csr")[:9]
    given["rows"] = sparse.vstack([sparse.csr_array(np.ones((1, n))), one_each])
    given["row_lower"] = np.r_[1.0, 0.5 * given["upper"][:9]]
    given["row_upper"] = np.r_[1.0, np.full(9, np.inf)]
    solution = solve(CreditProgram(**given))
    assert calls == {"_from_sample None": 1, "_everything": 1}
    assert solution.status == "optimal"
    assert solution.message.startswith("interior point (")
    assert (solution.x[:9] >= 0.5 * given["upper"][:9] * (1 - CERTIFIED)).all()


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count which method was entered, and which gave up."""
    counted: Counter[str] = Counter()
    for name in ("_from_sample", "newton", "approach", "_sift", "_everything"):
        real = getattr(dual_newton, name)

        def watched(*args: Any, _real: Any = real, _name: str = name, **more: Any) -> Any:
            result = _real(*args, **more)
            counted[_name if result is not None else f"{_name} None"] += 1
            return result

        monkeypatch.setattr(dual_newton, name, watched)
    return counted


# ------------------------------------------------------------------------------ at its real size


def test_thirty_thousand_customers_are_sampled_and_certified(book: Book, prove: Any) -> None:
    messages = set()
    for asked in ({"common": 0.0005, "cap": 8.0}, {"common": 0.3}):
        program = CreditProgram(**book(5, n=30_000, k=6, **asked))
        solution = solve(program)
        assert solution.status == "optimal"
        assert solution.certificate.worst <= CERTIFIED
        assert prove(program, solution.x, solution.duals.rows).worst <= CERTIFIED
        second = solve(program, "interior_point")
        assert second.status == "optimal"
        assert solution.objective == pytest.approx(second.objective, rel=2 * CERTIFIED)
        messages.add(solution.message.split(" settled")[0])
    assert messages == {"dual Newton", "sifting"}


def test_the_order_of_the_customers_changes_no_share(
    book: Book, small_scale: Callable[..., None]
) -> None:
    small_scale()
    for case in ("smooth", "pressed"):
        given = book(6, **CASES[case])
        n = given["upper"].size
        order = np.random.default_rng(6).permutation(n)
        shuffled = {
            **given,
            "factors": given["factors"][:, order],
            "idiosyncratic": given["idiosyncratic"][order],
            "rows": given["rows"][:, order],
            "lower": given["lower"][order],
            "upper": given["upper"][order],
        }
        first, second = (solve(CreditProgram(**x)) for x in (given, shuffled))
        assert second.status == "optimal"
        # The project's bar for shares in another order.
        assert np.abs(first.x[order] - second.x).max() <= 1e-7


def test_options_are_refused_by_name() -> None:
    program = CreditProgram(idiosyncratic=[1.0, 2.0], rows=[[1, 1]], row_lower=1, row_upper=1)
    for name in ("dual_newton", "interior_point"):
        with pytest.raises(ModelError, match="have no options; found 'max_steps'"):
            solve(program, name, max_steps=3)
