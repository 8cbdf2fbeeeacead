"""What frontier, backtest and an infeasible run print."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from credit_portfolio.cli.tables import DASH, Page, figure
from credit_portfolio.conditions import Words

if TYPE_CHECKING:
    from collections.abc import Mapping

    from credit_portfolio.backtesting import Backtest
    from credit_portfolio.conditions import Condition, Relaxation
    from credit_portfolio.explain import Explanation
    from credit_portfolio.frontiers import Frontier

_SHOWN_POINTS = 7
# Figures of a backtest: heading, column of the summary.
_SUMMARY = (
    ("mean", "mean_return"),
    ("st. dev.", "standard_deviation"),
    ("worst", "worst_return"),
    ("bad", "bad_share"),
    ("bad debt", "bad_debt"),
    ("turnover", "turnover"),
)


def show_conflict(explanation: Explanation) -> None:
    """Print to standard error what conflicts, the ways out, and the nearest bounds as tables."""
    page = Page(errors=True)
    words = Words(explanation.money, explanation.currency)
    page.line("infeasible: no allocation meets all conditions.", "bold red")
    for sentence in explanation.sentences():
        page.item(sentence)
    page.line()
    page.line("What conflicts, and where each alone would have to be", "bold")
    page.line()
    told = list(explanation.conflict)
    extra = explanation.budget_move
    if extra is not None and extra.name not in explanation.names and math.isfinite(extra.needed):
        told.append(extra)
    page.grid(
        ["condition", "is", "others allow", "alone needs"],
        [
            [
                f"{c.name}, {c.side}",
                words.plain(c),
                _rounded(words, c, c.within),
                _rounded(words, c, c.needed),
            ]
            for c in told
        ],
    )
    if explanation.nearest:
        page.line("Nearest that can be met", "bold")
        page.line()
        page.grid(
            ["condition", "is", "becomes", "reached"],
            [
                [
                    f"{r.name}, {r.side}",
                    words.value(r, r.bound),
                    _rounded(words, r, r.relaxed) if r.relaxed != r.bound else "as it is",
                    words.value(r, r.reached),
                ]
                for r in explanation.nearest
            ],
        )


def _rounded(words: Words, c: Condition | Relaxation, value: float) -> str:
    """Write a bound rounded to the side that works; a dash where none does."""
    if not math.isfinite(value):
        return DASH
    return words.value(c, value, down=value < c.bound)


def show_frontier(found: Frontier) -> None:
    """Print some points of a frontier, the portfolios beside it, and the notes."""
    page = Page()
    solved = found.points[found.points["status"] == "optimal"]
    page.title(
        f"Frontier over {found.over}", f"{len(solved)} of {len(found.points)} points reached"
    )
    places = np.unique(np.linspace(0, max(len(solved) - 1, 0), _SHOWN_POINTS).astype(int))
    head = ["st. dev.", "mean return", "with credit", "effective"]
    if len(solved):
        rows = []
        for line in solved.iloc[places].to_dict("records"):
            unit = "money" if found.over == "budget" else "share"
            value = _precise(line["value"]) if unit == "share" else figure(line["value"], unit)
            rows.append([value, *_of_portfolio(line)])
        page.grid(["at", *head], rows)
    rows = [
        [
            str(name),
            *_of_portfolio(line)[:-1],
            _yes(line["meets_targets"]),
            _yes(line["meets_limits"]),
        ]
        for name, line in zip(
            found.references.index, found.references.to_dict("records"), strict=True
        )
    ]
    page.grid(["portfolio", *head[:-1], "targets", "limits"], rows)
    for note in found.notes:
        page.note(note)


def _of_portfolio(line: Mapping[Any, Any]) -> list[str]:
    return [
        _precise(line["standard_deviation"]),
        _precise(line["mean_return"]),
        figure(line["n_with_credit"], "count"),
        figure(line["effective_customers"], "number"),
    ]


def _yes(met: object) -> str:
    return "met" if met else "not met"


def _precise(value: float) -> str:
    """Write a fraction in per cent with the digits that tell neighbouring points apart."""
    return DASH if math.isnan(value) else f"{100 * value:.4f} %"


def show_backtest(found: Backtest) -> None:
    """Print the summary of all portfolios, who was best by what, and the notes."""
    page = Page()
    days = found.days["day"].unique()
    page.title("Backtest", f"{len(days)} days, {days[0]} to {days[-1]}")
    lines = found.summary.to_dict("records")
    page.grid(
        ["portfolio", *[heading for heading, _ in _SUMMARY]],
        [
            [str(name), *[_short(line[column]) for _, column in _SUMMARY]]
            for name, line in zip(found.summary.index, lines, strict=True)
        ],
    )
    page.line(found.winners())
    page.line()
    apart = [
        [str(name), _precise(line["difference"]), _precise(line["difference_error"])]
        for name, line in zip(found.summary.index, lines, strict=True)
        if name != found.summary.index[0]
    ]
    page.grid(["mean return of the model less that of", "difference", "its error"], apart)
    for note in found.notes:
        page.note(note)


def _short(value: float) -> str:
    return DASH if math.isnan(value) else f"{100 * value:.2f} %"
