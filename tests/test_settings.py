"""Settings: every key is known, every value fits, and options win."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest

import credit_portfolio as cp
from credit_portfolio.settings import ModelSettings, RepairSettings, Settings

FULL = """
[ledger]
columns = { customer_id = "KUNDE" }
as_of = "2024-06-30"

[returns]
markup = 0.3
provisions = { days = [0, 30], rates = [0.1, 0.2, 0.5], basis = "invoice" }

[limits]
max_age_days = 800

[model]
intervals = [-1, 0, 0.3]
good_from = 1
targets = { 0 = 0.01 }
budget = 5_000_000
floor = "none"
"""


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "run.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_toml_file_holds_all_settings(tmp_path: Path) -> None:
    settings = Settings.from_toml(write(tmp_path, FULL))
    assert settings.ledger.columns == {"customer_id": "KUNDE"}
    assert settings.returns.provisions is not None
    assert settings.returns.provisions.rates == [0.1, 0.2, 0.5]
    assert settings.limits.max_age_days == 800
    assert settings.model.targets == {"0": 0.01}
    assert settings.edges() == ([-1, 0, 0.3], 1)


def test_settings_survive_their_own_record(tmp_path: Path) -> None:
    settings = Settings.from_toml(write(tmp_path, FULL))
    assert Settings.from_mapping(settings.to_dict()).to_dict() == settings.to_dict()


def test_options_win_over_the_file_and_none_leaves_it(tmp_path: Path) -> None:
    settings = Settings.from_toml(write(tmp_path, FULL))
    changed = settings.changed({"model": {"budget": 7.0, "solver": None}, "returns": {}})
    assert changed.model.budget == 7.0
    assert changed.model.solver == settings.model.solver
    assert changed.returns == settings.returns


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[model]\nbugdet = 5", "unknown key 'model.bugdet'.*Did you mean 'budget'"),
        ("[modle]\nbudget = 5", "unknown key 'modle'.*Did you mean 'model'"),
        ("[returns]\nprovisions = { dais = [1] }", "returns.provisions.dais.*Did you mean 'days'"),
        ("[returns]\nprovisions = { days = [1] }", "returns.provisions in .* lacks 'rates'"),
        ("[model]\nbudget = 'much'", "model.budget .* is 'much'; expected a number"),
        ("[model]\nbudget = true", "model.budget .* is True; expected a number"),
        ("[returns]\nperiod = 'week'", "expected 'month' or 'quarter' or 'year'"),
        ("[model]\nintervals = [1, 'x']", "model.intervals"),
        ("[limits]\ntangible = 1", "limits.tangible .* expected true or false"),
        ("[ledger]\nas_of = 2023-12-31T00:00:00", "ledger.as_of .* expected text or a day such as"),
        ("[statements]\nseperator = ';'", "statements.seperator.*Did you mean 'separator'"),
        ("model = 3", "model in .* is 3"),
        ("[model]\nedges = 'quantile'", "model.edges .* 'quantiles' or 'fixed' or a table"),
        ("[model.edges]\nmethod = 'fixed'\nterms_days = 30", "mean nothing to the method 'fixed'"),
        ("[model.edges]\ncount = 3", "model.edges in .* lacks 'method'"),
        ("[model]\nedges = 'fixed'\nintervals = [0, 1]", "intervals and edges are both given"),
        ("[model]\nsmoothing = 'guessed'", "expected a number or 'estimated'"),
        ("[model]\nsmoothing = nan", "model.smoothing in .* is nan; expected a number"),
        ("[model]\nbudget = inf", "model.budget in .* is inf; expected a number"),
        ("[model]\nclasses = 1.5", "expected a whole number or text"),
        ("[model]\nmembership = 'triangle'", "'crisp' or 'triangular'"),
        ("[model.groups.region]\nnorth = 'much'", "model.groups.region.north .* expected a number"),
        ("[model.groups.region]\nnorth = [0.1]", r"expected a cap, or \[floor, cap\]"),
        ("[model.groups]\nregion = 0.3", "model.groups.region .* expected a table"),
        ("[model.weights]\nloss = 0", "expected a number above 0"),
        ("[model.weights]\nloss = 'keep'", "expected a number or 'hold'"),
        ("[labels]\nseveral = 'first'", "'error' or 'latest'"),
        ("[ledger.repairs]\nterm = 30", "ledger.repairs.term'.*Did you mean 'terms'"),
        ("[ledger.repairs]\nterms = '30'", "expected a whole number or a table"),
        ("[ledger.repairs.terms]\ndays = 30\nend_of_month = 'late'", "'before' or 'after'"),
        ("[ledger.repairs]\nset_apart = { umskz = 'A' }", "umskz .* expected a list of texts"),
        ("[ledger.repairs]\nhold_out_disputed = 1", "expected true or false"),
        ("[frontier]\npoints = 5.5", "expected a whole number"),
        ("[backtest]\nlimits = 'soon'", "'then' or 'now'"),
        ("[model", "is not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(cp.ModelError, match=message):
        Settings.from_toml(write(tmp_path, text))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(cp.ModelError, match=r"cannot read settings .*nothing\.toml"):
        Settings.from_toml(tmp_path / "nothing.toml")


@pytest.mark.parametrize("day", ["2023-12-31", '"2023-12-31"'])
def test_a_day_may_be_text_or_a_date_of_toml(tmp_path: Path, day: str) -> None:
    settings = Settings.from_toml(write(tmp_path, f"[ledger]\nas_of = {day}"))
    assert settings.ledger.as_of == "2023-12-31"
    assert settings.to_dict()["ledger"]["as_of"] == "2023-12-31"


def test_statements_have_a_table_of_their_own(tmp_path: Path) -> None:
    text = '[statements]\nseparator = ";"\ndecimal = ","\ncolumns = { net_worth = "EK" }'
    s = Settings.from_toml(write(tmp_path, text)).statements
    assert (s.separator, s.decimal, s.columns, s.date_format) == (
        ";",
        ",",
        {"net_worth": "EK"},
        None,
    )


def test_edges_follow_the_markup() -> None:
    assert Settings().edges() == ([-1.0, 0.0, 0.15, 0.2, 0.235, 0.25], 3)
    moved = Settings.from_mapping({"model": {"good_from": 4}})
    assert moved.edges()[1] == 4


def test_edges_cannot_follow_a_markup_column() -> None:
    settings = Settings.from_mapping({"returns": {"markup": "margin"}})
    with pytest.raises(cp.ModelError, match="give intervals and good_from"):
        settings.edges()


def test_edges_need_their_first_good_interval() -> None:
    settings = Settings.from_mapping({"model": {"intervals": [-1.0, 0.25]}})
    with pytest.raises(cp.ModelError, match="good_from is missing"):
        settings.edges()


PANEL = cp.ReturnPanel.from_frame(
    pd.DataFrame({"A": [0.25, 0.24, 0.1, -0.2], "B": [0.25, 0.23, 0.2, 0.15]})
)


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"edges": "cost_of_funds"}, cp.cost_of_funds_edges(0.25, 0.08)),
        (
            {"edges": {"method": "cost_of_funds", "terms_days": 60, "late_days": [60]}},
            cp.cost_of_funds_edges(0.25, 0.08, terms_days=60, days=(60,)),
        ),
        ({"edges": {"method": "fixed", "count": 3}}, cp.fixed_edges(0.25, 3)),
        (
            {"edges": {"method": "quantiles", "count": 3, "good_above": 0.2}},
            cp.quantile_edges(PANEL.values, 3, markup=0.25, good_above=0.2),
        ),
        ({"edges": "markup"}, cp.ReturnIntervals([-1, 0, 0.15, 0.2, 0.235, 0.25], 3)),
        (
            {"intervals": [-1, 0, 0.25], "good_from": 1, "names": ["loss", "fine"]},
            cp.ReturnIntervals([-1, 0, 0.25], 1, ["loss", "fine"]),
        ),
        (
            {"membership": "trapezoidal", "width": 0.4, "good_from": 4},
            cp.ReturnIntervals([-1, 0, 0.15, 0.2, 0.235, 0.25], 4).fuzzy("trapezoidal", 0.4),
        ),
    ],
)
def test_intervals_are_those_that_the_settings_ask_for(
    model: dict[str, object], expected: cp.ReturnIntervals
) -> None:
    settings = Settings.from_mapping({"model": model, "returns": {"funding_rate": 0.08}})
    assert settings.intervals(PANEL).same_as(expected)
    again = Settings.from_mapping(settings.to_dict())
    assert again.intervals(PANEL).same_as(expected)


def test_a_proposal_takes_names_and_the_first_good_interval_of_the_analyst() -> None:
    names = ["a", "b", "c"]
    asked = {"edges": {"method": "fixed", "count": 3}, "names": names, "good_from": 1}
    found = Settings.from_mapping({"model": asked}).intervals(PANEL)
    assert found.names == tuple(names)
    assert found.good_from == 1
    assert cp.fixed_edges(0.25, 3).good_from == 2


def test_edges_at_the_cost_of_funds_need_its_rate() -> None:
    settings = Settings.from_mapping({"model": {"edges": "cost_of_funds"}})
    with pytest.raises(cp.ModelError, match=r"give returns\.funding_rate"):
        settings.intervals(PANEL)


def test_a_width_without_a_fuzzy_membership_is_refused() -> None:
    settings = Settings.from_mapping({"model": {"width": 0.5}})
    with pytest.raises(cp.ModelError, match="crisp intervals have no transition"):
        settings.intervals(PANEL)


def test_an_option_of_edges_wins_over_a_proposal_in_the_file() -> None:
    settings = Settings.from_mapping({"model": {"edges": "fixed"}})
    changed = settings.changed({"model": {"intervals": [-1.0, 0.25], "good_from": 0}})
    assert changed.edges() == ([-1.0, 0.25], 0)
    assert changed.model.edges is None


def test_files_are_found_from_the_folder_of_the_settings(tmp_path: Path) -> None:
    text = "[labels]\nfile = 'labels.csv'\n[ledger.repairs]\nrates = 'deep/rates.csv'\n"
    settings = Settings.from_toml(write(tmp_path, text))
    assert settings.labels.file == str(tmp_path / "labels.csv")
    assert settings.ledger.repairs is not None
    assert settings.ledger.repairs.rates == str(tmp_path / "deep" / "rates.csv")


def test_every_parameter_of_the_model_can_be_set() -> None:
    parameters = set(cp.CreditPortfolio([-1, 0.25], 0).get_params())
    # The currency is the ledger's own.
    assert parameters - {"currency"} <= {f.name for f in dataclasses.fields(ModelSettings)}


def test_every_repair_can_be_set() -> None:
    repairs = {f.name for f in dataclasses.fields(cp.Repairs)}
    assert repairs == {f.name for f in dataclasses.fields(RepairSettings)}
