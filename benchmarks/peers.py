"""Other libraries on the same program, each written as its own users would write it.

All see the program in the same units, found by trial to be kind to all: shares v = n w, so that
the mean is one, the variance in units of that of equal shares, and rows of about norm one (with
rows of 1/n, PIQP calls the program of 100,000 customers infeasible; with shares as they are, it
stops at a gap of 1e-7). All are asked for an accuracy of 1e-9 in their own terms.
Answers come back as shares and multipliers of the rows in the package's sign, for its certificate
to judge.
"""

from __future__ import annotations

import importlib
import warnings
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy import sparse
from threadpoolctl import threadpool_limits

import credit_portfolio as cp

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Answer = tuple[Vector, Vector | None]
    """Shares, and multipliers of the rows where the library tells them."""

ACCURACY = 1e-9
# What a solver may take on one program; those with a clock of their own are told.
SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Peer:
    """One way to solve a program.

    Attributes
    ----------
    name : str
    module : str
        What has to be installed.
    solve : callable
        From the program to shares and multipliers.
    largest : int
        Customers up to which it is run; ``why`` says what ends there.
    why : str
    """

    name: str
    module: str
    solve: Callable[[CreditProgram], Answer]
    largest: int
    why: str

    @property
    def installed(self) -> bool:
        """Whether the library is there."""
        return find_spec(self.module) is not None

    def load(self) -> None:
        """Import the library, so that its import is not counted as solving."""
        importlib.import_module(self.module)


# --- the package itself -------------------------------------------------------------------------


def ours(program: CreditProgram) -> Answer:
    solution = cp.solve(program)
    return solution.x, solution.duals.rows


# --- the program in the units that all peers see ------------------------------------------------


@dataclass(frozen=True, eq=False, slots=True)
class _Units:
    """min ‖F v‖² + Σ D v² with v = n w, over variance φ of equal shares: an optimum of about 1.

    Rows and their bounds are multiplied by √n.
    """

    F: Matrix
    D: Vector
    A: Matrix
    row_lower: Vector
    row_upper: Vector
    upper: Vector
    n: int
    phi: float

    @classmethod
    def of(cls, program: CreditProgram) -> _Units:
        n = program.n_customers
        phi = program.objective(np.full(n, 1.0 / n))
        return cls(
            F=program.factors / (n * np.sqrt(phi)),
            D=program.idiosyncratic / (n * n * phi),
            A=np.asarray(program.rows) / np.sqrt(n),
            row_lower=program.row_lower * np.sqrt(n),
            row_upper=program.row_upper * np.sqrt(n),
            upper=program.upper * n,
            n=n,
            phi=phi,
        )

    def back(self, v: Vector, y: Vector) -> Answer:
        return v / self.n, y * self.phi * np.sqrt(self.n)


def _equal(program: CreditProgram) -> NDArray[np.bool_]:
    return program.row_lower == program.row_upper


# --- cvxpy in factor form -----------------------------------------------------------------------


def _cvxpy(program: CreditProgram, solver: str, **options: Any) -> Answer:
    import cvxpy

    at = _Units.of(program)
    v, e = cvxpy.Variable(at.n), cvxpy.Variable(program.n_factors)
    spread = cvxpy.quad_form(v, sparse.diags_array(at.D, format="csc"), assume_PSD=True)
    equal = _equal(program)
    above, below = np.isfinite(program.row_upper) & ~equal, np.isfinite(program.row_lower) & ~equal
    rows = [
        (at.A[equal] @ v == at.row_lower[equal], equal, 1.0),
        (at.A[above] @ v <= at.row_upper[above], above, 1.0),
        (at.A[below] @ v >= at.row_lower[below], below, -1.0),
    ]
    rows = [row for row in rows if row[1].any()]
    problem = cvxpy.Problem(
        cvxpy.Minimize(cvxpy.sum_squares(e) + spread),
        [e == at.F @ v, v >= 0, v <= at.upper, *(constraint for constraint, _, _ in rows)],
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # an inaccurate answer: the score tells
        problem.solve(solver=solver, **options)
    if v.value is None:
        raise RuntimeError(f"{problem.status}")
    y = np.zeros(program.n_rows)
    for constraint, which, sign in rows:
        y[which] += sign * np.asarray(constraint.dual_value, dtype=np.float64).ravel()
    return at.back(v.value, y)


def cvxpy_clarabel(program: CreditProgram) -> Answer:
    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), ACCURACY)
    return _cvxpy(program, "CLARABEL", time_limit=SECONDS, **accuracy)


