"""Allocations to report on: a plain book, an odd one, and one with hostile names."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.allocation import Allocation
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.returns.panel import ReturnPanel

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
