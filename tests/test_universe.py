"""Who takes part, and what is said about wrong or missing ids and money."""

from __future__ import annotations

from types import MappingProxyType

import numpy as np
import pandas as pd
import pytest

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.returns.panel import ReturnPanel
from credit_portfolio.universe import assemble


def panel_of(*names, few=(), none=()):
    frame = pd.DataFrame(0.1, index=range(4), columns=[*names])
    frame.loc[2:, list(few)] = np.nan
    frame[list(none)] = np.nan
    return ReturnPanel.from_frame(frame)


ABC = panel_of("A", "B", "C")


def test_the_universe_is_the_union_of_all_that_is_given_in_one_order():
    u = assemble(
        panel_of("C", "A"), limits={"A": 5.0, "B": 6.0, "C": 7.0}, current={"D": 1.0, "A": 2.0}
    )
    assert list(u.customers) == ["A", "B", "C", "D"]
    assert u.customers.name == "customer_id"
    assert u.limit.tolist() == [5, 6, 7, 0]
    assert u.current.tolist() == [2, 0, 0, 1]
    assert u.floor.tolist() == [0, 0, 0, 0]
    assert u.judged.tolist() == u.eligible.tolist() == [True, False, True, False]


def test_without_limits_everybody_with_a_history_may_take_any_amount():
    u = assemble(panel_of("A", "B", few=["B"]))
    assert u.limit.tolist() == [np.inf, np.inf]
    assert u.eligible.tolist() == [True, False]
    assert u.current is None


def test_an_infinite_limit_is_no_limit():
    u = assemble(ABC, limits={"A": np.inf, "B": 1.0, "C": 1.0})
    assert u.limit.tolist() == [np.inf, 1, 1]
    assert u.eligible.all()


@pytest.mark.parametrize(
    ("panel", "limits", "code", "text"),
    [
        (ABC, {"B": 1.0}, "excluded: no statement", "no statement, and so no limit"),
        (panel_of("A", "B", few=["A"]), None, "excluded: too few periods", "2 mature periods"),
        (panel_of("A", "B", none=["A"]), None, "excluded: no sales history", "no sale in a mature"),
        (ABC, {"A": 0.0, "B": 1.0}, "excluded: limit 0", "the limit is 0"),
        # Several reasons: the one to mend first
        (
            panel_of("A", "B", few=["A"]),
            {"B": 1.0},
            "excluded: no statement",
            "no statement, and so no limit",
        ),
    ],
)
def test_an_exclusion_has_a_code_and_a_sentence(panel, limits, code, text):
    u = assemble(panel, limits=limits)
    assert u.exclusion[0] == code
    assert text in u.detail[0]
    assert (u.exclusion[1], u.detail[1]) == ("", "")
    assert u.eligible.tolist()[:2] == [False, True]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ({"reason": "net_worth_not_positive"}, "the limit is 0: net_worth_not_positive"),
        ({"reason": "short", "explanation": "In full."}, "the limit is 0: In full."),
        ({"reason": "short", "explanation": ""}, "the limit is 0: short"),
        ({"reason": "short", "explanation": None}, "the limit is 0: short"),
        ({"reason": np.nan, "explanation": np.nan}, "the limit is 0"),
        ({}, "the limit is 0"),
    ],
)
def test_a_limit_of_zero_passes_its_explanation_on(said, expected):
    frame = pd.DataFrame([{"limit": 5.0, **said}, {"limit": 0.0, **said}], index=["B", "A"])
    u = assemble(ABC, limits=frame)
    assert u.detail[0] == expected


def test_limits_are_matched_by_id_not_by_place():
    frame = pd.DataFrame(
        {"limit": [0.0, 2.0, 0.0], "explanation": ["for C", "for B", "for A"]}, index=list("CBA")
    )
    u = assemble(ABC, limits=frame)
    assert u.limit.tolist() == [0, 2, 0]
    assert u.detail.tolist() == ["the limit is 0: for A", "", "the limit is 0: for C"]


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (name, wrong)
        for name in ("limits", "current", "floors")
        for wrong in (np.nan, -0.01, -np.inf, np.inf)
        if (name, wrong) != ("limits", np.inf)  # which is no limit
    ],
)
def test_money_is_a_number_of_zero_or_more(name, wrong):
    given = {"A": 1.0, "B": wrong, "C": wrong}
    found = f"{name} has 2 entries that are not money of 0 or more, the first for 'B': {wrong}"
    with pytest.raises(DataError, match=found) as caught:
        assemble(ABC, **{name: given})
    assert caught.value.failures["customer_id"].tolist() == ["B", "C"]


@pytest.mark.parametrize("name", ["limits", "current", "floors"])
def test_text_is_no_money(name):
    with pytest.raises(DataError, match=f"{name} holds something that is not a number"):
        assemble(ABC, **{name: {"A": "much"}})


@pytest.mark.parametrize("name", ["limits", "current", "floors"])
@pytest.mark.parametrize("ids", [["A", "A", "B"], [1, "1", "B"]])
def test_a_doubled_id_is_refused(name, ids):
    given = pd.Series([1.0, 2.0, 3.0], index=ids)
    with pytest.raises(DataError, match=f"{name} has customers more than once: '{ids[0]}'"):
        assemble(ABC, **{name: given})


def test_a_doubled_id_in_a_table_of_limits_is_refused():
    frame = pd.DataFrame({"limit": [1.0, 2.0]}, index=["A", "A"])
    with pytest.raises(DataError, match="more than once: 'A'"):
        assemble(ABC, limits=frame)


