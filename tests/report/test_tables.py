from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.report import tables


def texts(table, column: str) -> list[str]:
    at = [name for name, _ in table.head].index(column)
    return [row[at].text for row in table.rows]


def values(table, column: str) -> list[float | None]:
    at = [name for name, _ in table.head].index(column)
    return [row[at].value for row in table.rows]


def test_every_row_has_a_cell_for_every_column(plain, bare, quality) -> None:
    for a in (plain, bare):
        made = [
            tables.evaluation_table(a),
            tables.prices_table(a),
            tables.customers_table(a),
            tables.excluded_table(a),
            tables.settings_table(a),
            tables.certificate_table(a),
            *tables.quality_tables(quality),
        ]
        for table in made:
            assert {len(row) for row in table.rows} <= {len(table.head)}


def test_customers_come_by_amount_and_keep_the_exact_number_to_sort_by(plain) -> None:
    table = tables.customers_table(plain)
    amounts = values(table, "Amount")
    assert amounts == sorted(plain.customers["amount"], reverse=True)
    assert sum(amounts) == pytest.approx(plain.summary["budget"], rel=1e-12)


def test_many_customers_are_cut_to_the_largest_and_the_caption_says_so(plain) -> None:
    table = tables.customers_table(plain, most=10)
    assert values(table, "Amount") == plain.customers["amount"].nlargest(10).tolist()
    assert "The 10 largest of 40 customers" in table.caption


def test_a_balance_above_its_limit_warns(plain) -> None:
    c = plain.customers
    breach = c["current_amount"] > c["limit"]
    assert 0 < breach.sum() < len(c)
    table = tables.customers_table(plain)
    at = [name for name, _ in table.head].index("Today")
    warned = {row[0].text for row in table.rows if row[at].warns}
    assert warned == set(c.index[breach])
    assert all(row[at].text.startswith("▲ ") == row[at].warns for row in table.rows)


def test_missing_numbers_are_dashes_that_sort_apart(bare) -> None:
    table = tables.customers_table(bare)
    assert set(texts(table, "Limit")) == {"–"}
    assert set(values(table, "Limit")) == {None}


def test_excluded_customers_are_grouped_by_reason(plain) -> None:
    reason = plain.customers["reason"].copy()
    reason.iloc[:13] = "excluded: no statement"
    reason.iloc[13] = "excluded: limit 0"
    a = replace(plain, customers=plain.customers.assign(reason=reason))
    table = tables.excluded_table(a)
    assert texts(table, "Reason") == ["No statement", "Limit 0"]
    assert texts(table, "Customers") == ["13", "1"]
    assert values(table, "Open today")[0] == pytest.approx(
        sum(plain.customers["current_amount"].iloc[:13])
    )
    assert texts(table, "Who")[0].endswith(" and 3 more")


def test_of_many_limits_the_dearest_are_listed_and_the_rest_counted(plain) -> None:
    general = plain.shadow_prices[plain.shadow_prices["kind"] != "limit"]
    worth = -np.arange(1.0, 31.0)
    limits = pd.DataFrame(
        {
            "kind": "limit",
            "bound": 100.0,
            "reached": 100.0,
            "binding": True,
            "step": "10,000 EUR more",
            "variance": worth / 1e9,
            "standard_deviation": worth,
        },
        index=[f"limit C{i}" for i in range(30)],
    )
    table = tables.prices_table(replace(plain, shadow_prices=pd.concat([general, limits])))
    assert texts(table, "Condition")[len(general)] == "Limit C29"
    small = limits.assign(bound=np.where(limits.index == "limit C29", 1.0, 100.0))
    table = tables.prices_table(replace(plain, shadow_prices=pd.concat([general, small])))
    assert texts(table, "Condition")[len(general)] == "Limit C28"  # 1 more of limit is worth little
    assert "Limit C29" not in texts(table, "Condition")
    assert len(table.rows) == len(general) + 20
    assert "10 more bind" in table.caption


def test_a_limit_worth_less_than_the_proof_knows_is_no_price(plain) -> None:
    prices = plain.shadow_prices
    noise = prices[prices["kind"] == "limit"].assign(standard_deviation=-1e-14)
    assert len(noise)
    general = prices[prices["kind"] != "limit"]
    table = tables.prices_table(replace(plain, shadow_prices=pd.concat([general, noise])))
    assert len(table.rows) == len(general)


def test_control_totals_show_every_cent(quality) -> None:
    totals, rules, findings = tables.quality_tables(quality)
    assert texts(totals, "Amount") == ["1,234,567.90", "1,234,000.85", "567.05"]
    assert texts(totals, "Count") == ["1,000", "997", "3"]
    assert texts(rules, "What") == ["Missing customer id"]
    assert texts(findings, "Rows") == ["2"]


def test_quality_without_tables_still_shows_its_totals(quality) -> None:
    less = SimpleNamespace(**{k: v for k, v in vars(quality).items() if k[0] in "ra"})
    del less.rules
    assert [table.name for table in tables.quality_tables(less)] == ["quality-totals"]


def test_something_else_than_a_quality_is_a_type_error() -> None:
    with pytest.raises(TypeError, match="rows_read"):
        tables.quality_tables({"rows": 3})


def test_settings_are_readable(plain) -> None:
    table = tables.settings_table(plain)
    shown = dict(zip(texts(table, "Setting"), texts(table, "Value"), strict=True))
    assert shown["Intervals"] == "-1, 0, 0.15, 0.2, 0.235, 0.25"
    assert shown["Periods"] == "0 to 11, 12 in all"
    assert shown["Budget"] == "–"


def test_a_margin_is_told_where_a_confidence_holds_one_back(plain) -> None:
    held = "the margin that its confidence holds back"
    assert held not in tables.evaluation_table(plain).caption
    sure = replace(plain, evaluation=plain.evaluation.assign(margin=0.01))
    assert held in tables.evaluation_table(sure).caption
    older = replace(plain, evaluation=plain.evaluation.drop(columns="margin"))
    assert held not in tables.evaluation_table(older).caption
