from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.report import (
    ageing_figure,
    evaluation_figure,
    limits_figure,
    prices_figure,
    profiles_figure,
    risk_figure,
    shares_figure,
)
from credit_portfolio.report.plots import TITLE
from credit_portfolio.report.price_words import priced_conditions

PICTURES = [
    evaluation_figure,
    shares_figure,
    risk_figure,
    limits_figure,
    prices_figure,
    profiles_figure,
]


def trace(figure, name: str):
    return next(trace for trace in figure.data if trace.name == name)


def test_b_and_its_targets_stand_at_their_values(plain) -> None:
    figure = evaluation_figure(plain)
    e = plain.evaluation
    assert list(trace(figure, "B proposed").x) == e["proposed"].tolist()
    assert list(trace(figure, "B today").x) == e["current"].tolist()
    lines = [x for x in trace(figure, "target b").x if x is not None]
    assert lines == np.repeat(e["target"], 3).tolist()
    assert list(trace(figure, "portfolio, periods").x) == e["proposed_periods"].tolist()
    assert "≤" in figure.layout.yaxis.ticktext[0]
    assert "≥" in figure.layout.yaxis.ticktext[-1]


def test_without_targets_and_current_only_the_proposal_is_drawn(bare) -> None:
    e = bare.evaluation.assign(simulated=np.nan, credible_low=np.nan, credible_high=np.nan)
    names = {trace.name for trace in evaluation_figure(replace(bare, evaluation=e)).data}
    assert names == {"B proposed", "portfolio, periods"}
    assert {trace.name for trace in shares_figure(bare).data} == {"proposed"}


def test_an_older_allocation_is_drawn_without_band_and_simulation(plain) -> None:
    columns = ["simulated", "credible_low", "credible_high"]
    older = replace(plain, evaluation=plain.evaluation.drop(columns=columns, errors="ignore"))
    names = {trace.name for trace in evaluation_figure(older).data}
    assert names == {"B proposed", "B today", "portfolio, periods", "target b"}


def test_the_band_and_the_simulation_stand_at_their_values(judged) -> None:
    figure, e = evaluation_figure(judged), judged.evaluation
    band = [x for x in trace(figure, "95% band of B").x if x is not None]
    assert band[0::2] == e["credible_low"].tolist()
    assert band[1::2] == e["credible_high"].tolist()
    assert list(trace(figure, "portfolio, simulated").x) == e["simulated"].tolist()
    rows = [y for y in trace(figure, "95% band of B").y if y is not None]
    assert rows[0::2] == list(trace(figure, "B proposed").y)


def test_targets_cross_the_bars_of_b_and_not_those_of_the_portfolio(judged) -> None:
    figure = evaluation_figure(judged)
    lowest = [y for y in trace(figure, "target b").y if y is not None][2::3]
    for b, end, own in zip(
        trace(figure, "B today").y, lowest, trace(figure, "portfolio, periods").y, strict=True
    ):
        assert b < end < own


def test_p_is_drawn_with_its_counts_for_the_largest_amounts(judged) -> None:
    figure = profiles_figure(judged)
    heat, beside = figure.data
    order = judged.customers["amount"].sort_values(ascending=False, kind="stable").index[:40]
    rows, names = judged.profiles.loc[order], list(judged.evaluation.index)
    np.testing.assert_array_equal(heat.z, rows[names])
    counted = rows[[f"{name} (periods)" for name in names]].to_numpy()
    assert [[int(text) for text in row] for row in heat.text] == counted.tolist()
    assert list(beside.text) == ["12"] * 40
    labels = list(figure.layout.yaxis.ticktext)
    assert labels == [f"{order[0]} †", *order[1:]]
    assert figure.layout.yaxis.range[0] > figure.layout.yaxis.range[1]


