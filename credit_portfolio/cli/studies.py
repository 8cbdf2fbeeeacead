"""The commands that ask more of a model than one answer: frontier, backtest."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from credit_portfolio.cli.app import (
    Budget,
    Classes,
    Every,
    File,
    FundingRate,
    GoodFrom,
    Horizon,
    Intervals,
    Labels,
    LimitsFrom,
    LimitsOf,
    Markup,
    MinReturn,
    Out,
    Outside,
    Over,
    PeriodOf,
    Points,
    Smoothing,
    TargetsOf,
    app,
    bounds,
    number_or_text,
    numbers,
    progress,
    say_where,
    settings_of,
)
from credit_portfolio.cli.sources import Source, reads_ledger

if TYPE_CHECKING:
    from pathlib import Path

    from credit_portfolio.settings import Settings


@app.command()
@reads_ledger
def frontier(
    source: Source,
    statements: LimitsFrom = None,
    over: Over = None,
    points: Points = None,
    budget: Budget = None,
    out: Out = None,
    settings: File = None,
    labels: Labels = None,
    *,
    reading: dict[str, Any],
    markup: Markup = None,
    funding_rate: FundingRate = None,
    period: PeriodOf = None,
    intervals: Intervals = None,
    good_from: GoodFrom = None,
    targets: TargetsOf = None,
    outside: Outside = None,
    smoothing: Smoothing = None,
    classes: Classes = None,
    min_return: MinReturn = None,
) -> None:
    """Show how the least risk changes with a target, the expected return or the budget."""
    from credit_portfolio import job
    from credit_portfolio.cli.answers import show_frontier

    chosen = _settings(
        settings,
        labels,
        reading,
        _returns(markup, funding_rate, period),
        _model(budget, intervals, good_from, targets, outside, smoothing, classes)
        | {"min_return": min_return},
        frontier={"over": over, "points": points},
    )
    with progress() as show:
        found = job.frontier(source, statements, chosen, out, progress=show)
    show_frontier(found)
    say_where(out)


@app.command()
@reads_ledger
def backtest(
    source: Source,
    statements: LimitsFrom = None,
    every: Every = None,
    horizon: Horizon = None,
    limits: LimitsOf = None,
    budget: Budget = None,
    out: Out = None,
    settings: File = None,
    *,
    reading: dict[str, Any],
    markup: Markup = None,
    funding_rate: FundingRate = None,
    period: PeriodOf = None,
    intervals: Intervals = None,
    good_from: GoodFrom = None,
    targets: TargetsOf = None,
    outside: Outside = None,
    smoothing: Smoothing = None,
    classes: Classes = None,
    min_return: MinReturn = None,
) -> None:
    """Hold the model's shares of earlier days against four simple ways to share out credit."""
    from credit_portfolio import job
    from credit_portfolio.cli.answers import show_backtest

    chosen = _settings(
        settings,
        None,
        reading,
        _returns(markup, funding_rate, period),
        _model(budget, intervals, good_from, targets, outside, smoothing, classes)
        | {"min_return": min_return},
        backtest={"every": every, "horizon": horizon, "limits": limits},
    )
    with progress() as show:
        found = job.backtest(source, statements, chosen, out, progress=show)
    show_backtest(found)
    say_where(out)


def _settings(
    file: Path | None,
    labels: Path | None,
    ledger: dict[str, Any],
    returns: dict[str, Any],
    model: dict[str, Any],
    **study: dict[str, Any],
) -> Settings:
    of_file = {"file": None if labels is None else str(labels)}
    return settings_of(file, ledger=ledger, labels=of_file, returns=returns, model=model, **study)


def _returns(markup: str | None, funding_rate: float | None, period: str | None) -> dict[str, Any]:
    return {
        "markup": number_or_text(markup),
        "funding_rate": funding_rate,
        "period": period,
    }


def _model(
    budget: float | None,
    intervals: str | None,
    good_from: int | None,
    targets: str | None,
    outside: str | None,
    smoothing: str | None,
    classes: str | None,
) -> dict[str, Any]:
    return {
        "budget": budget,
        "intervals": numbers("--intervals", intervals),
        "good_from": good_from,
        "targets": bounds(targets),
        "outside": outside,
        "smoothing": number_or_text(smoothing),
        "classes": number_or_text(classes),
    }
