"""What the tests of the solvers share: other ways to the same answer, none of them the package's.

Every reference sees the program as plain arrays. Proofs are recomputed in extended precision.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import clarabel
import numpy as np
import piqp
import pytest
from scipy import sparse
from scipy.optimize import linprog

from credit_portfolio.program.program import CreditProgram
from credit_portfolio.solvers import ascent, dual_newton

# The certificate's own reference where the minimum is zero, written down in docs/program.md.
UNDIVERSIFIED = 1e-6


# ------------------------------------------------------------------------------- proofs by hand


@dataclass(frozen=True)
class Proof:
    """How far shares and multipliers are from optimal; each number is relative."""

    primal: float
    dual: float
    gap: float
    size: float

    @property
    def worst(self) -> float:
        return max(self.primal, self.dual, self.gap)


def _wide(x: Any) -> np.ndarray:
    return np.asarray(x, dtype=np.longdouble)


def _prove(program: CreditProgram, w: np.ndarray, y: np.ndarray) -> Proof:
    """Weak duality in extended precision: f(w) against the dual value of y.

    For every feasible v, f(v) ≥ f(w) + ∇f(w)ᵀ(v − w), whose least value over the box and the rows
    is bounded below by the multipliers. The package sums distances to bounds in its place.
    """
    F, D, c = map(_wide, (program.factors, program.idiosyncratic, program.linear))
    rows: Any = program.rows
    A = _wide(rows.toarray() if sparse.issparse(rows) else rows)
    rl, ru, low, high = map(
        _wide, (program.row_lower, program.row_upper, program.lower, program.upper)
    )
    w, y = _wide(w), _wide(y)
    y = np.where(((y > 0) & np.isinf(ru)) | ((y < 0) & np.isinf(rl)), 0, y)
    e = F @ w
    risk = 2 * (F.T @ e) + 2 * D * w
    pull = A.T @ y
    reduced = risk + c + pull
    far = np.where(reduced > 0, low, high)
    closed = np.isfinite(far)
    side = np.where(y > 0, ru, np.where(y < 0, rl, 0))
    value = e @ e + D @ w**2 + c @ w
    least_of_box = reduced[closed] @ far[closed]
    # On an open side only a slope of zero has an end; what is left of it is counted as `dual`.
    below = value - (risk + c) @ w + least_of_box + reduced[~closed] @ w[~closed] - y @ side
    norms = np.sqrt((F**2).sum(axis=0))
    together = 2 * norms.max(initial=0) * (norms @ abs(w)) if F.size else _wide(0)
    terms = max(abs(risk).max(), abs(c).max(), abs(pull).max()) + UNDIVERSIFIED * together
    slope = abs(reduced[~closed]).max(initial=0)
    size = e @ e + D @ w**2 + abs(c @ w)
    size += UNDIVERSIFIED * ((norms @ abs(w)) ** 2 + abs(c) @ abs(w))
    gap = max(value - below, 0)
    share = abs(w).max()
    outside = np.maximum(np.maximum(low - w, w - high), 0).max()
    primal = outside / share if outside > 0 else 0
    if rl.size:
        Aw = A @ w
        missed = np.maximum(np.maximum(rl - Aw, Aw - ru), 0)
        bound = np.where(rl - Aw > Aw - ru, rl, ru)
        terms_of_row = np.maximum(abs(A) @ abs(w), np.where(np.isfinite(bound), abs(bound), 0))
        terms_of_row = np.maximum(terms_of_row, share * abs(A).max(axis=1))
        late = missed > 0
        primal = max(primal, (missed[late] / terms_of_row[late]).max(initial=0))
    return Proof(
        primal=float(primal),
        dual=float(slope / terms) if slope > 0 else 0.0,
        gap=(float(gap / size) if size > 0 else np.inf) if gap > 0 else 0.0,
        size=float(size) or 1.0,
    )


@pytest.fixture(scope="session")
def prove() -> Callable[[CreditProgram, np.ndarray, np.ndarray], Proof]:
    return _prove


# --------------------------------------------------------------------------- other solvers, direct


def _scaled(program: CreditProgram, size: float) -> dict[str, Any]:
    """The program over (w, e) with e = F w, shares in 1/n, rows at largest entry one."""
    n, k = program.n_customers, program.n_factors
    unit = 1.0 / n
    A = sparse.csr_array(program.rows)
    largest = abs(A).max(axis=1).toarray().ravel() if A.shape[0] else np.zeros(0)
    row = np.where(largest > 0, largest, 1.0) * unit
    # Exposures get a size of their own, so that they are no smaller than the shares.
    spread = np.sqrt(size) if size > 0 else 1.0
    P = sparse.diags_array(
        np.r_[2 * program.idiosyncratic * unit**2 / size, np.full(k, 2 * spread**2 / size)]
    )
    link = sparse.hstack(
        [sparse.csr_array(program.factors * unit / spread), -sparse.eye_array(k)], format="csr"
    )
    wide = sparse.hstack(
        [sparse.diags_array(unit / row) @ A, sparse.csr_array((A.shape[0], k))], format="csr"
    )
    return {
        "P": sparse.csc_array(P),
        "c": np.r_[program.linear * unit / size, np.zeros(k)],
        "link": link,
        "rows": wide,
        "row_lower": program.row_lower / row,
        "row_upper": program.row_upper / row,
        "lower": np.r_[program.lower / unit, np.full(k, -np.inf)],
        "upper": np.r_[program.upper / unit, np.full(k, np.inf)],
        "unit": unit,
        "row": row,
    }


def _first_size(program: CreditProgram) -> float:
    n = program.n_customers
    variance = float((program.factors**2).sum() + program.idiosyncratic.sum()) / n**2
    return max(variance, float(abs(program.linear).max()) / n, 1e-300)


def _in_its_own_size(
    program: CreditProgram, once: Callable[[CreditProgram, float], Any]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Solve again in the size of the answer: tolerances near one objective are absolute ones."""
    size = _first_size(program)
    found = once(program, size)
    for _ in range(2):
        if found is None:
            return None
        w, y = found
        reached = _prove(program, w, y).size
        if not 0 < reached < 0.1 * size:
            break
        size = reached
        found = once(program, size) or found
    return found


