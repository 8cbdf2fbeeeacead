"""Conditions of a program as an analyst says them: data, and the sentences about them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

LIMITS, LARGEST_SHARE, FLOORS = "limits", "largest share", "floors"
# Bounds are known to some 1e-10 of the budget; rounding outwards must not turn 1.37 into 1.38.
_KNOWN = 1e-10
_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition of a conflict. Bounds are parts of the budget (a return: of cost).

    Attributes
    ----------
    name : str
        The row's name; "limits", "largest share" or "floors" for the customers' bounds together.
    kind : str
        "budget", "target", "group", "return", "row", "limits", "largest share", "floors".
    side : str
        "at most" or "at least".
    bound : float
        As it stands. Of limits and floors: the sum of those that the proof uses.
    customers : int
        Whose limits, shares or floors the proof uses; 0 for rows.
    within : float
        The nearest bound that the other conditions of the set allow; NaN for the budget.
    needed : float
        The bound nearest to the present one that alone makes the whole program feasible; NaN where
        no move of it alone suffices. Of limits and floors: the sum after the least total change.
    moved_customers : int
        How many limits or floors that least total change moves; 0 for rows.
    in_money : bool
        Whether the analyst thinks of it in money: the budget, limits, floors, rows in money.
    """

    name: str
    kind: str
    side: str
    bound: float
    customers: int = 0
    within: float = math.nan
    needed: float = math.nan
    moved_customers: int = 0
    in_money: bool = False

    @property
    def move(self) -> float:
        """By how much the bound alone would have to move; NaN where no move suffices."""
        return self.needed - self.bound


@dataclass(frozen=True, slots=True)
class Relaxation:
    """One side of a row at the least total relaxation.

    Attributes
    ----------
    name, kind, side : str
    bound, relaxed : float
        The bound as it stands, and the nearest that can be met with all others relaxed as told.
    reached : float
        What the shares of that answer reach.
    weight : float
        Cost per unit of relaxation.
    in_money : bool
    """

    name: str
    kind: str
    side: str
    bound: float
    relaxed: float
    reached: float
    weight: float
    in_money: bool = False


@dataclass(frozen=True, slots=True)
class Words:
    """How bounds look: money in the budget's currency, targets in percentage points."""

    money: float | None
    currency: str

    def amount(self, part: float, digits: int = 0, *, down: bool | None = None) -> str:
        """Write a part of the budget as money, rounded to the side that ``down`` says."""
        if self.money is None:
            digits = max(digits, _DIGITS)
            return f"{_rounded(100 * part, digits, down):,.{digits}f} % of the budget"
        return f"{_rounded(part * self.money, digits, down):,.{digits}f} {self.currency}".rstrip()

    def digits(self, move: float, *, in_money: bool) -> int:
        """Find the decimals that show a move with two figures at least."""
        if in_money and self.money is not None:
            size, least = abs(move) * self.money, 0
        else:
            size, least = abs(move) * 100, _DIGITS
        if not 0 < size < math.inf:
            return least
        return min(max(least, 1 - math.floor(math.log10(size))), 12)

    def missing(self, part: float) -> str:
        """Write what is missing as money, rounded up."""
        return self.amount(part, self.digits(part, in_money=True), down=False)

    def value(self, c: Condition | Relaxation, value: float, *, down: bool | None = None) -> str:
        """Write a value of the condition's row with the decimals of its distance to the bound."""
        digits = self.digits(value - c.bound, in_money=c.in_money)
        if c.in_money:
            return self.amount(value, digits, down=down)
        return f"{_rounded(100 * value, digits, down):,.{digits}f} %"

    def plain(self, c: Condition) -> str:
        """Write the bound as it stands, with the decimals of its move."""
        move = c.move if math.isfinite(c.move) else c.within - c.bound
        digits = self.digits(move, in_money=c.in_money) if math.isfinite(move) else None
        if c.in_money:
            return self.amount(c.bound, digits or 0)
        return f"{100 * c.bound:,.{_DIGITS if digits is None else digits}f} %"

    def subject(self, c: Condition) -> str:
        """Name the condition with its bound, as a noun."""
        name = _own_name(c)
        if c.kind == "budget":
            return f"the budget of {self.plain(c)}"
        if c.kind == LIMITS:
            return f"{_count('limit', c.customers)}, {_sum(c)}{self.plain(c)}"
        if c.kind == FLOORS:
            return f"{_count('floor', c.customers)}, {_sum(c)}{self.plain(c)}"
        if c.kind == LARGEST_SHARE:
            return f"the largest share of {self.plain(c)} for one customer ({c.customers:,} held)"
        if c.kind == "target":
            return f"the target of {c.side} {self.plain(c)} in {name}"
        if c.kind == "group":
            what = "cap" if c.side == "at most" else "floor"
            return f"the {what} of {self.plain(c)} on group {name}"
        if c.kind == "return":
            return f"the expected return of {c.side} {self.plain(c)}"
        return f"{name} of {c.side} {self.plain(c)}"

    def reach(self, c: Condition) -> str:
        """Name what the others allow at best, as a noun."""
        best, name = ("least" if c.side == "at most" else "largest"), _own_name(c)
        what = {
            "target": f"share of credit in {name}",
            "group": f"credit of group {name}",
            "return": "expected return",
        }.get(c.kind, f"value of {name}")
        return f"the {best} {what} that the others of these allow"

    def way_out(self, c: Condition) -> str:
        """Say how far the condition alone must move, and where to."""
        up = c.needed > c.bound
        digits = self.digits(c.move, in_money=c.in_money)
        direction = "up" if up else "down"
        if c.kind in (LIMITS, FLOORS):
            total = self.amount(abs(c.move), digits, down=False)
            who = f"{c.moved_customers:,} customer{'s' if c.moved_customers != 1 else ''}"
            return f"the {c.kind} {direction} by {total} in all ({who})"
        # A budget goes to the far side of what works: down where it falls, up where it rises.
        target = self.value(c, c.needed, down=not up)
        if c.in_money:
            scale = 100.0 if self.money is None else self.money
            here, there = c.bound * scale, _rounded(c.needed * scale, digits, not up)
            step = self.amount(abs(there - here) / scale, digits)
        else:
            there = _rounded(100 * c.needed, digits, not up)
            step = f"{abs(there - 100 * c.bound):,.{digits}f} points"
        return f"{_short(c)} {direction} by {step}, to {target}"


