"""Solve the program the way that it needs, and say what was proved.

Three ways lead to one form: the shares as the proved optimum of a plain program over the customers,
from which prices and reasons are read. Controls replace what has a kink by its slope at the
optimum; conditions that branch end in the convex piece in which the best shares lie.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from credit_portfolio.errors import InfeasibleError, SolverError
from credit_portfolio.explain import explain_infeasibility
from credit_portfolio.formulation import (
    alternatives_of,
    controls_of,
    credit_program,
    robust_targets,
    rows_weighed,
)
from credit_portfolio.program.controls import Controls
from credit_portfolio.program.turnover import Turnover
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.branching import BranchStatus, branch
from credit_portfolio.solvers.controlled import solve_controlled

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from credit_portfolio.book import Book, Specification
    from credit_portfolio.program.alternatives import Alternatives
    from credit_portfolio.program.certificate import Certificate
    from credit_portfolio.program.program import CreditProgram
    from credit_portfolio.solvers.controlled import Controlled
    from credit_portfolio.solvers.solution import Solution

# How near to the border a confidence or a turnover is told, before it is rounded to the side that
# works.
_NEAR = 2.5e-4


@dataclass(frozen=True, eq=False, slots=True)
class Answer:
    """Proved shares, and what they are the optimum of.

    Attributes
    ----------
    program : CreditProgram
        The plain program at the optimum, over the eligible customers.
    solution : Solution
        Its objective is the variance.
    kinds : tuple of str
        Kind of each row, as ``prices.price_table`` takes them.
    certificate : Certificate
        Of the program as it was asked.
    figures : dict
        What only some ways have: turnover, moving_price, tail_loss, bound, gap.
    notes : tuple of str
        What a reader has to know of how it was solved.
    whole : bool
        Whether ``program`` is the whole program, which may be solved again for other bounds.
    """

    program: CreditProgram
    solution: Solution
    kinds: tuple[str, ...]
    certificate: Certificate
    figures: dict[str, float | None]
    notes: tuple[str, ...] = ()
    whole: bool = True


def answer(spec: Specification, book: Book) -> Answer:
    """Solve what is asked.

    Raises
    ------
    InfeasibleError
        With the explanation, when nothing meets all conditions.
    ModelError
        For conditions that are not solved together, and weights of what is not asked for.
    SolverError
        When no certified answer was reached.
    """
    program = credit_program(spec, book)
    rows_weighed(spec, book, spec.weights or {})  # refuses weights of what is not asked for
    kinds = ["budget"] + ["target"] * (program.n_rows - 1)
    controls = controls_of(spec, book)
    if not spec.is_branching:
        if controls is None:
            return _plain(spec, book, program, kinds)
        return _controlled(spec, book, program, kinds, controls)
    base = program if controls is None else controls.with_plain_rows(program)
    kinds += _further(controls)
    stated = alternatives_of(spec, book, base)
    return _branched(spec, book, base, kinds, stated)


def _further(controls: Controls | None) -> list[str]:
    """Kinds of the rows that controls add, in their order."""
    if controls is None:
        return []
    groups = sum(len(bounds) for bounds in (controls.groups or {}).values())
    return ["group"] * groups + ["return"] * (controls.least_return is not None)


def _plain(spec: Specification, book: Book, program: CreditProgram, kinds: Sequence[str]) -> Answer:
    solution = solve(program, spec.solver, tolerance=spec.tolerance)
    _refuse(spec, book, program, kinds, solution)
    return Answer(program, solution, tuple(kinds), solution.certificate, {})


def _controlled(
    spec: Specification,
    book: Book,
    program: CreditProgram,
    kinds: Sequence[str],
    controls: Controls,
) -> Answer:
    found = solve_controlled(program, controls, spec.solver, tolerance=spec.tolerance)
    kinds = [*kinds, *_further(controls)]
    base = controls.with_plain_rows(program)
    if found.solution.status == "infeasible" and solve(base).status != "infeasible":
        raise _bent(spec, book, program, controls, found.solution)
    _refuse(spec, book, base, kinds, found.solution)
    kinds = [*kinds, *["target"] * (found.program.n_rows - len(kinds))]
    figures = {
        "turnover": found.turnover,
        "moving_price": found.moving_price if found.turnover is not None else None,
        "tail_loss": found.cvar,
    }
    whole = controls.turnover is None and controls.tail is None and not controls.robust
    solution = replace(found.solution, objective=found.variance)
    return Answer(
        found.program,
        solution,
        tuple(kinds),
        found.certificate,
        figures,
        _told(spec, found),
        whole,
    )


def _told(spec: Specification, found: Controlled) -> tuple[str, ...]:
    notes = []
    if spec.confidence is not None:
        notes.append(
            f"each target holds with a confidence of {spec.confidence:.0%}: B keeps a margin for "
            "what few periods leave unsure"
        )
    if found.turnover is not None:
        limit = "" if spec.max_turnover is None else f", at most {spec.max_turnover:.2%}"
        notes.append(f"turnover against today's book: {found.turnover:.2%} of the budget{limit}")
    if found.cvar is not None:
        notes.append(
            f"minimised is the mean loss of the worst {1 - spec.tail:.0%} of the periods, "
            f"{found.cvar:.4%} of cost, not the variance: shadow prices in money of standard "
            "deviation do not apply"
        )
    return tuple(notes)


def _branched(
    spec: Specification,
    book: Book,
    base: CreditProgram,
    kinds: Sequence[str],
    stated: Alternatives,
) -> Answer:
    today = None
    if book.universe.current is not None:
        today = book.universe.current[book.universe.eligible] / book.budget
    found = branch(stated, tolerance=max(spec.tolerance, 1e-9), start=today)
    if found.status is BranchStatus.INFEASIBLE:
        solution = solve(base, spec.solver, tolerance=spec.tolerance)
        _refuse(spec, book, base, kinds, solution)  # where budget, limits and groups conflict
        names = ", ".join(found.conflict) or _what_branches(spec)
        raise InfeasibleError(
            f"no allocation meets all conditions: {names} cannot be met together with budget, "
            f"limits and floors (proved by cases: {found.message}); loosen {_what_branches(spec)}, "
            "or raise limits",
            conflict=tuple(found.conflict),
        )
    if found.solution is None or found.program is None or found.solution.status != "optimal":
        raise SolverError(f"no certified answer: {found.message}; loosen {_what_branches(spec)}")
    note = found.message
    if found.status is BranchStatus.BOUND:
        note += f"; the shares are allowed, and at most {found.gap:.2%} from the optimum"
    piece = found.program
    kinds = [*kinds, *["row"] * (piece.n_rows - len(kinds))]
    figures: dict[str, float | None] = {"bound": found.bound, "gap": found.gap}
    prices = "prices are those within the piece of the program in which the shares lie"
    return Answer(
        piece,
        found.solution,
        tuple(kinds),
        found.solution.certificate,
        figures,
        (note, prices),
        whole=False,
    )


def _what_branches(spec: Specification) -> str:
    asked = [] if spec.is_mixture else [f"the targets under {spec.operator!r}"]
    asked += [] if spec.min_line is None else [f"the minimum line of {spec.min_line:,.2f}"]
    return " and ".join(asked)


def _refuse(
    spec: Specification,
    book: Book,
    program: CreditProgram,
    kinds: Sequence[str],
    solution: Solution,
) -> None:
    """Raise unless there is a proved optimum."""
    if solution.status == "infeasible":
        raise _conflict(spec, book, program, kinds, solution)
    if solution.status != "optimal":
        raise SolverError(
            f"no certified answer: {solution.message}; try another solver or a wider tolerance",
            solution.certificate,
        )


def _bent(
    spec: Specification,
    book: Book,
    program: CreditProgram,
    controls: Controls,
    solution: Solution,
) -> InfeasibleError:
    """Say what of confidence and turnover conflicts, and how far each would have to move alone.

    Neither is a row of a plain program, so that the distance is found by halving.
    """

    def met(tried: Controls) -> bool:
        found = solve_controlled(program, tried, spec.solver, tolerance=spec.tolerance)
        return found.solution.status == "optimal"

    names = list(solution.conflict)
    ways = []
    if spec.confidence is not None:

        def with_confidence(confidence: float) -> Controls:
            return replace(
                controls, robust=robust_targets(replace(spec, confidence=confidence), book)
            )

        most = _furthest(lambda c: met(with_confidence(c)), 0.5, spec.confidence)
        ways.append(
            "no confidence alone would do, not even of 50 %"
            if most is None
            else f"the confidence down to {100 * _floor(most):.1f} %"
        )
    if spec.max_turnover is not None and controls.turnover is not None:
        now = controls.turnover

        def with_limit(limit: float) -> Controls:
            wider = Turnover(now.current, limit=limit, cost=now.cost, gone=now.gone)
            return replace(controls, turnover=wider)

        # Selling all that is held and buying the whole budget is less than this.
        everything = float(now.current.sum()) + now.gone + 1.0
        least = _furthest(lambda t: met(with_limit(t)), everything, spec.max_turnover)
        ways.append(
            "no limit on turnover alone would do"
            if least is None
            else f"the turnover up to {100 * _ceiling(least):.1f} % of the budget"
        )
    asked = []
    if spec.confidence is not None:
        asked.append(f"a confidence of {spec.confidence:.1%}")
    if spec.max_turnover is not None:
        asked.append(f"a turnover of at most {spec.max_turnover:.2%}")
    return InfeasibleError(
        f"no allocation meets all conditions. Without {' and '.join(asked)} they can be met; with "
        f"it these cannot hold together: {', '.join(names)}. One move alone: "
        f"{'; or '.join(ways)}; or looser targets",
        conflict=tuple(names),
    )


def _furthest(met: Callable[[float], bool], good: float, bad: float) -> float | None:
    """Return the value nearest to ``bad`` that is met, to a thousandth; None where ``good`` is not.

    The condition only gets harder from good to bad.
    """
    if not met(good):
        return None
    while abs(bad - good) > _NEAR:
        middle = (good + bad) / 2
        good, bad = (middle, bad) if met(middle) else (good, middle)
    return good


def _floor(part: float) -> float:
    """Round a part down to a tenth of a percent, the side that works."""
    return math.floor(part * 1000) / 1000


def _ceiling(part: float) -> float:
    """Round a part up to a tenth of a percent, the side that works."""
    return math.ceil(part * 1000) / 1000


def _conflict(
    spec: Specification,
    book: Book,
    program: CreditProgram,
    kinds: Sequence[str],
    solution: Solution,
) -> InfeasibleError:
    """Say which conditions cannot hold together, and how far each would have to move."""
    u = book.universe
    weighed = rows_weighed(spec, book, spec.weights or {})
    found = explain_infeasibility(
        program,
        # A target that is to hold with a confidence, or under another operator, has no row.
        {name: weight for name, weight in weighed.items() if name in program.row_names},
        kinds=kinds,
        limits=u.limit[u.eligible] / book.budget,
        largest_share=spec.max_share,
        budget=book.budget,
        currency=spec.currency,
        tolerance=spec.tolerance,
    )
    return InfeasibleError(
        f"no allocation meets all conditions. {found.message()}",
        conflict=found.names,
        shortfall=found.shortfall,
        explanation=found,
    )