def _clarabel_once(program: CreditProgram, size: float) -> tuple[np.ndarray, np.ndarray] | None:
    s = _scaled(program, size)
    n, k, q = program.n_customers, program.n_factors, program.n_rows
    equal = s["row_lower"] == s["row_upper"]
    above, below = np.isfinite(s["row_upper"]) & ~equal, np.isfinite(s["row_lower"]) & ~equal
    fixed = s["lower"] == s["upper"]
    top, floor = np.isfinite(s["upper"]) & ~fixed, np.isfinite(s["lower"]) & ~fixed
    eye = sparse.eye_array(n + k, format="csr")
    parts = [
        (s["link"], np.zeros(k)),
        (s["rows"][equal], s["row_upper"][equal]),
        (eye[fixed], s["upper"][fixed]),
        (s["rows"][above], s["row_upper"][above]),
        (-s["rows"][below], -s["row_lower"][below]),
        (eye[top], s["upper"][top]),
        (-eye[floor], -s["lower"][floor]),
    ]
    A = sparse.vstack([part for part, _ in parts], format="csc")
    b = np.concatenate([right for _, right in parts])
    n_equal = k + int(equal.sum()) + int(fixed.sum())
    cones = [clarabel.ZeroConeT(n_equal), clarabel.NonnegativeConeT(b.size - n_equal)]
    settings = clarabel.DefaultSettings()
    settings.verbose = False
    settings.max_iter = 300
    settings.tol_gap_abs = settings.tol_gap_rel = settings.tol_feas = 1e-12
    settings.tol_infeas_abs = settings.tol_infeas_rel = 1e-11
    P, A = sparse.csc_matrix(s["P"]), sparse.csc_matrix(A)
    result = clarabel.DefaultSolver(P, s["c"], A, b, cones, settings).solve()
    if "Infeasible" in str(result.status):
        return None
    x, z = np.asarray(result.x), np.asarray(result.z)
    y, at = np.zeros(q), k
    y[equal] = z[at : at + equal.sum()]
    at = n_equal
    y[above] = z[at : at + above.sum()]
    at += int(above.sum())
    y[below] -= z[at : at + below.sum()]
    w = np.clip(x[:n] * s["unit"], program.lower, program.upper)
    return w, y * size / s["row"]


def _piqp_once(program: CreditProgram, size: float) -> tuple[np.ndarray, np.ndarray] | None:
    s = _scaled(program, size)
    n, k, q = program.n_customers, program.n_factors, program.n_rows
    equal = s["row_lower"] == s["row_upper"]
    either = ~equal & (np.isfinite(s["row_lower"]) | np.isfinite(s["row_upper"]))
    solver = piqp.SparseSolver()
    settings = solver.settings
    settings.eps_abs = settings.eps_duality_gap_abs = 1e-11
    settings.eps_rel = settings.eps_duality_gap_rel = 1e-12
    settings.eps_primal_inf = settings.eps_dual_inf = 1e-10
    settings.max_iter = 400
    settings.iterative_refinement_always_enabled = True
    both = sparse.vstack([s["link"], s["rows"][equal]], format="csc")
    solver.setup(
        sparse.csc_matrix(s["P"]),
        s["c"],
        sparse.csc_matrix(both),
        np.r_[np.zeros(k), s["row_lower"][equal]],
        sparse.csc_matrix(s["rows"][either]),
        s["row_lower"][either],
        s["row_upper"][either],
        s["lower"],
        s["upper"],
    )
    status = solver.solve()
    if status in (piqp.PIQP_PRIMAL_INFEASIBLE, piqp.PIQP_DUAL_INFEASIBLE):
        return None
    r = solver.result
    y = np.zeros(q)
    y[equal] = np.asarray(r.y)[k:]
    y[either] = np.asarray(r.z_u) - np.asarray(r.z_l)
    w = np.clip(np.asarray(r.x)[:n] * s["unit"], program.lower, program.upper)
    return w, y * size / s["row"]