def together(conflict: tuple[Condition, ...], words: Words) -> list[str]:
    """Say which conditions cannot hold together, and what the others of them allow each row."""
    reached = [
        f"{_capital(words.reach(c))} is {words.value(c, c.within, down=c.side == 'at least')}."
        for c in conflict
        if math.isfinite(c.within) and c.kind in ("target", "group", "return", "row")
    ]
    return [_conflicting(conflict, words), *reached]


def _conflicting(conflict: tuple[Condition, ...], words: Words) -> str:
    kinds = {c.kind for c in conflict}
    sides = {c.side for c in conflict if c.kind == "budget"}
    limits = [c for c in conflict if c.kind == LIMITS]
    floors = [c for c in conflict if c.kind == FLOORS]
    budget = [c for c in conflict if c.kind == "budget"]
    if kinds == {"budget", LIMITS} and sides == {"at least"}:
        short = limits[0].within - limits[0].bound
        return (
            f"The {words.subject(budget[0])[4:]} is above what {words.subject(limits[0])}, allow: "
            f"{_sum(limits[0])}{words.missing(short)} short."
        )
    if kinds == {"budget", FLOORS} and sides == {"at most"}:
        over = floors[0].bound - floors[0].within
        return (
            f"{_capital(words.subject(floors[0]))}, ask for more than {words.subject(budget[0])}: "
            f"{words.missing(over)} too much."
        )
    order = ["target", "return", "group", "row", "budget", LARGEST_SHARE, LIMITS, FLOORS]
    told = sorted(conflict, key=lambda c: order.index(c.kind) if c.kind in order else 3)
    if len(told) == 1:
        return f"This cannot hold by itself: {words.subject(told[0])}."
    return f"These cannot hold together: {'; '.join(words.subject(c) for c in told)}."


def ways_out(conflict: tuple[Condition, ...], extra: Condition | None, words: Words) -> list[str]:
    """Tell the moves of single conditions that suffice, and those of which none does."""
    every = list(conflict)
    if extra is not None and all(c.kind != "budget" for c in every) and math.isfinite(extra.needed):
        every.append(extra)
    able = [c for c in every if math.isfinite(c.needed)]
    unable = [c for c in every if not math.isfinite(c.needed)]
    lines = []
    if able:
        lines.append(f"One move alone would do: {'; or '.join(words.way_out(c) for c in able)}.")
    if unable and able:
        lines.append(f"No move alone of {_listed([_short(c) for c in unable])} would do.")
    if not able:
        lines.append("No move of one of them alone would do: other conditions conflict too.")
    return lines


def nearest_told(
    nearest: tuple[Relaxation, ...], without: tuple[Condition, ...], words: Words
) -> list[str]:
    """Tell the nearest bounds that can be met, or what conflicts without those weighed."""
    if without:
        return [
            "Relaxing the targets is not enough. Without them still: "
            + "; ".join(words.subject(c) for c in without)
            + "."
        ]
    moved = [r for r in nearest if r.relaxed != r.bound]
    if not moved:
        return []
    parts = []
    for r in moved:
        up = r.relaxed > r.bound
        digits = words.digits(r.relaxed - r.bound, in_money=r.in_money)
        value = words.value(r, r.relaxed, down=not up)
        if r.in_money:
            step = words.amount(abs(r.relaxed - r.bound), digits, down=False)
        else:
            there = _rounded(100 * r.relaxed, digits, not up)
            step = f"{abs(there - 100 * r.bound):,.{digits}f} points"
        parts.append(f"{_place(r)} {r.side} {value} ({step} {'more' if up else 'less'})")
    return [f"Nearest that can be met with the least relaxation: {'; '.join(parts)}."]


def _rounded(value: float, digits: int, down: bool | None) -> float:
    """Round to some decimals: to the nearest, or to one side but for the noise of the last bits."""
    if down is None or not math.isfinite(value):
        return value
    scale = 10.0**digits
    noise = _KNOWN * max(abs(value), 1.0) * scale
    scaled = value * scale
    return (math.floor(scaled + noise) if down else math.ceil(scaled - noise)) / scale


def _own_name(c: Condition | Relaxation) -> str:
    """Return the name without the word for its kind, in quotes."""
    return repr(c.name.removeprefix(f"{c.kind} "))


def _short(c: Condition) -> str:
    name = _own_name(c)
    return {
        "target": f"the target in {name}",
        "group": f"group {name}",
        "return": "the expected return",
        "budget": "the budget",
        LIMITS: "the limits",
        FLOORS: "the floors",
        LARGEST_SHARE: "the largest share",
    }.get(c.kind, name)


def _place(r: Relaxation) -> str:
    name = _own_name(r)
    places = {"target": f"in {name}", "group": f"group {name}", "return": "the expected return"}
    return places.get(r.kind, name)


def _count(what: str, customers: int) -> str:
    if customers == 1:
        return f"the {what} of 1 customer"
    return f"the {what}s of {customers:,} customers"


def _sum(c: Condition) -> str:
    return "" if c.customers == 1 else "together "


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} or {names[-1]}"


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
