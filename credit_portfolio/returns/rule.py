"""The convention by which an invoice becomes a return."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

import numpy as np

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True, slots=True)
class ProvisionMatrix:
    """Expected loss of an open item by its age.

    Parameters
    ----------
    days : sequence of int
        Increasing ages; bucket 0 is up to ``days[0]``, bucket b is above ``days[b − 1]`` and up to
        ``days[b]``, the last is above the last. ``(0, 30, 60, 90)`` is: not yet due, 1 to 30 days
        past due, …, more than 90.
    rates : sequence of float
        One per bucket, ``len(days) + 1``, each the part that is not expected to be collected.
    basis : {"due", "invoice"}
        Age counts from the due date (IFRS 9) or from the invoice date (Chinese practice).

    Examples
    --------
    The example of IFRS 9 (Illustrative Example 12):

    >>> matrix = ProvisionMatrix((0, 30, 60, 90), (0.003, 0.016, 0.036, 0.066, 0.106))
    >>> round(matrix.allowance([15.0e6, 7.5e6, 4.0e6, 2.5e6, 1.0e6]))
    580000
    >>> matrix.rate([-5, 30, 31])
    array([0.003, 0.016, 0.036])
    """

    days: tuple[int, ...]
    rates: tuple[float, ...]
    basis: Literal["due", "invoice"] = "due"

    def __post_init__(self) -> None:
        if not all(np.isfinite(day) and day == int(day) for day in self.days):
            raise ModelError(f"provision ages {self.days} must be whole days")
        object.__setattr__(self, "days", tuple(int(day) for day in self.days))
        object.__setattr__(self, "rates", tuple(float(rate) for rate in self.rates))
        if any(a >= b for a, b in pairwise(self.days)):
            raise ModelError(f"provision ages {self.days} must increase")
        if len(self.rates) != len(self.days) + 1:
            raise ModelError(
                f"{len(self.days)} ages make {len(self.days) + 1} buckets; found "
                f"{len(self.rates)} rates"
            )
        if not all(0 <= rate <= 1 for rate in self.rates):
            raise ModelError(f"provision rates {self.rates} must lie between 0 and 1")
        if self.basis not in ("due", "invoice"):
            raise ModelError(f"basis is {self.basis!r}; expected 'due' or 'invoice'")

    @classmethod
    def from_flow(
        cls, days: Sequence[int], sales: float, unpaid: Sequence[float]
    ) -> ProvisionMatrix:
        """Derive rates from one year's flow: what is never paid over what reached each age.

        Parameters
        ----------
        days : sequence of int
            Ages as above.
        sales : float
            Credit sales of the year.
        unpaid : sequence of float
            What of them was still unpaid after each of ``days``; the last is the loss.

        Examples
        --------
        >>> unpaid = (50_000, 23_000, 8_000, 2_000)
        >>> flow = ProvisionMatrix.from_flow((0, 30, 60, 90), 100_000, unpaid)
        >>> [round(rate, 3) for rate in flow.rates]
        [0.02, 0.04, 0.087, 0.25, 1.0]
        """
        reached = [float(sales), *map(float, unpaid)]
        falling = reached[0] < np.inf and all(a >= b for a, b in pairwise(reached))
        if len(unpaid) != len(days) or not falling or reached[-1] <= 0:
            raise ModelError(
                f"unpaid amounts {list(unpaid)} must be one per age, fall from the sales of "
                f"{sales} and end above 0"
            )
        return cls(tuple(days), tuple(reached[-1] / amount for amount in reached))

    def rate(self, age_days: ArrayLike) -> NDArray[np.float64]:
        """Provision rate at each age in days."""
        bucket = np.searchsorted(np.asarray(self.days), np.asarray(age_days), side="left")
        rates: NDArray[np.float64] = np.asarray(self.rates)[bucket]
        return rates

    def allowance(self, balances: ArrayLike) -> float:
        """Provision in money for open balances per bucket, shape (len(days) + 1,)."""
        amounts = np.asarray(balances, dtype=np.float64)
        if amounts.shape != (len(self.rates),):
            raise ModelError(f"expected {len(self.rates)} balances, found shape {amounts.shape}")
        if not np.isfinite(amounts).all():
            raise ModelError(f"balances {amounts.tolist()} must all be finite amounts of money")
        return float(amounts @ np.asarray(self.rates))


@dataclass(frozen=True, slots=True)
class ReturnRule:
    """What a credit sale earns, as a part of its cost.

    An invoice a with markup R cost c = a/(1 + R). With collected amount k, open amount o,
    provision rate p at its age, and days outstanding d::

        r = (k + o (1 − p) − c)/c − f d/365

    On time and in full with f = 0 gives R, a total loss −1. Days outstanding run from the invoice
    date: to the settlement for what was settled or written off, to ``as_of`` for what is open,
    weighted by amount.

    Parameters
    ----------
    markup : float or str
        R > 0 on cost, or the name of a ledger column that holds it per invoice.
    funding_rate : float, default 0
        f ≥ 0: cost of funds per year, charged on the cost of the goods.
    provisions : ProvisionMatrix, optional
        Without one, open items count in full, and the panel says how much that is.
    late_settlement : {"paid", "provisioned"}, default "paid"
        "provisioned" charges what was collected after the due date the provision of the age at
        which it came (the reading of the source paper); what came in time is charged nothing.

    Examples
    --------
    >>> ReturnRule(markup=0.25, funding_rate=0.08)
    ReturnRule(markup=0.25, funding_rate=0.08, provisions=None, late_settlement='paid')
    """

    markup: float | str
    funding_rate: float = 0.0
    provisions: ProvisionMatrix | None = None
    late_settlement: Literal["paid", "provisioned"] = "paid"

    def __post_init__(self) -> None:
        if not isinstance(self.markup, str) and not (0 < self.markup < np.inf):
            raise ModelError(f"markup is {self.markup}; expected a part of cost above 0, as 0.25")
        if not 0 <= self.funding_rate < np.inf:
            raise ModelError(f"funding_rate is {self.funding_rate}; expected 0 or more per year")
        if self.late_settlement not in ("paid", "provisioned"):
            raise ModelError(
                f"late_settlement is {self.late_settlement!r}; expected 'paid' or 'provisioned'"
            )
        if self.late_settlement == "provisioned" and self.provisions is None:
            raise ModelError("late_settlement='provisioned' needs a ProvisionMatrix as provisions")

    def describe(self) -> str:
        """Return the convention in a sentence, as every result states it."""
        markup = (
            f"markup per invoice from column {self.markup!r}"
            if isinstance(self.markup, str)
            else f"markup {self.markup:.6g} on cost"
        )
        valued = (
            "open items valued in full"
            if self.provisions is None
            else f"open items provisioned by age from the {self.provisions.basis} date"
        )
        late = (
            "late settlements charged the provision of their age"
            if self.late_settlement == "provisioned"
            else "late settlements counted as paid"
        )
        return f"{markup}; funds at {self.funding_rate:.6g} per year on cost; {valued}; {late}"
