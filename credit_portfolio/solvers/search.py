"""The search over boxes: best bound first, with points looked for on the way."""

from __future__ import annotations

import heapq
import time
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError
from credit_portfolio.program.alternatives import CONSTANT, completed, violation
from credit_portfolio.program.certificate import UNDIVERSIFIED, examine, infeasibility_margin
from credit_portfolio.program.columns import Columns
from credit_portfolio.solvers import solve
from credit_portfolio.solvers.cuts import MET, Node, Seen, branches, decided
from credit_portfolio.solvers.feasibility import bounds_conflict, rows_conflict
from credit_portfolio.solvers.interior_point import interior_point
from credit_portfolio.solvers.last_piece import piece_around
from credit_portfolio.solvers.polish import polish
from credit_portfolio.solvers.propagation import Sums, propagate
from credit_portfolio.solvers.relaxation import Box, Layout, narrowed, prove, relax

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from credit_portfolio.program.alternatives import Alternatives
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]

# Boxes are relaxed to a hundredth of the default tolerance, so that what is lost in the relaxation,
# its proof and the best point together stays within it.
_RELAXED = 1e-11
# Multipliers prove their bound whatever they are: from so near they prove nearly the optimum.
_NEARLY = 1e-6
# A step of polishing takes q³ operations; the interior point alone does for a bound.
_POLISHED = 200
# Above this many columns a conflict of rows is not searched by a linear program at each box.
_LINEAR_PROGRAM = 20_000
# Narrowing a box goes on while a round takes so large a part off what is left to prove, and where
# something open has at most this part of its width left.
_WORTH_ANOTHER, _SHRUNK = 0.25, 0.8
_ROUNDS, _ROOT_ROUNDS = 3, 20
# Rows of a ceiling that are added at a time; more are passed at first than press in the end.
_ADDED, _ADDING = 40, 60
# So many ceilings are held at once. Where more are needed the bound holds still, but the relaxation
# passes some of them.
_POOL = 600
# Every so many boxes a point is looked for near the relaxation; at the root always. A dive takes
# some dozen boxes, so that the next one waits for a fifth more of them than there were.
_LOOK_EVERY, _DIVE_AGAIN, _DIVE_AFTER = 8, 1.2, 20
_FLIPS, _DIVES, _TRIED = 6, 40, 3
# A dive decides this part of what is open at a time, by price or as the shares lie; one thing only
# where that leaves nothing.
_PARTS = ((0.3, False), (0.3, True), (0.1, False), (0.1, True))
# How near to the end of a piece, in parts of the box's width, a share is said to end there.
_AT_THE_END = 1e-6


