from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.frontiers import frontier
from credit_portfolio.program.program import CreditProgram
from credit_portfolio.report import backtest_figure, frontier_figure, studies


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


@pytest.mark.parametrize("over", ["expected_return", "target:loss", "target:2", "budget"])
def test_a_frontier_is_drawn_at_its_points_and_portfolios(swept, over: str) -> None:
    found = swept(over, points=5)
    figure = frontier_figure(found, "EUR")
    line, held = trace(figure, "frontier"), trace(figure, "customers with credit")
    assert list(line.x) == list(held.x) == found.points["value"].tolist()
    assert list(line.y) == found.points["standard_deviation"].tolist()
    assert list(held.y) == found.points["n_with_credit"].tolist()
    assert (line.yaxis, held.yaxis) == ("y", "y2")
    for name, row in found.references.iterrows():
        mark = trace(figure, name)
        assert mark.y[0] == row["standard_deviation"]
        assert mark.marker.symbol.endswith("-open") != (row["meets_targets"] & row["meets_limits"])


def test_portfolios_stand_at_their_own_value_of_what_is_swept(swept) -> None:
    by_return = swept("expected_return", points=3)
    pd.testing.assert_series_equal(
        studies.reference_places(by_return), by_return.references["mean_return"], check_names=False
    )
    for over in ("target:loss", "target:0"):
        found = swept(over, points=3)
        assert studies.swept_name(found) == "credit in loss"
        assert studies.reference_places(found).tolist() == found.references["B loss"].tolist()
    budget = studies.reference_places(swept("budget", points=3))
    np.testing.assert_allclose(budget, 600, rtol=1e-12)


def test_the_optimum_lies_on_the_line(swept) -> None:
    found = swept("expected_return", points=6)
    place = studies.reference_places(found)["optimum"]
    there = np.interp(place, found.points["value"], found.points["standard_deviation"])
    assert there == pytest.approx(found.references["standard_deviation"]["optimum"], rel=1e-5)


def test_values_out_of_reach_leave_a_gap_and_are_told(swept) -> None:
    found = swept("expected_return", values=[0.0, 0.9])
    figure = frontier_figure(found)
    assert np.isnan(trace(figure, "frontier").y[-1])
    assert np.isnan(trace(figure, "customers with credit").y[-1])
    assert "out of reach" in trace(figure, "frontier").hovertext[-1]
    none = swept("expected_return", values=[0.9])
    assert frontier_figure(none).layout.height > 0
    assert studies.frontier_words(none) == "None of the values that were asked for can be had."


def test_the_frontier_of_a_program_is_drawn_without_money() -> None:
    program = CreditProgram(
        idiosyncratic=[0.01, 0.02, 0.04],
        rows=[[1, 1, 1], [1, 0, 0]],
        row_lower=[1, -np.inf],
        row_upper=[1, 0.5],
        row_names=["budget", "target x"],
    )
    found = frontier(program, "target:x", values=[0.1, 0.3])
    assert studies.swept_name(found) == "target x"
    assert studies.reference_places(found).notna().all()
    assert frontier_figure(found).layout.xaxis2.title.text == "target x"
    whole = frontier(program, "budget", values=[0.5, 1.0])
    assert studies.reference_places(whole).tolist() == [1.0] * len(whole.references)
    assert "× the budget" in studies.frontier_words(whole)


def test_the_words_on_a_frontier_hold_both_ends_and_the_open_marks(swept) -> None:
    found = swept("expected_return", points=5)
    text = studies.frontier_words(found, "EUR")
    risk = found.points["standard_deviation"]
    for value in (risk.min(), risk.max()):
        assert f"{100 * value:.2f}"[:4] in text
    assert "Today's book stands at" in text
    assert "Open marks break" in text
    assert re.search(r"\bnan\b", text) is None


def test_the_table_of_a_frontier_warns_of_what_is_broken(swept) -> None:
    found = swept("expected_return", points=3)
    table = studies.frontier_table(found)
    assert [row[0].text for row in table.rows] == found.references.index.tolist()
    warned = [row[-1].warns for row in table.rows]
    assert warned == (~found.references["meets_limits"]).tolist()
    assert [row[1].value for row in table.rows] == found.references["standard_deviation"].tolist()


def test_a_backtest_is_drawn_at_its_returns_and_bad_shares(walked) -> None:
    figure = backtest_figure(walked)
    for axis, column in (("y", "return"), ("y3", "bad_share")):
        for name in walked.summary.index:
            line = next(t for t in figure.data if (t.name, t.yaxis) == (name, axis))
            own = walked.days[walked.days["portfolio"] == name]
            assert list(line.x) == own["day"].tolist()
            assert list(line.y) == own[column].tolist()
    assert [t.name for t in figure.data if t.showlegend] == walked.summary.index.tolist()


def test_leads_add_up_to_the_difference_of_the_mean_returns(walked) -> None:
    ahead = studies.lead(walked)
    base = studies.yardstick(walked)
    mean, days = walked.summary["mean_return"], walked.summary["days"]
    expected = (mean - mean[base]) * days
    np.testing.assert_allclose(ahead.iloc[-1], expected[ahead.columns], atol=1e-12)
    assert (ahead[base] == 0).all()


def test_without_todays_shares_on_all_days_equal_shares_are_the_yardstick(walked) -> None:
    days = walked.days
    gone = days[(days["portfolio"] != "current shares") | (days["day"] != days["day"].min())]
    assert studies.yardstick(walked) == "current shares"
    assert studies.yardstick(replace(walked, days=gone)) == "equal"


def test_returns_of_overlapping_horizons_are_not_added_up(walked) -> None:
    later = walked.days.assign(last_period=walked.days["last_period"].max())
    overlapping = replace(walked, days=later)
    assert studies.lead(overlapping) is None
    assert "overlap" in studies.backtest_words(overlapping)
    assert {t.yaxis for t in backtest_figure(overlapping).data} == {"y", "y2"}


def test_one_day_of_a_backtest_is_drawn_and_told(walked) -> None:
    day = walked.days["day"].min()
    one = replace(walked, days=walked.days[walked.days["day"] == day])
    assert {t.yaxis for t in backtest_figure(one).data} == {"y", "y2"}
    assert "On each of 1 day," in studies.backtest_words(one)


def test_the_words_on_a_backtest_end_with_the_winners(walked) -> None:
    assert studies.backtest_words(walked).endswith(walked.winners())


def test_the_table_of_a_backtest_holds_its_summary(walked) -> None:
    table = studies.backtest_table(walked)
    assert [row[0].text for row in table.rows] == walked.summary.index.tolist()
    for at, column in ((1, "mean_return"), (2, "standard_deviation"), (3, "worst_return")):
        assert [row[at].value for row in table.rows] == walked.summary[column].tolist()
    assert table.rows[0][-1].text == "–"
    assert all("±" in row[-1].text for row in table.rows[1:])


def test_something_else_than_a_study_is_a_type_error(plain) -> None:
    with pytest.raises(TypeError, match="frontier is a dict"):
        frontier_figure({})
    with pytest.raises(TypeError, match="backtest is a Allocation"):
        backtest_figure(plain)
