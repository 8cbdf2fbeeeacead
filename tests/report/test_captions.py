from __future__ import annotations

from dataclasses import replace

import numpy as np

from credit_portfolio.report import captions


def changed(allocation, **columns):
    """The same allocation with other columns in the customers' table."""
    return replace(allocation, customers=allocation.customers.assign(**columns))


def test_customers_who_owe_without_any_limit_are_counted_apart(plain) -> None:
    limit = plain.customers["limit"].copy()
    limit.iloc[:2] = 0.0
    text = captions.limits_words(changed(plain, limit=limit))
    assert "2 of them with no limit at all" in text


def test_the_sentence_on_b_adds_up_the_bad_intervals(plain) -> None:
    bad = plain.evaluation[plain.evaluation["kind"] == "bad"]
    text = captions.evaluation_words(plain)
    assert f"{100 * sum(bad['proposed']):.1f}% falls in bad" in text
    assert f"today's {100 * sum(bad['current']):.1f}%" in text


def test_risk_equal_to_credit_but_for_rounding_is_not_above_it(lonely) -> None:
    same = changed(lonely, risk_share=lonely.customers["share"] + 1e-12)
    assert captions.risk_words(same).endswith("there are none.")
    more = changed(lonely, risk_share=lonely.customers["share"] + 0.01)
    assert "1 customer, most of all only" in captions.risk_words(more)


def test_the_allocations_own_two_sentences_end_the_words_on_b(plain) -> None:
    said = "B is this. The book is that."
    a = replace(plain, summary=plain.summary | {"mixture_and_portfolio": said})
    assert captions.evaluation_words(a).endswith(said)
    older = {k: v for k, v in plain.summary.items() if k != "mixture_and_portfolio"}
    assert captions.evaluation_words(replace(plain, summary=older)).endswith(
        " ".join(captions.MIXTURE)
    )


def test_a_band_is_spoken_of_only_where_there_is_one(plain) -> None:
    blank = plain.evaluation.assign(credible_low=np.nan, credible_high=np.nan)
    assert "95%" not in captions.evaluation_words(replace(plain, evaluation=blank))
    known = plain.evaluation.assign(credible_low=0.0, credible_high=1.0)
    assert "95%" in captions.evaluation_words(replace(plain, evaluation=known))


def test_the_words_on_p_count_the_rows_and_those_of_a_class(judged) -> None:
    text = captions.profiles_words(judged, 40)
    assert "Of 45 customers with a row, the 40 largest amounts are shown." in text
    assert "† marks 1 customer with too few periods of his own" in text
    assert "counts the periods" in text
    halves = [name for name in judged.profiles.columns if name.endswith("(periods)")]
    fuzzy = judged.profiles.copy()
    fuzzy[halves] = fuzzy[halves] / 2
    assert "adds up the degrees" in captions.profiles_words(replace(judged, profiles=fuzzy), 40)


def test_plain_frequencies_are_not_said_to_be_drawn_to_a_class(judged) -> None:
    assert "drawn towards" in captions.profiles_words(judged, 40)
    names = list(judged.evaluation.index)
    plain = judged.profiles.copy()
    plain[names] = plain[[f"{name} (periods)" for name in names]].to_numpy() / 12
    assert "drawn towards" not in captions.profiles_words(replace(judged, profiles=plain), 40)


def test_the_words_on_prices_name_the_dearest_and_count_the_free(plain) -> None:
    text = captions.prices_words(plain, 1)
    table = plain.shadow_prices
    general = table[table["kind"] != "limit"]
    free = int((general[["standard_deviation", "standard_deviation_less"]] == 0).all(axis=1).sum())
    assert free > 0
    assert f" {free} other condition" in text
    assert "The 1 dearest of" in text