def cvxpy_osqp(program: CreditProgram) -> Answer:
    options = {"eps_abs": ACCURACY, "eps_rel": ACCURACY, "max_iter": 1_000_000, "polishing": True}
    return _cvxpy(program, "OSQP", time_limit=SECONDS / 2, **options)


# --- PIQP, directly and through qpsolvers -------------------------------------------------------


def _factor_form(program: CreditProgram) -> tuple[_Units, Any, Any, Any]:
    """P, [F −I; equal rows], other rows, over (v, e)."""
    at = _Units.of(program)
    k = program.n_factors
    equal = _equal(program)
    P = sparse.diags(np.concatenate([2.0 * at.D, np.full(k, 2.0)]), format="csc")
    equations = sparse.csc_matrix(
        np.block([[at.F, -np.eye(k)], [at.A[equal], np.zeros((int(equal.sum()), k))]])
    )
    others = sparse.csc_matrix(np.hstack([at.A[~equal], np.zeros((int((~equal).sum()), k))]))
    return at, P, equations, others


def piqp_direct(program: CreditProgram) -> Answer:
    import piqp

    at, P, equations, others = _factor_form(program)
    k, n, equal = program.n_factors, at.n, _equal(program)
    solver = piqp.SparseSolver()
    solver.settings.eps_abs = solver.settings.eps_rel = ACCURACY
    solver.settings.eps_duality_gap_abs = solver.settings.eps_duality_gap_rel = ACCURACY
    solver.setup(
        P,
        np.zeros(n + k),
        equations,
        np.concatenate([np.zeros(k), at.row_lower[equal]]),
        others,
        at.row_lower[~equal],
        at.row_upper[~equal],
        np.concatenate([np.zeros(n), np.full(k, -np.inf)]),
        np.concatenate([at.upper, np.full(k, np.inf)]),
    )
    status = solver.solve()
    if status != piqp.PIQP_SOLVED:
        raise RuntimeError(str(status))
    y = np.empty(program.n_rows)
    y[equal] = solver.result.y[k:]
    y[~equal] = solver.result.z_u - solver.result.z_l
    return at.back(solver.result.x[:n], y)


def qpsolvers_piqp(program: CreditProgram) -> Answer:
    import qpsolvers

    at, P, equations, others = _factor_form(program)
    k, n, equal = program.n_factors, at.n, _equal(program)
    upper, lower = at.row_upper[~equal], at.row_lower[~equal]
    above, below = np.isfinite(upper), np.isfinite(lower)
    problem = qpsolvers.Problem(
        P,
        np.zeros(n + k),
        sparse.vstack([others[above], -others[below]], format="csc"),
        np.concatenate([upper[above], -lower[below]]),
        equations,
        np.concatenate([np.zeros(k), at.row_lower[equal]]),
        np.concatenate([np.zeros(n), np.full(k, -np.inf)]),
        np.concatenate([at.upper, np.full(k, np.inf)]),
    )
    solution = qpsolvers.solve_problem(
        problem,
        "piqp",
        eps_abs=ACCURACY,
        eps_rel=ACCURACY,
        eps_duality_gap_abs=ACCURACY,
        eps_duality_gap_rel=ACCURACY,
    )
    if not solution.found:
        raise RuntimeError("not found")
    y, split = np.zeros(program.n_rows), int(above.sum())
    y[equal] = solution.y[k:]
    where = np.flatnonzero(~equal)
    y[where[above]] += solution.z[:split]
    y[where[below]] -= solution.z[split:]
    return at.back(solution.x[:n], y)


# --- portfolio libraries ------------------------------------------------------------------------


def _inequalities(program: CreditProgram, A: Matrix) -> tuple[Matrix, Vector, Vector, Vector]:
    """G, h, and for each row of G the row of the program and the sign it stands for."""
    equal = _equal(program)
    above = np.flatnonzero(np.isfinite(program.row_upper) & ~equal)
    below = np.flatnonzero(np.isfinite(program.row_lower) & ~equal)
    return (
        np.vstack([A[above], -A[below]]),
        np.concatenate([program.row_upper[above], -program.row_lower[below]]),
        np.concatenate([above, below]),
        np.concatenate([np.ones(above.size), -np.ones(below.size)]),
    )