@pytest.fixture(scope="session")
def by_clarabel() -> Callable[[CreditProgram], tuple[np.ndarray, np.ndarray] | None]:
    """Clarabel called directly at 1e-12: shares and row multipliers, None for "infeasible"."""
    return lambda program: _in_its_own_size(program, _clarabel_once)


@pytest.fixture(scope="session")
def by_piqp() -> Callable[[CreditProgram], tuple[np.ndarray, np.ndarray] | None]:
    """PIQP called directly at 1e-11: shares and row multipliers, None for "infeasible"."""
    return lambda program: _in_its_own_size(program, _piqp_once)


@pytest.fixture(scope="session")
def total_miss() -> Callable[[CreditProgram], float]:
    """Phase one by HiGHS's simplex, rows at largest entry one: 0 for a feasible program."""

    def least(program: CreditProgram) -> float:
        n, q = program.n_customers, program.n_rows
        A = sparse.csr_array(program.rows)
        largest = abs(A).max(axis=1).toarray().ravel()
        row = np.where(largest > 0, largest, 1.0)
        A = sparse.hstack(
            [sparse.diags_array(1 / row) @ A, sparse.eye_array(q), -sparse.eye_array(q)],
            format="csr",
        )
        up, low = np.isfinite(program.row_upper), np.isfinite(program.row_lower)
        result = linprog(
            np.r_[np.zeros(n), np.ones(2 * q)],
            A_ub=sparse.vstack([A[up], -A[low]]),
            b_ub=np.r_[(program.row_upper / row)[up], -(program.row_lower / row)[low]],
            bounds=np.vstack(
                [
                    np.column_stack([program.lower, program.upper]),
                    np.tile([0.0, np.inf], (2 * q, 1)),
                ]
            ),
            method="highs-ds",
            options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
        )
        assert result.status == 0, result.message
        return float(result.fun)

    return least


# ---------------------------------------------------------------------------------- made-up books


def _book(
    seed: int = 0,
    n: int = 600,
    k: int = 8,
    *,
    groups: int = 0,
    decades: float = 1.0,
    common: float = 0.05,
    cap: float | None = 4.0,
    **changes: Any,
) -> dict[str, Any]:
    """Arguments of a book: a budget, two targets on intervals, limits, and groups of customers.

    ``decades`` is the spread of D; ``common`` the size of the factors, which decides how many
    customers get nothing; ``cap`` the mean limit in units of 1/n; ``groups`` sparse rows.
    """
    rng = np.random.default_rng([31, seed])
    F = rng.normal(scale=common, size=(k, n)) + common * rng.normal(size=(k, 1))
    P = rng.dirichlet(np.full(4, 0.7), n)
    upper = np.full(n, np.inf)
    inside = np.full(n, 1.0 / n)
    if cap is not None:
        upper = cap * rng.lognormal(-0.5, 1.0, n) / n
        inside = upper / upper.sum()
    B = inside @ P
    rows, low, high = [np.ones(n), P[:, 0], P[:, 3]], [1, -np.inf, B[3]], [1, B[0], np.inf]
    A: Any = np.array(rows)
    if groups:
        member = rng.integers(0, groups, n)
        G = sparse.csr_array((np.ones(n), (member, np.arange(n))), shape=(groups, n))
        A = sparse.vstack([sparse.csr_array(A), G], format="csr")
        held = np.asarray(G @ inside)
        low += [-np.inf] * groups
        high += list(held * rng.uniform(1.0, 1.3, groups))
    return {
        "factors": F,
        "idiosyncratic": 10.0 ** rng.uniform(-2 - decades, -2, n),
        "rows": A,
        "row_lower": np.array(low, dtype=float),
        "row_upper": np.array(high, dtype=float),
        "lower": np.zeros(n),
        "upper": upper,
        **changes,
    }


@pytest.fixture(scope="session")
def book() -> Callable[..., dict[str, Any]]:
    return _book


@pytest.fixture
def small_scale(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Let sampling, sifting and Newton run on a few hundred customers."""

    def bring_down(sample: int = 60, near: int = 20) -> None:
        monkeypatch.setattr(dual_newton, "SMALL", 0)
        monkeypatch.setattr(dual_newton, "SAMPLE", sample)
        monkeypatch.setattr(dual_newton, "LEAST_NEAR", near)
        monkeypatch.setattr(dual_newton, "ROOM", 0)
        monkeypatch.setattr(ascent, "LEAST_NEAR", near)

    return bring_down