class Search:
    """The state of one search.

    Attributes
    ----------
    best : ndarray or None
        The best point that meets everything, levels included.
    objective : float
    nodes : int
        Boxes that were relaxed, those on the way to points among them.
    conflict : dict of str to float
        Rows that conflict before any branch.
    """

    def __init__(
        self, stated: Alternatives, tolerance: float, until: float, max_nodes: int
    ) -> None:
        self.stated, self.tolerance = stated, tolerance
        self.until, self.max_nodes = until, max_nodes
        self.layout, self.sums = Layout.of(stated), Sums(stated)
        factors = stated.program.factors
        self.norms = np.sqrt(np.einsum("ki,ki->i", factors, factors))
        self.best: Vector | None = None
        self.objective, self.scale = np.inf, 0.0
        self.queue: list[tuple[float, int, Node]] = []
        self.ids = count()
        self.nodes = 0
        self.next_dive = 0.0
        self.unresolved: list[float] = []  # bounds of boxes that could be neither solved nor cut
        self.closed = np.inf  # least bound of the boxes that were closed within the tolerance
        self.conflict: dict[str, float] = {}

    def run(self, start: Vector | None) -> None:
        """Search until everything is closed, or a limit is reached."""
        box = self._root()
        if box is None:
            return
        given = None if start is None else completed(self.stated, start)
        if given is not None and violation(self.stated, given) <= MET:
            self._keep(given)
        root = self._settled(box, -np.inf, _ROOT_ROUNDS)
        if root is None:
            if not self.unresolved and self.best is None:
                self.conflict = self._root_conflict(box)
            return
        self._look_near(root, given)
        root = self._settled(root.box, root.bound, _ROOT_ROUNDS)
        if root is not None:
            self._cut(root)
        while self.queue and self.nodes < self.max_nodes and time.perf_counter() < self.until:
            self._next()

    def bound(self) -> float:
        """Return what no allowed point is below."""
        waiting = self.queue[0][0] if self.queue else np.inf
        return float(min(waiting, *self.unresolved, self.closed, self.objective))

    def left(self) -> int:
        """Return the number of boxes that may hold something better."""
        waiting = sum(1 for bound, _, _ in self.queue if bound < self.cutoff())
        return waiting + len(self.unresolved)

    def cutoff(self) -> float:
        """Boxes with this bound or a higher one are closed: half the tolerance is for rounding."""
        return self.objective - 0.5 * self.tolerance * self.scale

    def size(self, x: Vector) -> float:
        """Return what a gap is relative to: as in the certificate, never quite zero."""
        program = self.stated.program
        together = float(self.norms @ np.abs(x))
        cost, paid = float(np.abs(program.linear) @ np.abs(x)), float(program.linear @ x)
        terms = program.objective(x) - paid + abs(paid)
        return terms + UNDIVERSIFIED * (together * together + cost)

    # --- boxes -----------------------------------------------------------------------------------

    def _root(self) -> Box | None:
        program = self.stated.program
        everyone = tuple(
            np.arange(peak.columns.size, dtype=np.intp) for peak in self.stated.reached
        )
        whole = Box(program.lower, program.upper, everyone)
        box: Box | None = whole
        for _ in range(_ROUNDS):
            box = None if box is None else propagate(self.stated, self.sums, box)
        if box is None:
            self.conflict = self._root_conflict(whole)
            return None
        return box if np.isfinite(box.upper).all() else self._bounded(box)

    def _bounded(self, box: Box) -> Box:
        """Give levels that are above a peak an upper bound: higher than it no level needs to be."""
        upper = box.upper.copy()
        for peak in self.stated.ceilings:
            upper[peak.variable] = min(upper[peak.variable], peak.height(upper))
        if not np.isfinite(upper).all():
            i = int(np.argmax(~np.isfinite(upper)))
            raise ModelError(
                f"column {i} has no upper bound, nor do its rows give it one; conditions that "
                "branch are proved over boxes; add a limit or the budget row"
            )
        return replace(box, upper=upper)

    def _root_conflict(self, box: Box) -> dict[str, float]:
        """Rows that conflict before any branch, as ``solve`` proves them; none where boxes do."""
        if not np.isfinite(box.upper).all() or any(c.size == 0 for c in box.candidates):
            return {}
        return dict(solve(relax(self.layout, box).program).conflict)

    def _next(self) -> None:
        bound, _, node = heapq.heappop(self.queue)
        if bound >= self.cutoff():
            self.closed = min(self.closed, bound)
            return
        box = propagate(self.stated, self.sums, node.opened(self.stated))
        seen = None if box is None else self._settled(box, bound, _ROUNDS)
        if seen is None:
            return
        if self.best is None or self.nodes % _LOOK_EVERY == 0:
            self._look_near(seen)
        self._cut(seen)

    def _cut(self, seen: Seen) -> None:
        """Put the branches of a box into the queue."""
        children = branches(self.layout, seen)
        if not children:
            if seen.bound < self.cutoff():
                self.unresolved.append(seen.bound)
            else:
                self.closed = min(self.closed, seen.bound)
        for node in children:
            if node.bound < self.cutoff():
                heapq.heappush(self.queue, (node.bound, next(self.ids), node))
            else:
                self.closed = min(self.closed, node.bound)

    def _settled(self, box: Box, bound: float, rounds: int) -> Seen | None:
        """Relax a box, narrow it by what that proves, and again; None where nothing is left."""
        seen: Seen | None = None
        for r in range(rounds):
            found, feasible = self._relaxed(box)
            if found is None:
                if feasible:
                    self.unresolved.append(bound)
                return None
            gained, bound = found.bound - bound, max(bound, found.bound)
            if self._met(found.x):
                self._keep(found.x)
            if bound >= self.cutoff():
                self.closed = min(self.closed, bound)
                return None
            seen = replace(found, bound=bound)
            last = r == rounds - 1 or (r > 0 and gained < _WORTH_ANOTHER * (self.cutoff() - bound))
            if last or self.best is None:
                break
            smaller = self._narrowed(seen)
            if smaller is None:
                return None
            if not self._shrank(seen.box, smaller):
                break
            box = smaller
        return seen

    def _narrowed(self, seen: Seen) -> Box | None:
        """Cut off what the multipliers prove to be no better than the cutoff."""
        self.closed = min(self.closed, self.cutoff())
        room = self.cutoff() - seen.proved.bound
        return propagate(self.stated, self.sums, narrowed(self.layout, seen.box, seen.proved, room))

    def _shrank(self, box: Box, other: Box) -> bool:
        """Whether a relaxation over the other can be better: where something is open, it shrank."""
        at = self.layout.at
        inside = (at > box.lower[:, None]) & (at < box.upper[:, None])
        bends = inside & (self.layout.bends | (self.stated.least[:, None] > 0))
        is_open = np.asarray(bends.any(axis=1))
        for peak, positions in zip(self.stated.reached, box.candidates, strict=True):
            is_open[peak.columns[positions]] = True
            if peak.variable != CONSTANT:
                is_open[peak.variable] = True
        for peak in self.stated.ceilings:
            is_open[peak.columns[np.isfinite(peak.at)]] = True
        before, after = box.upper - box.lower, other.upper - other.lower
        return bool((is_open & (after < _SHRUNK * before)).any())

    # --- one relaxation --------------------------------------------------------------------------

    def _relaxed(self, box: Box, *, patient: bool = True) -> tuple[Seen | None, bool]:
        """Solve a relaxation, with the ceilings that it turns out to need.

        Parameters
        ----------
        box : Box
        patient : bool
            Whether to ask other solvers where ours ends without a proof; for a guess it is not
            worth their time.

        Returns
        -------
        seen : Seen or None
            None where it is infeasible, or where nothing was proved.
        feasible : bool
            False where it was proved infeasible.
        """
        seen: Seen | None = None
        for _ in range(_ADDING):
            self.nodes += 1
            relaxed = relax(self.layout, box)
            d, y = self._solved(relaxed.program, patient)
            if d is None or y is None:
                return None, y is None
            whole = np.bincount(relaxed.source, weights=d, minlength=box.lower.size)
            x = np.clip(np.asarray(whole, dtype=np.float64), box.lower, box.upper)
            proved = prove(self.layout, box, relaxed, self.stated.program.factors @ x, y)
            seen = Seen(box, proved.bound, x, proved, relaxed, box.pool)
            if proved.bound >= self.cutoff() or time.perf_counter() > self.until:
                break
            new = self._passed(box, x)
            if not new or len(box.pool) + len(new) > _POOL:
                break
            box = replace(box, pool=(*box.pool, *new))
        if seen is None or not seen.pool:
            return seen, True
        # Branches begin with the ceilings that have a price here; the rest come back when passed.
        prices = seen.proved.y[-len(seen.pool) :]
        kept = tuple(row for row, price in zip(seen.pool, prices, strict=True) if price > 0)
        return replace(seen, box=replace(seen.box, pool=kept)), True

    def _solved(self, program: CreditProgram, patient: bool) -> tuple[Vector | None, Vector | None]:
        """Shares and multipliers; (None, multipliers) proved infeasible, (None, None) failed."""
        columns = Columns(program)
        y = bounds_conflict(program, columns)
        if infeasibility_margin(program, y) > MET:
            return None, y
        w, y, said, _ = interior_point(program, columns, _RELAXED)
        if said == "converged":
            return w, y
        if infeasibility_margin(program, y) > MET:
            return None, y
        if program.n_rows <= _POLISHED:
            w, seen = polish(program, w, y, MET, columns)
        else:
            seen = examine(program, w, y, MET, columns)
        if seen.certificate.worst <= _NEARLY:
            return w, seen.y
        if not patient:
            return None, None
        if program.n_customers <= _LINEAR_PROGRAM:
            found = rows_conflict(program)
            if found is not None and infeasibility_margin(program, found) > MET:
                return None, found
        second = solve(program)
        if second.status == "optimal":
            return second.x, second.duals.rows
        return None, second.duals.rows if second.status == "infeasible" else None

    def _passed(self, box: Box, x: Vector) -> list[tuple[int, int]]:
        """Find the ceilings that x passes by most, among those that the relaxation lacks."""
        known = set(box.pool)
        found: list[tuple[float, tuple[int, int]]] = []
        for which, peak in enumerate(self.stated.ceilings):
            level = float(x[peak.variable])
            low, high, at = box.lower[peak.columns], box.upper[peak.columns], peak.at
            # Only what the row of the relaxation would cut off: its chord, not the kink itself.
            width = np.where(high > low, high - low, 1.0)
            rise = np.minimum(high, at) - np.minimum(low, at)
            chord = np.minimum(low, at) + rise * (x[peak.columns] - low) / width
            over = peak.weights * chord - level
            passed = np.flatnonzero(over > 0.1 * MET * max(level, float(np.abs(x).max())))
            passed = passed[np.argsort(-over[passed], kind="stable")[:_ADDED]]
            found += [(float(over[m]), (which, int(m))) for m in passed]
        return [row for _, row in sorted(found, reverse=True) if row not in known]

    # --- points ----------------------------------------------------------------------------------

    def _met(self, x: Vector) -> bool:
        return violation(self.stated, completed(self.stated, x[: self.stated.n_shares])) <= MET

    def _keep(self, x: Vector) -> bool:
        """Take a point that meets everything where it is better than the best."""
        full = completed(self.stated, x[: self.stated.n_shares])
        objective = self.stated.program.objective(full)
        if not objective < self.objective:
            return False
        self.best, self.objective, self.scale = full, objective, self.size(full)
        return True

    def _look_near(self, seen: Seen, given: Vector | None = None) -> None:
        """Look for an allowed point near a relaxation, near given shares, or further down."""
        found = self._improve(seen.box, seen.x)
        if not found and given is not None:
            found = self._improve(seen.box, np.clip(given, seen.box.lower, seen.box.upper))
        if not found or self.nodes > self.next_dive:
            self._dive(seen)
            self.next_dive = _DIVE_AGAIN * self.nodes + _DIVE_AFTER

    def _improve(self, box: Box, x: Vector) -> bool:
        """Solve the convex piece around x, then the one across the kinks where it ends."""
        for flip in range(_FLIPS):
            near = self._guessed(piece_around(self.layout, box, x))
            if near is None or not self._met(near.x):
                return flip > 0
            if not self._keep(near.x):
                return True
            little = _AT_THE_END * (box.upper - box.lower)
            at_end = (near.box.upper - near.x < little) & (near.box.upper < box.upper)
            at_start = (near.x - near.box.lower < little) & (near.box.lower > box.lower)
            if not (at_end | at_start).any():
                return True
            x = near.x + np.where(at_end, little, np.where(at_start, -little, 0.0))
        return True

    def _dive(self, seen: Seen) -> None:
        """Decide what is open, the cheaper side of each, until something is allowed."""
        for _ in range(_DIVES):
            if time.perf_counter() > self.until or self.nodes >= self.max_nodes:
                return
            following = self._one_further(seen)
            if following is None or following.bound >= self.cutoff():
                return
            if self._met(following.x):
                self._keep(following.x)
                self._improve(seen.box, following.x)
                return
            seen = following

    def _one_further(self, seen: Seen) -> Seen | None:
        """Relax the first of some guesses that leaves anything: many decisions, few, or one."""
        children = branches(self.layout, seen)
        if children and children[0].peak < 0:
            for part, as_it_lies in _PARTS:
                guess = decided(self.layout, seen, part, as_it_lies=as_it_lies)
                found = None if guess is None else self._guessed(guess)
                if found is not None:
                    return found
        for node in sorted(children, key=lambda node: node.bound)[:_TRIED]:
            found = self._guessed(node.opened(self.stated))
            if found is not None:
                return found
        return None

    def _guessed(self, guess: Box) -> Seen | None:
        box = propagate(self.stated, self.sums, guess)
        return None if box is None else self._relaxed(box, patient=False)[0]