def _covariance(program: CreditProgram) -> tuple[Matrix, float]:
    """Σ, n × n, in units of the variance of equal shares."""
    n = program.n_customers
    phi = program.objective(np.full(n, 1.0 / n))
    return (program.factors.T @ program.factors + np.diag(program.idiosyncratic)) / phi, phi


def cvxcla_factor(program: CreditProgram) -> Answer:
    """Trace the whole frontier; its last point is the one of least variance."""
    from cvxcla import CLA, FactorCovariance

    k, n = program.factors.shape
    phi = program.objective(np.full(n, 1.0 / n))
    covariance = FactorCovariance(
        d=program.idiosyncratic / phi, u=program.factors.T / np.sqrt(phi), delta=np.ones(k)
    )
    A = np.asarray(program.rows)
    G, h, row, sign = _inequalities(program, A)
    equal = _equal(program)
    # Any expected returns lead to the same last point; these are not tied.
    mean = np.random.default_rng(0).normal(size=n)
    builder = CLA.problem(mean, covariance).bounds(program.lower, program.upper)
    builder = builder.equality(A[equal], program.row_lower[equal]).inequality(G, h)
    # Its many small products make two BLAS threads wait for each other, on a busy machine for 30
    # times as long as one takes alone.
    with threadpool_limits(1, user_api="blas"):
        last = builder.trace().turning_points[-1]
    y = np.zeros(program.n_rows)
    y[equal] = last.nu
    np.add.at(y, row, sign * last.eta)
    return last.weights, 2.0 * phi * y


def pyportfolioopt(program: CreditProgram) -> Answer:
    from pypfopt import EfficientFrontier

    covariance, _ = _covariance(program)
    G, h, _, _ = _inequalities(program, np.asarray(program.rows))
    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), ACCURACY)
    frontier = EfficientFrontier(
        None,
        covariance,
        list(zip(program.lower, program.upper, strict=True)),
        solver="CLARABEL",
        solver_options=accuracy,
    )
    frontier.add_constraint(lambda w: G @ w <= h)
    frontier.min_volatility()
    return np.asarray(frontier.weights, dtype=np.float64), None


def skfolio_mean_risk(program: CreditProgram) -> Answer:
    from skfolio.moments import BaseCovariance
    from skfolio.optimization import MeanRisk
    from skfolio.prior import EmpiricalPrior

    covariance, _ = _covariance(program)
    G, h, _, _ = _inequalities(program, np.asarray(program.rows))

    class Given(BaseCovariance):
        def fit(self, X: Any, y: Any = None) -> Given:
            self.covariance_ = covariance
            return self

    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), ACCURACY)
    model = MeanRisk(
        prior_estimator=EmpiricalPrior(covariance_estimator=Given()),
        min_weights=np.asarray(program.lower),
        max_weights=np.asarray(program.upper),
        left_inequality=G,
        right_inequality=h,
        solver="CLARABEL",
        solver_params=accuracy,
    )
    return np.asarray(model.fit(program.factors).weights_, dtype=np.float64), None


_DENSE = "n × n covariance: 0.8 GB at 10,000 customers"
PEERS: dict[str, Peer] = {
    peer.name: peer
    for peer in [
        Peer("credit_portfolio", "credit_portfolio", ours, 10_000_000, ""),
        Peer("piqp", "piqp", piqp_direct, 100_000, "memory and minutes"),
        Peer("qpsolvers + piqp", "qpsolvers", qpsolvers_piqp, 100_000, "as PIQP"),
        Peer("cvxpy + clarabel", "cvxpy", cvxpy_clarabel, 100_000, "memory and minutes"),
        Peer("cvxpy + osqp", "cvxpy", cvxpy_osqp, 10_000, "over the time limit"),
        Peer("cvxcla", "cvxcla", cvxcla_factor, 1_000, "a turning point per customer, each O(n)"),
        Peer("PyPortfolioOpt", "pypfopt", pyportfolioopt, 1_000, _DENSE),
        Peer("skfolio", "skfolio", skfolio_mean_risk, 1_000, _DENSE),
    ]
}
