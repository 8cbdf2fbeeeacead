"""The allocation policy against four simple ones: ``python -m benchmarks.backtest [IBM_FOLDER]``.

On simulated books, and on the IBM sample ledger where its folder is given. Everything is printed as
it comes out.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

import credit_portfolio as cp
from credit_portfolio.backtesting import Backtest, backtest

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = (1, 2, 3, 4, 5)
EDGES, GOOD_FROM = [-1, 0, 0.15, 0.20, 0.235, 0.25], 3
# A statement is taken as known so many days after its date, as the simulation has it.
PUBLISHED_AFTER = pd.Timedelta(days=120)
IBM_FILE = "WA_Fn-UseC_-Accounts-Receivable.csv"
FIGURES = {
    "mean_return": "mean return",
    "standard_deviation": "standard deviation",
    "worst_return": "worst period",
    "bad_share": "credit in bad intervals",
    "bad_debt": "bad debt",
    "turnover": "turnover",
    "traded": "credit that took part",
    "over_limit": "credit above limits",
}
DIFFERENCES = {"difference": "model's mean less this", "difference_error": "± standard error"}
VARIANTS: dict[str, dict[str, Any]] = {
    "targets “no worse than now”, no limits": {"targets": "no_worse", "limited": False},
    "targets “no worse than now”, limits from statements": {"targets": "no_worse", "limited": True},
    "risk alone: no targets, limits from statements": {"targets": {}, "limited": True},
}


def limits_known(statements: pd.DataFrame) -> Callable[[dt.date], pd.DataFrame]:
    """Return the limits that could be worked out on a day, from the statements known then."""

    def on(day: dt.date) -> pd.DataFrame:
        return cp.working_asset_limits(statements, as_of=pd.Timestamp(day) - PUBLISHED_AFTER)

    return on


def simulated(seed: int, *, targets: Any, limited: bool) -> Backtest:
    """Test on the last five years of a book of 150 customers; days without an answer are left out.

    Parameters
    ----------
    seed : int
    targets : "no_worse" or mapping
    limited : bool
        Whether the limits of the customers' statements hold.
    """
    book = cp.simulate_book(150, 18_000, seed=seed, start="2019-01-01", end="2023-12-31")
    ledger = cp.open_ledger(book.invoices, as_of=book.as_of)
    model = cp.CreditPortfolio(EDGES, GOOD_FROM, targets=targets, outside="clip")
    limits = limits_known(book.statements) if limited else None
    return backtest(ledger, model, cp.ReturnRule(0.25, 0.08), limits=limits, min_periods=4)


def ibm(folder: Path) -> Backtest:
    """Test on the IBM sample ledger by months, without limits: it has no statements."""
    ledger = cp.open_ledger(folder / IBM_FILE, profile="ibm", as_of="2013-12-31")
    model = cp.CreditPortfolio([-1, 0, 0.235, 0.24, 0.245, 0.25], 3, unit=0.01)
    rule = cp.ReturnRule(0.25, 0.08)
    return backtest(
        ledger, model, rule, every="month", period="month", maturity_days=60, min_periods=6
    )


def pooled(tests: Sequence[Backtest]) -> pd.DataFrame:
    """Put several books together: means, the worst of all, and differences over all days.

    Days of one book are taken as independent, which flatters the error: quarters of trouble last.
    """
    summaries = [test.summary for test in tests]
    table = sum(summary[list(FIGURES)] for summary in summaries) / len(summaries)
    table["worst_return"] = np.min([summary["worst_return"] for summary in summaries], axis=0)
    for name in table.index:
        apart = np.concatenate([_apart(test, name) for test in tests])
        table.loc[name, "difference"] = apart.mean()
        table.loc[name, "difference_error"] = apart.std(ddof=1) / np.sqrt(apart.size)
    return table


def _apart(test: Backtest, name: str) -> np.ndarray:
    wide = test.days.pivot(index="day", columns="portfolio", values="return")
    return np.asarray((wide["model"] - wide[name]).dropna())


def lines(table: pd.DataFrame) -> Iterator[str]:
    """Lay a summary out as a table in Markdown."""
    yield f"| | {' | '.join(table.index)} |"
    yield "| --- " + "| ---: " * len(table) + "|"
    for column, words in (FIGURES | DIFFERENCES).items():
        kept = [name for name in table.index if not (column in DIFFERENCES and name == "model")]
        cells = [
            "" if name not in kept else "–" if pd.isna(value) else f"{100 * value:.3f} %"
            for name, value in table[column].items()
        ]
        if any(cell not in ("", "–") for cell in cells):
            yield f"| {words} | {' | '.join(cells)} |"


def left_out(tests: Mapping[int, Backtest]) -> str:
    """Count the days that were tested, and those without a fit, by reason."""
    days = sum(test.days["day"].nunique() for test in tests.values())
    reasons = Counter(
        next(word for word in ("no customer", "conditions", "budget") if word in note)
        for test in tests.values()
        for note in test.notes
        if "no fit" in note
    )
    told = {
        "no customer": "no limits yet",
        "budget": "limits below the exposure",
        "conditions": "targets and limits conflict",
    }
    text = ", ".join(f"{told[reason]} {count}" for reason, count in reasons.items())
    return f"{days} days of {len(tests)} books; left out: {text or 'none'}."


def main() -> None:
    for words, variant in VARIANTS.items():
        tests = {seed: simulated(seed, **variant) for seed in SEEDS}
        print(f"\n### Simulated books, {words}\n\n{left_out(tests)}\n")
        print(*lines(pooled(list(tests.values()))), sep="\n", flush=True)
        print()
        for seed, test in tests.items():
            print(f"- seed {seed}: {test.winners()}", flush=True)
    if len(sys.argv) > 1:
        test = ibm(Path(sys.argv[1]))
        print("\n### IBM sample ledger\n", *lines(test.summary), "", test.winners(), sep="\n")


if __name__ == "__main__":
    main()