def test_limits_need_a_column_of_that_name():
    frame = pd.DataFrame({"credit": [1.0]}, index=["A"])
    with pytest.raises(DataError, match="limits has columns 'credit'; expected one named 'limit'"):
        assemble(ABC, limits=frame)


def test_money_tables_have_one_column():
    assert assemble(ABC, current=pd.DataFrame({"x": [1.0]}, index=["A"])).current[0] == 1
    with pytest.raises(DataError, match="current is a table with columns 'x', 'y'"):
        assemble(ABC, current=pd.DataFrame({"x": [1.0], "y": [2.0]}, index=["A"]))


def test_a_mapping_of_any_kind_serves():
    given = MappingProxyType({"A": 1.0, "B": 2.0, "C": 3.0})
    assert assemble(ABC, limits=given).limit.tolist() == [1, 2, 3]
    assert assemble(ABC, limits=dict(given), floors={}).floor.tolist() == [0, 0, 0]


def test_ids_that_differ_only_in_leading_zeros_are_told_apart():
    panel = panel_of("007", "012")
    with pytest.raises(DataError, match=r"limits name '7', '12', the ledger '007', '012'.*zeros"):
        assemble(panel, limits={"7": 1.0, "12": 2.0})
    with pytest.raises(DataError, match="leading zeros"):
        assemble(panel, limits=pd.Series([1.0, 2.0], index=[7, 12]))


def test_empty_limits_are_an_error_and_not_a_book_without_limits():
    with pytest.raises(DataError, match="no customer has both a limit and a sale"):
        assemble(ABC, limits={})


def test_whole_number_ids_are_their_text():
    panel = ReturnPanel.from_frame(pd.DataFrame(0.1, index=range(4), columns=[7, 12]))
    u = assemble(panel, limits=pd.Series([1.0, 2.0], index=[12, 7]), current={7: 5.0})
    assert dict(zip(u.customers, u.limit, strict=True)) == {"12": 1, "7": 2}
    assert u.current[list(u.customers).index("7")] == 5


@pytest.mark.parametrize(
    ("floors", "found"),
    [
        ({"D": 1.0}, "1 customers have a floor but cannot get a share: 'D'"),
        ({"C": 1.0}, "1 customers have a floor but cannot get a share: 'C'"),
        ({"A": 6.0}, r"floor of customer 'A' is 6\.00, above the limit of 5\.00"),
    ],
)
def test_a_floor_needs_a_customer_who_can_hold_it(floors, found):
    with pytest.raises(ModelError, match=found):
        assemble(ABC, limits={"A": 5.0, "B": 5.0, "C": 0.0}, floors=floors)


def test_what_a_reader_must_know_is_found():
    panel = panel_of("A", "B", "C", few=["B"])
    u = assemble(panel, limits={"A": 5.0, "C": 5.0, "X": 1.0, "Y": 1.0}, current={"A": 3, "B": 1})
    assert u.findings == (
        "customers with fewer than 3 periods (1): 'B'",
        "statements that belong to no customer of the ledger (2): 'X', 'Y'",
        "1.00 of today's exposure (25.0%) is with customers who are excluded from the proposal",
    )
    assert assemble(ABC, current={"A": 1}).findings == ()


def test_dropped_periods_and_the_panels_notes_are_passed_on():
    dropped = pd.DataFrame(
        {"period": ["2024Q3", "2024Q4"], "reason": "", "invoices": 1, "amount": 1.0}
    )
    panel = ReturnPanel(
        values=ABC.values,
        customers=ABC.customers,
        periods=ABC.periods,
        costs=ABC.costs,
        min_periods=3,
        convention="",
        dropped=dropped,
        notes=("a note",),
    )
    assert assemble(panel).findings == (
        "a note",
        "periods left out as not yet mature (2): '2024Q3', '2024Q4'",
    )


def test_as_many_periods_as_asked_are_enough():
    frame = pd.DataFrame({"three": [0.1, 0.2, 0.1, np.nan], "two": [0.1, 0.2, np.nan, np.nan]})
    u = assemble(ReturnPanel.from_frame(frame, min_periods=3))
    assert u.judged.tolist() == u.eligible.tolist() == [True, False]


def test_a_customer_without_a_limit_is_still_judged():
    u = assemble(ABC, limits={"A": 1.0, "B": 0.0})
    assert u.judged.all()
    assert u.eligible.tolist() == [True, False, False]


@pytest.mark.parametrize("name", ["limits", "current", "floors"])
def test_text_in_place_of_money_is_not_read_as_a_number(name: str) -> None:
    frame = pd.DataFrame({"A": [0.1, 0.2, 0.1], "B": [0.1, 0.2, 0.2]})
    with pytest.raises(
        DataError, match=f"{name} holds something that is not a number: text for 'A'"
    ):
        assemble(ReturnPanel.from_frame(frame), **{name: {"A": "1,234", "B": 5.0}})


@pytest.mark.parametrize("name", ["limits", "current", "floors"])
def test_money_without_customer_ids_is_a_wrong_type(name: str) -> None:
    frame = pd.DataFrame({"A": [0.1, 0.2, 0.1], "B": [0.1, 0.2, 0.2]})
    with pytest.raises(TypeError, match=f"{name} is a list; expected a Series or a mapping"):
        assemble(ReturnPanel.from_frame(frame), **{name: [1.0, 2.0]})
