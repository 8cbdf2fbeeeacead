"""Settings: every key is known, every value fits, and options win."""

from __future__ import annotations

from pathlib import Path

import pytest

import credit_portfolio as cp
from credit_portfolio.settings import Settings

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
