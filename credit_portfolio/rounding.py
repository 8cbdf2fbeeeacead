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

    The total is the sum of ``amounts``. Each goes to the multiple below, then units are handed to
    the amounts that were rounded away from most, as far as their bounds allow; where many stand at
    limits that are no multiples, somebody with room may take more than one. What is left, less
    than a unit, goes to one amount, which is then no multiple. Only where the bounds leave no room
    (limits that are needed in full) are more amounts unrounded: the total and the limits win.

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
    units = np.clip(np.floor(exact + _ULPS), least, most)
    fixed = float(amounts[tight].sum())
    missing = (total - fixed) / unit - float(units[~tight].sum())
    units = _hand_out(
        units,
        np.where(tight, units, least),
        np.where(tight, units, most),
        exact,
        int(np.floor(missing + _ULPS)),
        (lower, -upper, -amounts),
    )
    rounded = np.where(tight, amounts, np.clip(units * unit, lower, upper))
    # Adding zero turns the -0.0 that ceil leaves of a lower bound of 0 into 0.0.
    return _absorb(rounded, amounts, lower, upper, unit, total) + 0.0


def _hand_out(
    units: Vector,
    least: Vector,
    most: Vector,
    exact: Vector,
    steps: int,
    keys: tuple[Vector, Vector, Vector],
) -> Vector:
    """Move whole units, one for each amount and round, the farthest from its exact value first."""
    units = units.copy()
    sign = 1 if steps > 0 else -1
    while steps:
        able = units < most if sign > 0 else units > least
        # Rounded, since 33.3 - 33 and 3.3 - 3 are equal remainders to a reader, not to floats. All
        # that tells customers apart is a key, so that their order decides nothing.
        away = np.round(sign * (units - exact), 9)
        order = np.lexsort((*keys, away))
        chosen = order[able[order]][: abs(steps)]
        if chosen.size == 0:
            break
        units[chosen] += sign
        steps -= sign * chosen.size
    return units


def _absorb(
    rounded: Vector, exact: Vector, lower: Vector, upper: Vector, unit: float, total: float
) -> Vector:
    """Hand what is still missing of the total to one amount with room for it, or to few."""
    rest = total - float(rounded.sum())
    # The sum of n floats is only known to n ulps of the total.
    if abs(rest) <= rounded.size * np.spacing(abs(total)):
        return rounded
    sign = 1.0 if rest > 0 else -1.0
    room = upper - rounded if rest > 0 else rounded - lower
    left = abs(rest)
    enough = np.round(np.minimum(room, left) / unit, 9)
    away = np.round(sign * (rounded - exact) / unit, 9)
    for i in np.lexsort((lower, -upper, -exact, away, -enough)):
        part = min(left, float(room[i]))
        if part > 0:
            rounded[i] += sign * part
            left -= part
        if left <= 0:
            break
    return rounded
