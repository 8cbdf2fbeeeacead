"""All controls of a program together: what may be asked for besides targets and limits.

===================  ============================================================  =============
control              what it asks                                                  file
===================  ============================================================  =============
groups               floor ≤ Σ of a group's shares ≤ cap                           groups
expected return      mean·w ≥ r                                                    expected_return
tail                 the mean of the worst periods as the objective                cvar
turnover             ½ Σ|w − w⁰| ≤ τ, and costs Σ κ|w − w⁰|                        turnover
robust               w·p ± z‖s∘w‖ within a bound                                   robust
===================  ============================================================  =============

The first three are translated once, by ``prepared``. Turnover cuts shares in two, which only the
solver sees; robust rows are replaced by tangents, which move (``solvers/tangents.py``).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from credit_portfolio.errors import ModelError
from credit_portfolio.program.cvar import Tail, with_tail
from credit_portfolio.program.expected_return import with_expected_return
from credit_portfolio.program.groups import with_groups
from credit_portfolio.program.robust import RobustRow
from credit_portfolio.program.turnover import Turnover

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    import numpy as np
    import pandas as pd
    from numpy.typing import ArrayLike, NDArray

    from credit_portfolio.program.groups import Bounds
    from credit_portfolio.program.program import CreditProgram

    Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False, slots=True)
class Controls:
    """What is asked of a program besides its own rows and bounds; each part may be left out.

    Parameters
    ----------
    labels : DataFrame or mapping, optional
        Of the customers, for ``groups``: see ``with_groups``.
    groups : mapping, optional
        Column -> label -> cap, or (floor, cap).
    names : sequence, optional
        Ids of the customers in the program's order.
    mean : array_like, shape (n,), optional
        Expected return of each customer.
    least_return : float, optional
        Given together with ``mean``.
    turnover : Turnover, optional
    tail : Tail, optional
        The objective, in the place of the variance.
    robust : sequence of RobustRow
    customers : int, optional
        How many of the program's columns are customers, where some are auxiliary.
    """

    labels: pd.DataFrame | dict[str, Sequence[Any]] | None = None
    groups: Bounds | None = None
    names: Sequence[Any] | None = None
    mean: ArrayLike | None = None
    least_return: float | None = None
    turnover: Turnover | None = None
    tail: Tail | None = None
    robust: Sequence[RobustRow] = ()
    customers: int | None = None

    def __post_init__(self) -> None:
        if (self.labels is None) != (self.groups is None):
            raise ModelError("labels and groups belong together; give both or neither")
        if (self.mean is None) != (self.least_return is None):
            raise ModelError("mean and least_return belong together; give both or neither")

    def with_plain_rows(self, program: CreditProgram) -> CreditProgram:
        """Return the program with rows for groups and the expected return."""
        if self.labels is not None and self.groups is not None:
            program = with_groups(program, self.labels, self.groups, self.names, self.customers)
        if self.mean is not None and self.least_return is not None:
            program = with_expected_return(program, self.mean, self.least_return, self.customers)
        return program

    def prepared(self, program: CreditProgram) -> CreditProgram:
        """Return a program with its plain rows in the form that is solved: with the tail's."""
        return program if self.tail is None else with_tail(program, self.tail, self.customers)
