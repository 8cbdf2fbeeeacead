"""The pictures, one function each; plotly is reached through ``report/plots.py`` alone."""

from credit_portfolio.report.pictures.ageing import ageing_figure
from credit_portfolio.report.pictures.backtest import backtest_figure
from credit_portfolio.report.pictures.customers import limits_figure, risk_figure, shares_figure
from credit_portfolio.report.pictures.evaluation import evaluation_figure
from credit_portfolio.report.pictures.frontier import frontier_figure
from credit_portfolio.report.pictures.prices import prices_figure
from credit_portfolio.report.pictures.profiles import profiles_figure

__all__ = [
    "ageing_figure",
    "backtest_figure",
    "evaluation_figure",
    "frontier_figure",
    "limits_figure",
    "prices_figure",
    "profiles_figure",
    "risk_figure",
    "shares_figure",
]
