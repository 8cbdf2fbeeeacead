"""The portfolio's own return distribution, beside the mixture B.

B_j = Σ_i w_i p_ij is the chance that a unit of credit, picked at random, lands in interval j. What
the book as a whole earns is another thing: the mean over its customers, whose good and bad outcomes
partly cancel. Two ways to see it::

    from the panel      r_t = Σ_i w_i r_ti / Σ_i w_i   over those who bought in period t
    by simulation       r   = Σ_i w_i r̄_i + √k (F w)_s + √(wᵀDw) ε

The simulation draws one period s of the risk model's k at random: the deviations of that period
move all customers together, as they did then, with the panel's own skewness; ε is normal. Its mean
is Σ w_i r̄_i and its variance wᵀ(FᵀF + diag D)w, the one that was minimised. With
``scenarios="gaussian"`` the common part is normal too. Either needs the k numbers F w and the one
number wᵀDw of a portfolio of any size.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing
from credit_portfolio.evaluation.operators import weighted_average
from credit_portfolio.risk.measures import portfolio_returns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.portfolio import CreditPortfolio
    from credit_portfolio.risk.model import RiskModel

    Vector = NDArray[np.float64]
    Matrix = NDArray[np.float64]
    Scenarios = Literal["periods", "gaussian"]

LEVELS = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
# Factors that are the periods' deviations add up to zero but for rounding; those of another kind
# add up to anything.
_CENTRED = 1e-9
# Numbers drawn at a time where each customer is drawn by himself: 32 MB of them.
_AT_A_TIME = 4_000_000


@dataclass(frozen=True, eq=False, slots=True)
class ReturnDistribution:
    """B and the truth, over the same intervals.

    Attributes
    ----------
    table : pandas.DataFrame
        One row per interval, index ``interval``: ``kind`` (bad, good), ``mixture`` (B by the
        weighted average), ``periods`` (part of the panel's periods in which the portfolio's return
        fell there), ``simulated`` (part of the draws), and ``periods_error``, ``simulated_error``,
        their standard errors. A part p̂ of N has the standard deviation of the chance given the
        count, under Jeffreys' prior: it stays above zero where nothing was seen. Periods count as
        independent.
    quantiles : pandas.DataFrame
        Of the simulated return, index ``level``: ``value`` and ``error``.
    mean, standard_deviation : float
        Of the simulated return.
    mean_error : float
        Standard error of the mean.
    n_periods, draws : int
    seed : int
    scenarios : str
    bounded : bool
        Whether each customer's return was held within the edges.
    outside : float
        Part of the draws whose return lies outside the edges; they count in the outer intervals.
    """

    table: pd.DataFrame
    quantiles: pd.DataFrame
    mean: float
    mean_error: float
    standard_deviation: float
    n_periods: int
    draws: int
    seed: int
    scenarios: str
    bounded: bool
    outside: float

    def explain(self) -> str:
        """Tell the difference between B and the truth in two sentences, with these figures."""
        t = self.table
        bad = (t["kind"] == "bad").to_numpy()
        if bad.any():
            where, which = "a bad interval", bad
        else:
            where, which = f"the lowest interval {t.index[0]}", np.arange(len(t)) == 0
        mixture, seen, drawn = (
            float(t[name].to_numpy()[which].sum()) for name in ("mixture", "periods", "simulated")
        )
        top = int(np.argmax(t["simulated"].to_numpy()))
        often, of_credit = (float(t[name].iloc[top]) for name in ("simulated", "mixture"))
        error = float(_error(np.array([drawn * self.draws]), self.draws)[0])
        first = (
            f"A unit of credit picked at random lands in {where} with a chance of {mixture:.2%}: "
            "that is B, which mixes the customers' own chances by their shares."
        )
        relation = "less often" if drawn < mixture else "no less often"
        second = (
            f"The book as a whole earns the mean over its customers, whose good and bad returns "
            f"meet in it, and was in {where} {relation}: in {round(seen * self.n_periods)} of "
            f"{self.n_periods} periods of the panel and in {drawn:.3%} ± {error:.3%} of "
            f"{self.draws:,} simulated ones, most often ({often:.1%}) in {t.index[top]}, where B "
            f"has {of_credit:.1%} of the credit."
        )
        return f"{first} {second}"

    def __repr__(self) -> str:
        shown = self.table.drop(columns="kind").map("{:.2%}".format)
        return (
            f"Return of the portfolio: mean {self.mean:.4%} ± {self.mean_error:.4%}, standard "
            f"deviation {self.standard_deviation:.4%}\n{shown.to_string()}\n{self.explain()}"
        )


def return_distribution(
    model: CreditPortfolio,
    shares: Literal["proposed", "current"] | Mapping[str, float] | pd.Series[float] = "proposed",
    *,
    draws: int = 100_000,
    seed: int = 0,
    scenarios: Scenarios = "periods",
    bounded: bool = False,
) -> ReturnDistribution:
    """Find the distribution of a portfolio's own return, from the panel and by simulation.

    Parameters
    ----------
    model : CreditPortfolio
        A fitted one; the periods are those that it was fitted to.
    shares : "proposed", "current", or shares by customer id, default "proposed"
        Of judged customers, who have a risk; they must sum to 1. "current" leaves out today's
        exposure to others, as B of the current book does.
    draws : int, default 100,000
    seed : int, default 0
        The same seed gives the same draws, bit for bit.
    scenarios : {"periods", "gaussian"}, default "periods"
        What moves customers together: the deviations of a period of the panel, or normal factors.
    bounded : bool, default False
        Hold each customer's return within the edges, as sales that can lose their cost but no more
        do. Then every customer with a share is drawn by himself, which takes draws × customers
        numbers; mean and variance change by what was cut off. Otherwise only the sum is drawn.

    Raises
    ------
    ModelError
        For a model that is not fitted, unknown scenarios, or "periods" with a risk model whose
        factors are not periods.
    DataError
        For shares that do not sum to 1 or belong to customers who were not judged.

    Examples
    --------
    Two customers at −1 or +0.2, independently: half of the credit is lost on average, but all of
    it only in one of four periods.

    >>> from credit_portfolio import CreditPortfolio, ReturnPanel
    >>> history = {"A": [-1, -1, 0.2, 0.2], "B": [-1, 0.2, -1, 0.2]}
    >>> panel = ReturnPanel.from_frame(pd.DataFrame(history))
    >>> model = CreditPortfolio([-1, -0.9, 0.1, 0.2], 1, targets={}, budget=1.0,
    ...                         risk_model="sample", floor=None, unit=0.01)
    >>> seen = return_distribution(model.fit(panel))
    >>> seen.table[["mixture", "periods"]].to_numpy().tolist()
    [[0.5, 0.25], [0.0, 0.5], [0.5, 0.25]]
    """
    if not hasattr(model, "allocation_"):
        raise ModelError(f"{model!r} has no allocation; fit it first")
    if draws < 2 or isinstance(draws, bool):
        raise ModelError(f"draws is {draws}; expected a whole number of 2 or more")
    w = _shares(model, shares)
    return distribution_of(
        model.targets_.intervals,
        model.evaluation_matrix_.values,
        model.returns_,
        model.risk_model_,
        w,
        draws=draws,
        seed=seed,
        scenarios=scenarios,
        bounded=bounded,
    )


def distribution_of(
    intervals: ReturnIntervals,
    degrees: Matrix,
    returns: Matrix,
    risk: RiskModel,
    w: Vector,
    *,
    draws: int = 100_000,
    seed: int = 0,
    scenarios: Scenarios = "periods",
    bounded: bool = False,
) -> ReturnDistribution:
    """Find the distribution of a portfolio's own return from arrays; see ``return_distribution``.

    Parameters
    ----------
    intervals : ReturnIntervals
    degrees : ndarray, shape (n, n_intervals)
        P.
    returns : ndarray, shape (n_periods, n)
        NaN where a customer had no sale.
    risk : RiskModel
    w : ndarray, shape (n,)
        Shares, which sum to 1.
    draws, seed, scenarios, bounded
        As for ``return_distribution``.
    """
    edges = (float(intervals.edges[0]), float(intervals.edges[-1])) if bounded else None
    simulated = simulated_returns(
        np.nanmean(returns, axis=0),
        risk,
        w,
        draws,
        np.random.default_rng(seed),
        scenarios=scenarios,
        bounds=edges,
    )
    observed = portfolio_returns(returns, w)
    observed = observed[~np.isnan(observed)]
    deviation = float(simulated.std(ddof=1))
    return ReturnDistribution(
        table=_table(intervals, weighted_average(w, degrees), observed, simulated),
        quantiles=_quantiles(simulated),
        mean=float(simulated.mean()),
        mean_error=deviation / float(np.sqrt(draws)),
        standard_deviation=deviation,
        n_periods=observed.size,
        draws=draws,
        seed=seed,
        scenarios=scenarios,
        bounded=bounded,
        outside=float(intervals.outside(simulated).mean()),
    )


def simulated_returns(
    mean: Vector,
    risk: RiskModel,
    w: Vector,
    draws: int,
    rng: np.random.Generator,
    *,
    scenarios: Scenarios = "periods",
    bounds: tuple[float, float] | None = None,
) -> Vector:
    """Draw the portfolio's return, shape (draws,).

    Parameters
    ----------
    mean : ndarray, shape (n,)
        Mean return of each customer.
    risk : RiskModel
    w : ndarray, shape (n,)
        Shares.
    draws : int
    rng : numpy.random.Generator
    scenarios : {"periods", "gaussian"}
    bounds : (float, float), optional
        Hold each customer's return within these; None draws the sum only, O(k n + draws).

    Examples
    --------
    >>> from credit_portfolio.risk.model import RiskModel
    >>> risk = RiskModel(np.array([[0.1, 0.1], [-0.1, -0.1]]), np.zeros(2), "by hand")
    >>> half = np.array([0.5, 0.5])
    >>> drawn = simulated_returns(np.zeros(2), risk, half, 100, np.random.default_rng(1))
    >>> np.unique(drawn.round(6)).tolist()  # √2 × 0.1 either way: a variance of 0.02
    [-0.141421, 0.141421]
    """
    known = ("periods", "gaussian")
    if scenarios not in known:
        raise ModelError(
            f"scenarios is {scenarios!r}; expected one of {listing(known)}."
            f"{did_you_mean(str(scenarios), known)}"
        )
    F, k = risk.factors, risk.factors.shape[0]
    exposure = F @ w
    if scenarios == "periods" and k:
        off = abs(float(exposure.sum()))
        if off > _CENTRED * float(np.abs(F).max(initial=0.0)) * k:
            raise ModelError(
                f"the factors of the risk model {risk.name!r} are not deviations of periods (they "
                f"add up to {off:.2g}, not 0), so that none can be drawn; use "
                "scenarios='gaussian'"
            )
    if bounds is not None:
        return _one_by_one(mean, risk, w, draws, rng, scenarios, bounds)
    common = np.zeros(draws)
    if k and scenarios == "periods":
        common = np.sqrt(k) * exposure[rng.integers(k, size=draws)]
    elif k:
        common = float(np.sqrt(exposure @ exposure)) * rng.standard_normal(draws)
    own = float(np.sqrt((risk.idiosyncratic * w) @ w))
    drawn: Vector = float(mean @ w) + common + own * rng.standard_normal(draws)
    return drawn


def _one_by_one(
    mean: Vector,
    risk: RiskModel,
    w: Vector,
    draws: int,
    rng: np.random.Generator,
    scenarios: Scenarios,
    bounds: tuple[float, float],
) -> Vector:
    """Draw each customer with a share, cut his return at the bounds, and add up."""
    held = np.flatnonzero(w)
    k = risk.factors.shape[0]
    factors = np.sqrt(k) * risk.factors if scenarios == "periods" else risk.factors
    # One choice of the common part for all blocks of customers: they move together.
    period = rng.integers(max(k, 1), size=draws)
    normal = rng.standard_normal((draws, k)) if scenarios == "gaussian" else None
    total = np.zeros(draws)
    size = max(1, _AT_A_TIME // draws)
    for at in (held[first : first + size] for first in range(0, held.size, size)):
        drawn = np.sqrt(risk.idiosyncratic[at]) * rng.standard_normal((draws, at.size))
        drawn += mean[at]
        if normal is not None:
            drawn += normal @ factors[:, at]
        elif k:
            drawn += factors[:, at][period]
        total += np.clip(drawn, *bounds) @ w[at]
    return total


def _shares(
    model: CreditPortfolio,
    shares: Literal["proposed", "current"] | Mapping[str, float] | pd.Series[float],
) -> Vector:
    customers, judged = model.allocation_.customers, model.judged_
    if isinstance(shares, str):
        columns = {"proposed": "share", "current": "current_share"}
        if shares not in columns:
            raise ModelError(
                f"shares is {shares!r}; expected 'proposed', 'current' or shares by customer id"
                f".{did_you_mean(shares, columns)}"
            )
        w = np.asarray(customers[columns[shares]].reindex(judged), dtype=np.float64)
        if not w.sum() > 0:
            raise DataError(
                "no judged customer owes anything today; give shares, or fit with current="
            )
        normed: Vector = w / w.sum()
        return normed
    given = pd.Series(shares, dtype=np.float64)
    given.index = pd.Index([str(name) for name in given.index])
    unknown = given.index[~given.index.isin(judged)]
    if len(unknown):
        raise DataError(
            f"{len(unknown):,} shares belong to customers without enough history: "
            f"{listing(unknown)}; they have no risk: leave them out"
        )
    total = float(given.sum())
    if not (given >= 0).all() or abs(total - 1.0) > 1e-6:  # shares written to six digits
        raise DataError(f"shares sum to {total:.6g}; expected parts of the credit, 0 or more, of 1")
    return np.asarray(given.reindex(judged).fillna(0.0), dtype=np.float64)


def _table(
    intervals: ReturnIntervals, mixture: Vector, observed: Vector, simulated: Vector
) -> pd.DataFrame:
    columns: dict[str, object] = {
        "kind": np.where(intervals.good, "good", "bad"),
        "mixture": mixture,
    }
    for name, values in (("periods", observed), ("simulated", simulated)):
        counts = intervals.degrees(values).sum(axis=0)
        columns[name] = counts / values.size if values.size else np.full(counts.size, np.nan)
        columns[f"{name}_error"] = _error(counts, values.size)
    return pd.DataFrame(columns, index=pd.Index(intervals.names, name="interval", dtype="str"))


def _error(counts: NDArray[np.int64] | Vector, size: int) -> Vector:
    """Return the standard deviation of Beta(count + ½, size − count + ½)."""
    chance = (counts + 0.5) / (size + 1.0)
    error: Vector = np.sqrt(chance * (1.0 - chance) / (size + 2.0))
    return error


def _quantiles(drawn: Vector) -> pd.DataFrame:
    """Quantiles; the error is half the way between the order statistics one deviation off."""
    ordered, size = np.sort(drawn), drawn.size
    levels = np.array(LEVELS)
    spread = np.sqrt(size * levels * (1.0 - levels))
    low = np.clip(np.floor(size * levels - spread).astype(int), 0, size - 1)
    high = np.clip(np.ceil(size * levels + spread).astype(int), 0, size - 1)
    return pd.DataFrame(
        {
            "value": np.quantile(ordered, levels),
            "error": 0.5 * (ordered[high] - ordered[low]),
        },
        index=pd.Index(levels, name="level"),
    )