def test_degrees_of_fuzzy_intervals_have_one_decimal(judged) -> None:
    names = [name for name in judged.profiles.columns if name.endswith("(periods)")]
    profiles = judged.profiles.copy()
    profiles[names] = 1.25
    text = profiles_figure(replace(judged, profiles=profiles)).data[0].text
    assert {cell for row in text for cell in row} == {"1.2"}


def test_no_profiles_is_a_model_error(plain) -> None:
    with pytest.raises(ModelError, match="no profiles"):
        profiles_figure(replace(plain, profiles=pd.DataFrame()))


def test_both_sides_of_each_price_are_drawn_the_dearest_first(plain) -> None:
    figure = prices_figure(plain)
    found = priced_conditions(plain).head(20)
    assert list(trace(figure, "one step more").x) == found["more"].tolist()
    assert list(trace(figure, "one step less").x) == found["less"].tolist()
    assert len(figure.layout.yaxis.ticktext) == len(found)
    low, high = figure.layout.xaxis.range
    assert low < found[["more", "less"]].min(axis=None)
    assert high > found[["more", "less"]].max(axis=None)


def test_a_step_that_cannot_be_met_is_a_cross_and_no_bar(plain) -> None:
    table = plain.shadow_prices.copy()
    table.loc["budget", "standard_deviation"] = np.nan
    figure = prices_figure(replace(plain, shadow_prices=table))
    row = [text.split("<br>")[0] for text in figure.layout.yaxis.ticktext].index("budget")
    cross = trace(figure, "cannot be met")
    assert list(cross.x) == [0.0]
    assert round(cross.y[0]) == row
    assert trace(figure, "one step more").text[row] == "–"


def test_nothing_with_a_price_is_a_model_error(plain) -> None:
    free = plain.shadow_prices.assign(standard_deviation=0.0, standard_deviation_less=0.0)
    with pytest.raises(ModelError, match="price"):
        prices_figure(replace(plain, shadow_prices=free))


def test_the_customers_with_the_largest_share_now_or_then_are_shown(plain) -> None:
    figure = shares_figure(plain, most=5)
    c = plain.customers
    expected = np.maximum(c["share"], c["current_share"]).nlargest(5).index
    assert set(figure.layout.yaxis.ticktext) == set(expected)
    assert list(trace(figure, "proposed").x) == sorted(c.loc[expected, "share"])


def test_risk_is_drawn_for_every_customer_with_a_share(plain) -> None:
    figure = risk_figure(plain)
    points = {
        (x, y)
        for trace in figure.data
        if trace.mode == "markers"
        for x, y in zip(trace.x, trace.y, strict=True)
    }
    c = plain.customers[plain.customers["share"] > 0]
    assert points == set(zip(c["share"], c["risk_share"], strict=True))


def test_breaches_come_first_by_their_excess_then_the_largest_limits(plain) -> None:
    c = plain.customers
    excess = c["current_amount"] - c["limit"]
    over = excess[excess > 0].sort_values(ascending=False)
    assert 2 < len(over) <= 10
    figure = limits_figure(plain)
    order = list(figure.layout.yaxis.ticktext)
    assert order[: len(over)] == over.index.tolist()
    rest = c.loc[excess <= 0, "limit"].nlargest(20 - len(over)).index.tolist()
    assert order[len(over) :] == rest
    assert list(trace(figure, "today, above the limit").y) == list(range(len(over)))


def test_many_breaches_leave_room_for_other_limits(plain) -> None:
    held = plain.customers["limit"] * 2.0
    held.iloc[:15] = 0.0
    a = replace(plain, customers=plain.customers.assign(current_amount=held))
    figure = limits_figure(a)
    assert len(figure.layout.yaxis.ticktext) == 20
    assert len(trace(figure, "today, above the limit").y) == 10


def test_when_all_are_breaches_all_places_are_theirs(plain) -> None:
    held = plain.customers["limit"] * 2.0
    a = replace(plain, customers=plain.customers.assign(current_amount=held))
    assert len(trace(limits_figure(a), "today, above the limit").y) == 20


