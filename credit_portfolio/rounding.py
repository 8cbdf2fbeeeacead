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

    The total is the sum of ``amounts``, and no amount moves by more than one unit. Each goes to the
    multiple below or above it, as far as its bounds allow; those with the largest remainders move
    up, at equal remainders the larger amounts first. Where the bounds leave no such multiples (a
    limit of 100.50 that is needed in full, a total that is no multiple), as few amounts as can be
    take up the rest unrounded: the total and the limits win over the unit.

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
    amounts = np.clip(amounts, lower, upper)
    least = np.ceil(lower / unit - _ULPS)
    most = np.where(np.isfinite(upper), np.floor(upper / unit + _ULPS), np.inf)
    tight = least > most
    exact = amounts / unit
    down = np.clip(np.floor(exact + _ULPS), least, most)
    down[tight] = 0.0
    rounded = np.where(tight, amounts, np.clip(down * unit, lower, upper))
    steps = round((total - float(rounded.sum())) / unit + _ULPS)
    if steps > 0:
        # Rounded, since 33.3 - 33 and 3.3 - 3 are equal remainders to a reader, not to floats. All
        # that tells customers apart is a key, so that their order decides nothing.
        remainder = np.round(exact - down, 9)
        order = np.lexsort((lower, -upper, -amounts, -remainder))
        rising = order[(~tight & (down < most) & (remainder > 0))[order]][:steps]
        rounded[rising] = np.minimum((down[rising] + 1) * unit, upper[rising])
    # Adding zero turns the -0.0 that ceil leaves of a lower bound of 0 into 0.0.
    return _absorb(rounded, amounts, lower, upper, unit, total) + 0.0


def _absorb(
    rounded: Vector, exact: Vector, lower: Vector, upper: Vector, unit: float, total: float
) -> Vector:
    """Hand what is still missing of the total to the amounts that were rounded away from it most.

    Together they were rounded by at least what is missing, so none has to go a unit beyond.
    """
    rest = total - float(rounded.sum())
    # The sum of n floats is only known to n ulps of the total.
    if abs(rest) <= rounded.size * np.spacing(abs(total)):
        return rounded
    sign = 1.0 if rest > 0 else -1.0
    room = upper - rounded if rest > 0 else rounded - lower
    room = np.minimum(room, unit + sign * (exact - rounded))
    left = abs(rest)
    away = np.round(sign * (rounded - exact) / unit, 9)
    for i in np.lexsort((lower, -upper, -exact, away)):
        part = min(left, float(room[i]))
        if part > 0:
            rounded[i] += sign * part
            left -= part
        if left <= 0:
            break
    return rounded
