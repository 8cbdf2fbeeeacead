"""Allocations to report on: a plain book, an odd one, and one with hostile names."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio import open_ledger
from credit_portfolio.allocation import Allocation
from credit_portfolio.backtesting import Backtest, backtest
from credit_portfolio.evaluation.intervals import ReturnIntervals
from credit_portfolio.frontiers import Frontier, frontier
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.returns.rule import ReturnRule
from credit_portfolio.simulate import simulate_book

EDGES = [-1, 0, 0.15, 0.20, 0.235, 0.25]

HOSTILE = [
    "<script>document.title='HACKED'</script>",
    "</script><script>document.title='HACKED'</script>",
    "<b>x</b>",
    '"onmouseover="document.title=1',
    "'><img src=x onerror=\"document.title='HACKED'\">",
    '=HYPERLINK("http://evil.example","x")',
    "<a href='javascript:alert(1)'>link</a>",
    "&lt;b&gt;",
    "<!--",
    "{{ 7*7 }}",
    "%{x} $x^2$",
    "客户 名称",
    "شركة الائتمان",
    "\u202egnp.exe",
    "\u2028line",
    "L" * 500,
    "0007",
    "2023-01-01",
    "a" * 12 + "1" + "b" * 12,
    "a" * 12 + "2" + "b" * 12,
]


def fitted(
    ids: list[str],
    *,
    n_periods: int = 12,
    with_limits: bool = True,
    with_current: bool = True,
    targets: object = "no_worse",
    budget: float | None = None,
    currency: str = "EUR",
) -> Allocation:
    rng = np.random.default_rng(7)
    n = len(ids)
    badness = rng.beta(2, 6, n)
    climate = (1 + rng.normal(0, 0.5, (n_periods, 1))) ** 2
    returns = 0.25 - 0.5 * badness * rng.gamma(0.5, 0.4, (n_periods, n)) * climate
    panel = ReturnPanel.from_frame(pd.DataFrame(np.clip(returns, -1, 0.25), columns=ids))
    limits = pd.Series(rng.lognormal(11.5, 0.8, n), index=ids)
    current = pd.Series(rng.lognormal(10.6, 1.0, n), index=ids)
    model = CreditPortfolio(EDGES, 3, targets=targets, budget=budget, currency=currency)
    return model.fit(
        panel,
        limits=limits if with_limits else None,
        current=current if with_current else None,
    ).allocation_


def ageing_of(allocation: Allocation) -> pd.DataFrame:
    parts = np.array([0.6, 0.2, 0.1, 0.06, 0.04])
    table = pd.DataFrame(
        np.outer(allocation.customers["current_amount"] + 1.0, parts),
        index=allocation.customers.index,
        columns=["not_due", "1-30", "31-60", "61-90", "over 90"],
    )
    return table.assign(total=table.sum(axis=1))


@pytest.fixture(scope="session")
def fit() -> Callable[..., Allocation]:
    return fitted


@pytest.fixture(scope="session")
def ageing() -> Callable[[Allocation], pd.DataFrame]:
    return ageing_of


@pytest.fixture(scope="session")
def plain() -> Allocation:
    return fitted([f"C{i:03d}" for i in range(40)])


@pytest.fixture(scope="session")
def judged() -> Allocation:
    """Forty-five customers with drawn profiles, one of them with the row of his class."""
    a = fitted([f"J{i:03d}" for i in range(45)])
    rng = np.random.default_rng(3)
    names = list(a.evaluation.index)
    counts = rng.multinomial(12, np.full(len(names), 1.0 / len(names)), size=45)
    rows = pd.DataFrame((counts + 0.5) / (12 + 0.5 * len(names)), a.customers.index, names)
    tallied = pd.DataFrame(counts, a.customers.index, [f"{name} (periods)" for name in names])
    borrowed = a.customers.index == a.customers["amount"].idxmax()
    profiles = pd.concat([rows, tallied], axis=1).assign(periods=12, borrowed=borrowed)
    evaluation = a.evaluation.assign(
        credible_low=a.evaluation["proposed"] / 2,
        credible_high=(1 + a.evaluation["proposed"]) / 2,
        simulated=rng.dirichlet(np.ones(len(names))),
    )
    return replace(a, profiles=profiles, evaluation=evaluation)


@pytest.fixture(scope="session")
def walked() -> Backtest:
    """A backtest of six quarters on a simulated book, as its module makes it."""
    book = simulate_book(40, 4_000, seed=5)
    model = CreditPortfolio([-1.5, 0, 0.2, 0.25], 2, targets={}, currency="EUR")
    return backtest(open_ledger(book.invoices, as_of=book.as_of), model, ReturnRule(0.25))


@pytest.fixture(scope="session")
def swept() -> Callable[..., Frontier]:
    """A frontier of a small model over whatever is asked."""
    rng = np.random.default_rng(7)
    ids = [f"S{i:02d}" for i in range(12)]
    returns = pd.DataFrame(0.25 - 0.3 * rng.gamma(0.5, 0.4, (10, 12)), columns=ids).clip(-1, 0.25)
    limits = pd.Series(rng.uniform(50, 200, 12), index=ids)
    model = CreditPortfolio(
        ReturnIntervals([-1, 0, 0.2, 0.25], 2, ["loss", "thin", "full"]), budget=600, currency="EUR"
    )
    held = pd.Series(rng.uniform(10, 100, 12), index=ids)
    model.fit(ReturnPanel.from_frame(returns), limits=limits, current=held)

    def along(over: str, **options: object) -> Frontier:
        return frontier(model, over, **options)

    return along


@pytest.fixture(scope="session")
def bare() -> Allocation:
    """No limits, no current book, no targets, no currency, a small budget."""
    ids = ["A", "B", "C"]
    return fitted(ids, with_limits=False, with_current=False, targets={}, budget=900, currency="")


@pytest.fixture(scope="session")
def lonely() -> Allocation:
    return fitted(["only"], with_limits=False)


@pytest.fixture(scope="session")
def hostile_names() -> list[str]:
    return list(HOSTILE)


@pytest.fixture(scope="session")
def hostile() -> Allocation:
    return fitted(list(HOSTILE), currency="<i>€</i>")


@pytest.fixture
def quality() -> SimpleNamespace:
    from decimal import Decimal

    return SimpleNamespace(
        rows_read=1_000,
        rows_accepted=997,
        rows_rejected=3,
        amount_read=Decimal("1234567.90"),
        amount_accepted=Decimal("1234000.85"),
        amount_rejected=Decimal("567.05"),
        rules=pd.DataFrame(
            {
                "rule": ["missing_customer_id", "amount_not_positive"],
                "rows": [3, 0],
                "amount": [Decimal("567.05"), Decimal(0)],
                "meaning": ["The row does not say who owes.", "…"],
                "what_to_do": ["Fill in the customer.", "…"],
            }
        ),
        findings=pd.DataFrame(
            {"finding": ["<i>trimmed</i>"], "rows": [2], "amount": [Decimal(5)], "meaning": ["x"]}
        ),
    )