def test_no_limits_is_a_model_error(bare) -> None:
    with pytest.raises(ModelError, match="no limits"):
        limits_figure(bare)


def test_ageing_bars_add_up_to_the_total(plain, ageing) -> None:
    table = ageing(plain)
    figure = ageing_figure(table, "EUR")
    drawn = sum(float(trace.x[0]) for trace in figure.data if trace.xaxis == "x")
    assert drawn == pytest.approx(table["total"].sum(), rel=1e-12)
    assert len(figure.layout.yaxis2.ticktext) == 15
    assert figure.layout.yaxis2.ticktext[0] == table["total"].idxmax()


def test_one_row_of_ageing_is_one_bar(plain, ageing) -> None:
    table = ageing(plain).sum().to_frame("total").T
    figure = ageing_figure(table)
    assert len(figure.data) == 5
    assert "yaxis2" not in figure.layout
    assert list(figure.layout.yaxis.ticktext) == ["all"]


@pytest.mark.parametrize(
    ("frame", "found"),
    [
        (pd.DataFrame({"not_due": [1.0]}), "total"),
        (pd.DataFrame({"total": [1.0]}), "buckets"),
        (pd.DataFrame({"not_due": [], "total": []}), "0 rows"),
        (pd.DataFrame({"not_due": ["x"], "total": [1.0]}), "not a number"),
        (pd.DataFrame({"not_due": [np.nan], "total": [1.0]}), "NaN"),
    ],
)
def test_an_ageing_that_cannot_be_drawn_is_a_data_error(frame: pd.DataFrame, found: str) -> None:
    with pytest.raises(DataError, match=found):
        ageing_figure(frame)


@pytest.mark.parametrize("picture", PICTURES, ids=lambda f: f.__name__)
def test_no_text_of_a_picture_has_markup_from_a_name(picture, hostile) -> None:
    """Plotly reads tags in its texts: only its own line breaks and bold may be left."""
    content = picture(hostile).to_json()
    for text in _texts(json.loads(content)):
        left = text.replace("<br>", "").replace("<b>", "").replace("</b>", "")
        assert "<" not in left, text
        assert "$" not in left, text


def _texts(content: object) -> list[str]:
    if isinstance(content, dict):
        return [text for inner in content.values() for text in _texts(inner)]
    if isinstance(content, list):
        return [text for inner in content for text in _texts(inner)]
    return [content] if isinstance(content, str) else []


def test_ids_that_are_cut_alike_keep_their_own_rows(hostile) -> None:
    figure = shares_figure(hostile)
    labels = list(figure.layout.yaxis.ticktext)
    assert len(labels) == 20
    assert len(set(labels)) < len(labels)
    assert len(set(trace(figure, "proposed").y)) == 20


@pytest.mark.parametrize("picture", PICTURES, ids=lambda f: f.__name__)
def test_a_book_without_any_share_still_draws(picture, plain) -> None:
    customers = plain.customers.assign(share=0.0, amount=0.0, risk_share=0.0)
    assert picture(replace(plain, customers=customers)).layout.height > 0


def test_drawing_changes_no_template_of_plotly(plain) -> None:
    import plotly.io

    before = plotly.io.templates.default, set(plotly.io.templates)
    evaluation_figure(plain)
    assert (plotly.io.templates.default, set(plotly.io.templates)) == before


@pytest.mark.parametrize("picture", PICTURES, ids=lambda f: f.__name__)
def test_title_legend_and_heads_do_not_overlap(picture, judged) -> None:
    """The legend hangs from a place in pixels and pushes the plot down; the title stays above."""
    layout = picture(judged).layout
    legend = layout.template.layout.legend.update(layout.legend)
    assert (legend.yref, legend.yanchor) == ("container", "top")
    assert (1 - legend.y) * layout.height == pytest.approx(TITLE)
    if layout.xaxis.side == "top":
        lines = 1 + max(text.count("<br>") for text in layout.xaxis.ticktext)
        assert layout.margin.t >= TITLE + 14 * lines
