"""Round money so that the total is kept and no bound is crossed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from credit_portfolio.errors import ModelError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Vector = NDArray[np.float64]

# amount/unit is a quotient of floats; a multiple of the unit may come out a few ulps below itself.
_ULPS = 1e-9


def round_to_unit(amounts: Vector, lower: Vector, upper: Vector, unit: float) -> Vector:
    """Round to multiples of a unit by largest remainder, keeping the total.

    The total is the sum of ``amounts``. Each amount moves to the multiple below or above it, as
    far as its bounds allow; those with the largest remainders move up, at equal remainders the
    larger amounts first. Where the bounds leave no such multiples (a limit of 100.50 that is
    needed in full), the amounts with room inside their bounds take up the rest unrounded: the
    total and the limits win over the unit.

    Parameters
    ----------
    amounts : ndarray, shape (n,)
        Within the bounds.
    lower, upper : ndarray, shape (n,)
    unit : float
        As 1 for whole currency units, 0.01 for cents, 1000 for thousands.

    Returns
    -------
    ndarray, shape (n,)

    Examples
    --------
    >>> free = np.zeros(3), np.full(3, 100.0)
    >>> round_to_unit(np.array([33.4, 33.3, 33.3]), *free, unit=1)
    array([34., 33., 33.])
    """
    if not 0 < unit < np.inf:
        raise ModelError(f"the rounding unit is {unit}; expected an amount of money above 0")
    total = float(amounts.sum())
    least = np.ceil(lower / unit - _ULPS)
    most = np.where(np.isfinite(upper), np.floor(upper / unit + _ULPS), np.inf)
    tight = least > most
    exact = amounts / unit
    down = np.clip(np.floor(exact + _ULPS), least, most)
    down[tight] = 0.0
    rounded = np.where(tight, amounts, np.minimum(down * unit, upper))
    steps = round((total - float(rounded.sum())) / unit + _ULPS)
    order = np.lexsort((-amounts, -(exact - down)))
    if steps > 0:
        movable = order[(~tight & (down < most))[order]][:steps]
        rounded[movable] = (down[movable] + 1) * unit
    elif steps < 0:
        movable = order[::-1][(~tight & (down > least))[order[::-1]]][:-steps]
        rounded[movable] = (down[movable] - 1) * unit
    return _absorb(rounded, lower, upper, total)


def _absorb(rounded: Vector, lower: Vector, upper: Vector, total: float) -> Vector:
    """Hand what is still missing of the total to the amounts that have room for it."""
    rest = total - float(rounded.sum())
    # The sum of n floats is only known to n ulps of the total.
    if abs(rest) <= rounded.size * np.spacing(abs(total)):
        return rounded
    room = upper - rounded if rest > 0 else rounded - lower
    for i in np.argsort(-room, kind="stable"):
        part = min(abs(rest), float(room[i]))
        if part <= 0:
            break
        rounded[i] += part if rest > 0 else -part
        rest -= part if rest > 0 else -part
    return rounded
