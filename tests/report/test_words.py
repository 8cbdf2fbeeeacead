from __future__ import annotations

import datetime
from dataclasses import replace

import pytest

from credit_portfolio.program.certificate import Certificate
from credit_portfolio.report import words


def changed(allocation, **columns):
    """The same allocation with other columns in the customers' table."""
    return replace(allocation, customers=allocation.customers.assign(**columns))


def test_the_headline_has_the_budget_the_customers_and_both_deviations(plain) -> None:
    text = " ".join(words.headline(plain))
    s = plain.summary
    assert f"A budget of {s['budget']:,.0f} EUR" in text
    assert f"{s['n_with_share']} of 40 customers" in text
    now, then = s["standard_deviation"], s["current_standard_deviation"]
    assert f"{100 * (1 - now / then):.1f}% below" in text
    assert "All 5 targets hold." in text


def test_the_origin_says_day_file_and_rows_as_far_as_they_are_known(plain, quality) -> None:
    assert words.origin(plain) == ""
    assert words.origin(plain, quality) == "Ledger: 1,000 rows read, 3 rejected"
    quality.file_name, quality.as_of = "in\u202evoices.csv", datetime.date(2023, 12, 31)
    said = "As of 2023-12-31 · in\ufffdvoices.csv: 1,000 rows read, 3 rejected"
    assert words.origin(plain, quality) == said
    quality.source_rows = 600
    assert words.origin(plain, quality).endswith("600 rows read as 1,000 entries, 3 rejected")
    more = {"as_of": "2024-03-31", "source": "a.csv", "rows_read": 1, "rows_rejected": 0}
    known = replace(plain, summary=plain.summary | more)
    assert words.origin(known) == "As of 2024-03-31 · a.csv: 1 row read, 0 rejected"
    day_only = replace(plain, summary=plain.summary | {"as_of": "2024-03-31"})
    assert words.origin(day_only) == "As of 2024-03-31"


def test_a_missed_target_is_named_with_its_bound(plain) -> None:
    evaluation = plain.evaluation.copy()
    name = evaluation.index[1]
    evaluation.loc[name, ["target", "slack"]] = [0.02, -0.01]
    text = " ".join(words.headline(replace(plain, evaluation=evaluation)))
    assert f"Not met: at most 2.0% in {name}." in text
    assert "targets hold" not in text


def test_a_target_missed_by_less_than_the_certificate_allows_counts_as_held(plain) -> None:
    evaluation = plain.evaluation.assign(slack=-plain.certificate.tolerance)
    assert words.missed_targets(replace(plain, evaluation=evaluation)) == []


def test_a_proof_that_does_not_hold_is_a_warning(plain) -> None:
    broken = replace(plain, certificate=Certificate(1e-3, 0.0, 0.0, 1e-9))
    assert words.headline(broken)[-1].startswith("Take care")


def test_without_current_book_limits_and_targets_the_headline_says_so(bare) -> None:
    text = " ".join(words.headline(bare))
    assert "no current book" in text
    assert "No limits are set." in text
    assert "No interval has a target." in text
    assert "nan" not in text


def test_balances_above_their_limit_are_counted_with_their_excess(plain) -> None:
    c = plain.customers
    held = c["limit"].to_numpy() * 0.5
    held[3] = c["limit"].iloc[3] + 1_000
    text = " ".join(words.headline(changed(plain, current_amount=held)))
    assert "Today one customer owes more than the limit, by 1,000 EUR." in text
    held[4] = c["limit"].iloc[4] + 500
    text = " ".join(words.headline(changed(plain, current_amount=held)))
    assert "Today 2 customers owe more than their limit, by 1,500 EUR together." in text


def test_a_balance_at_its_limit_is_no_breach(plain) -> None:
    at = plain.customers["limit"] + 1e-7
    assert not words.over_limit(changed(plain, current_amount=at)).any()


def test_no_limit_is_no_breach(lonely) -> None:
    assert not words.over_limit(lonely).any()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0.00%"), (0.5, "50.00%"), (1.23456e-7, "0.0000123%"), (float("nan"), "–")],
)
def test_small_deviations_keep_their_figures(value: float, shown: str) -> None:
    assert words.percent_figures(value) == shown


def test_money_has_cents_only_for_small_budgets(plain, bare) -> None:
    assert words.money(1234.567, plain) == "1,235 EUR"
    assert words.money(1234.567, bare) == "1,234.57"
    assert words.money(float("nan"), plain) == "–"


def test_unseen_marks_in_a_label_are_made_visible() -> None:
    assert words.plain_label("\u202egnp\x00.exe\n") == "\ufffdgnp\ufffd.exe\ufffd"


@pytest.mark.parametrize("most", [3, 4, 10, 11])
def test_a_cut_label_has_the_length_asked_for(most: int) -> None:
    cut = words.plain_label("abcdefghijklmnop", most)
    assert len(cut) == most
    assert cut[0] == "a"
    assert cut[-1] == "p"
