"""Solves that start from an earlier solution: another answer never, fewer passes where they can."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from credit_portfolio.errors import ModelError
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import solve

Book = Callable[..., dict[str, Any]]
# Both are proved to 1e-9 of the objective, each from its own side.
AGREED = 2e-9

ASKED: dict[str, dict[str, Any]] = {
    "smooth": {"n": 6_000, "k": 6, "common": 0.0005, "cap": 8.0},
    "pressed": {"n": 6_000, "k": 6, "common": 0.3},
    "groups": {"n": 6_000, "k": 4, "common": 0.3, "groups": 8},
    "few": {"n": 200, "k": 4},
}


def tightened(given: dict[str, Any]) -> dict[str, Any]:
    """Move every upper bound of a row that is no equality a little."""
    upper = np.array(given["row_upper"], dtype=float)
    loose = np.isfinite(upper) & (upper != given["row_lower"])
    upper[loose] -= 1e-3 * np.abs(upper[loose])
    return {**given, "row_upper": upper}


@pytest.mark.parametrize("case", ASKED)
@pytest.mark.parametrize("change", ["nothing", "targets", "limits", "variances", "customers"])
def test_a_start_leads_to_the_answer_of_a_cold_solve(
    case: str, change: str, book: Book, prove: Any
) -> None:
    given = book(3, **ASKED[case])
    first = solve(CreditProgram(**given))
    assert first.status == "optimal"
    n = given["upper"].size
    rng = np.random.default_rng(1)
    if change == "targets":
        given = tightened(given)
    if change == "limits":
        given["upper"] = given["upper"] * rng.uniform(0.95, 1.1, n)
    if change == "variances":
        given["idiosyncratic"] = given["idiosyncratic"] * rng.uniform(0.8, 1.2, n)
    if change == "customers":
        kept = np.sort(rng.choice(n, n - n // 20, replace=False))
        for name in ("factors", "rows"):
            given[name] = given[name][:, kept]
        for name in ("idiosyncratic", "lower", "upper"):
            given[name] = np.broadcast_to(given.get(name, 0.0), n)[kept]
        given["upper"] = given["upper"] * 1.1
    program = CreditProgram(**given)
    cold, warm = solve(program), solve(program, start=first)
    assert warm.status == cold.status
    if cold.status == "optimal":
        assert warm.objective == pytest.approx(cold.objective, rel=AGREED)
        assert prove(program, warm.x, warm.duals.rows).worst <= 1e-9


def test_a_start_spares_the_interior_point_on_everybody(book: Book) -> None:
    for case in ("smooth", "pressed"):
        given = book(3, **ASKED[case])
        cold = solve(CreditProgram(**given))
        assert cold.message.startswith("interior point")
        warm = solve(CreditProgram(**tightened(given)), start=cold)
        assert warm.message.startswith(("followed", "sifting settled"))


def test_few_customers_are_polished_from_the_start(book: Book) -> None:
    given = book(3, **ASKED["few"])
    cold = solve(CreditProgram(**given))
    warm = solve(CreditProgram(**tightened(given)), start=cold)
    assert warm.status == "optimal"
    assert warm.message.startswith("polished from the start")


def test_an_answer_that_is_none_is_no_start(book: Book) -> None:
    given = book(3, **ASKED["few"])
    impossible = solve(CreditProgram(**{**given, "upper": given["upper"] * 1e-3}))
    assert impossible.status == "infeasible"
    program = CreditProgram(**given)
    assert np.array_equal(solve(program, start=impossible).x, solve(program).x)


def test_a_start_of_another_shape_or_for_another_solver_is_refused(book: Book) -> None:
    first = solve(CreditProgram(**book(3, **ASKED["few"])))
    other = CreditProgram(idiosyncratic=[1.0, 2.0], rows=[[1, 1]], row_lower=1, row_upper=1)
    with pytest.raises(ModelError, match=r"4 factors and .* rows, this one has 0 and 1"):
        solve(other, start=first)
    with pytest.raises(ModelError, match=r"clarabel cannot start .* 'auto' or 'dual_newton'"):
        solve(other, "clarabel", start=first)
    with pytest.raises(TypeError, match="start is 'x'; expected a Solution"):
        solve(other, start="x")  # type: ignore[arg-type]
