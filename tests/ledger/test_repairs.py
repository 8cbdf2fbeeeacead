"""Repairs that a caller asks for: held against plain Python, and refused where they cannot work."""

from __future__ import annotations

import calendar
import datetime
import re
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.errors import DataError, ModelError
from credit_portfolio.ledger.currency import daily_rates
from credit_portfolio.ledger.examination import examine, exposures, possible_copies
from credit_portfolio.ledger.identities import look_alikes
from credit_portfolio.ledger.opening import open_entries
from credit_portfolio.ledger.profiles import Sides
from credit_portfolio.ledger.repairs import MOST_MERGED, Repairs, Terms
from credit_portfolio.ledger.source import open_ledger

FEW = settings(max_examples=12)  # each example opens a ledger; it holds many rows


def rounded(value: Fraction) -> Decimal:
    """Return a fraction above 0 with four decimals, halves up."""
    units = value * 10_000
    whole = units.numerator // units.denominator
    return Decimal(whole + (units - whole >= Fraction(1, 2))) / 10_000


def book_of(rows: list[dict[str, object]]) -> pd.DataFrame:
    columns = {
        "customer_id": "C1",
        "invoice_date": "2024-01-10",
        "due_date": "2024-12-31",
        "settled_date": "",
        "settled_amount": "",
        "written_off_amount": "",
    }
    return pd.DataFrame([columns | {"invoice_id": str(i)} | row for i, row in enumerate(rows)])


# --- terms --------------------------------------------------------------------------------------


def due_by_hand(day: datetime.date, days: int, end: str) -> datetime.date:
    def last(of: datetime.date) -> datetime.date:
        return of.replace(day=calendar.monthrange(of.year, of.month)[1])

    due = (last(day) if end == "before" else day) + datetime.timedelta(days=days)
    return last(due) if end == "after" else due


@FEW
@given(
    days=st.lists(
        st.dates(datetime.date(1999, 1, 1), datetime.date(2025, 1, 31)), min_size=1, max_size=20
    ),
    terms=st.tuples(st.integers(0, 120), st.sampled_from(["", "before", "after"])),
)
def test_terms_give_the_day_that_a_calendar_gives(days, terms):
    rows = [{"invoice_date": day.isoformat(), "due_date": "", "amount": "1"} for day in days]
    frame = open_ledger(book_of(rows), repairs=Repairs(terms=Terms(*terms))).to_frame()
    found = dict(zip(frame["invoice_id"], frame["due_date"].dt.date, strict=True))
    assert found == {str(i): due_by_hand(day, *terms) for i, day in enumerate(days)}


def test_blank_terms_take_the_default_and_unknown_ones_do_not(book):
    frame = book({"due_date": "", "region": " "}, {"due_date": "", "region": "odd"})
    repairs = Repairs(terms=5, terms_column="REGION", terms_codes={"North": 10})
    ledger = open_ledger(frame, repairs=repairs)
    assert ledger.to_frame()["due_date"].dt.strftime("%d").tolist() == ["15"]
    assert ledger.quality.rejected["rule"].tolist() == ["unreadable_due_date"]


def test_a_due_date_that_is_there_is_never_replaced(book):
    frame = book({}, {"due_date": "soon"}, {"due_date": "2024-01-09"})
    ledger = open_ledger(frame, repairs=Repairs(terms=99))
    assert str(ledger.to_frame()["due_date"][0].date()) == "2024-02-09"
    rules = ledger.quality.rejected["rule"].tolist()
    assert rules == ["unreadable_due_date", "due_before_invoiced"]


# --- money that is multiplied -------------------------------------------------------------------

CENTS = st.integers(1, 10**11)


@st.composite
def parts(draw) -> tuple[Decimal, Decimal, Decimal]:
    """Return an amount, what was settled, and what was written off, some of them in full."""
    amount = draw(CENTS)
    settled = draw(st.one_of(st.just(amount), st.just(0), st.integers(0, amount)))
    left = amount - settled
    lost = draw(st.one_of(st.just(left), st.just(0), st.integers(0, left)))
    return Decimal(amount) / 100, Decimal(settled) / 100, Decimal(lost) / 100


@FEW
@given(rows=st.lists(parts(), min_size=1, max_size=30), rate=st.sampled_from(["0.19", "0.07"]))
def test_tax_is_taken_off_exactly_and_what_is_settled_in_full_stays_so(rows, rate):
    frame = book_of(
        [
            {
                "amount": str(a),
                "settled_date": "2024-02-01",
                "settled_amount": str(s),
                "written_off_amount": str(w),
            }
            for a, s, w in rows
        ]
    )
    ledger = open_ledger(frame, repairs=Repairs(vat_rate=rate))
    found = ledger.to_frame().set_index("invoice_id")
    share = 1 / (1 + Fraction(rate))
    for i, (amount, settled, lost) in enumerate(rows):
        row = found.loc[str(i)]
        assert row["amount"] == rounded(Fraction(amount) * share)
        assert row["collected"] == rounded(Fraction(settled) * share)
        assert row["open"] >= 0
        if settled + lost == amount:
            assert row["open"] == 0
        assert abs(row["written_off"] - rounded(Fraction(lost) * share)) <= Decimal("0.0002")
    quality = ledger.quality
    assert quality.rows_accepted == len(rows)
    assert quality.amount_accepted == sum(found["amount"])


@FEW
@given(
    rows=st.lists(
        st.tuples(st.sampled_from(["USD", "JPY", "EUR", ""]), CENTS, st.integers(0, 40)),
        min_size=1,
        max_size=30,
    )
)
def test_conversion_agrees_with_a_search_for_the_last_rate(rows):
    first = datetime.date(2024, 1, 10)
    known = [("USD", 0, "0.9137"), ("USD", 3, "0.95"), ("USD", 20, "0.88"), ("JPY", 0, "0.0061")]
    rates = pd.DataFrame(
        [(c, first + datetime.timedelta(days=d), r) for c, d, r in known],
        columns=["currency", "date", "rate"],
    )
    frame = book_of(
        [
            {
                "currency": currency,
                "amount": str(Decimal(cents) / 100),
                "invoice_date": (first + datetime.timedelta(days=day)).isoformat(),
            }
            for currency, cents, day in rows
        ]
    )
    wanted = {}
    for i, (currency, cents, day) in enumerate(rows):
        rate = Decimal(1) if currency == "EUR" else None
        for c, since, r in known:
            if c == currency and since <= day <= since + 25:
                rate = Decimal(r)
        if rate is not None:
            value = Decimal(cents) / 100 * rate
            wanted[str(i)] = value.quantize(Decimal("0.0001"), ROUND_HALF_UP)
    repairs = Repairs(rates=rates, max_rate_age_days=25)
    if len(wanted) < len(rows):
        with pytest.raises(DataError, match="no rate in force") as error:
            open_ledger(frame, currency="eur", repairs=repairs)
        assert set(error.value.failures["invoice_id"]).isdisjoint(wanted)
        assert len(error.value.failures) + len(wanted) == len(rows)
        return
    found = open_ledger(frame, currency="eur", repairs=repairs).to_frame()
    assert dict(zip(found["invoice_id"], found["amount"], strict=True)) == wanted


def test_all_money_of_a_row_is_converted_and_shown_in_one_currency(book):
    frame = book(
        {
            "currency": "USD",
            "settled_date": "2024-02-01",
            "settled_amount": "60",
            "written_off_amount": "10",
        },
        {"currency": "USD", "invoice_date": "bad"},
    )
    rates = pd.DataFrame({"currency": ["usd "], "date": ["2024-01-10"], "rate": [0.5]})
    ledger = open_ledger(frame, currency="EUR", repairs=Repairs(rates=rates))
    row = ledger.to_frame().iloc[0]
    assert [row[n] for n in ("amount", "collected", "written_off", "open")] == [50, 30, 5, 15]
    quality = ledger.quality
    # A row without a day has no rate, so it adds nothing; it is counted as such.
    assert (quality.amount_rejected, quality.rows_without_readable_amount) == (0, 1)


def test_money_that_grows_too_large_is_rejected(book):
    rates = pd.DataFrame({"currency": ["USD"], "date": ["2024-01-10"], "rate": ["17000"]})
    frame = book({"currency": "USD", "amount": "9999999999.00"}, {"currency": "USD"})
    ledger = open_ledger(frame, currency="IDR", repairs=Repairs(rates=rates))
    assert ledger.quality.rejected["rule"].tolist() == ["amount_too_large"]
    assert ledger.exposure().tolist() == [1_700_000.0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"rate": 0}, "above 0"),
        ({"rate": -1}, "above 0"),
        ({"rate": "x"}, "above 0"),
        ({"rate": float("nan")}, "above 0"),
        ({"rate": "0.00000000004"}, "ten decimals"),
        ({"date": "soon"}, "a day such as"),
        ({"date": "2024-01-02"}, "share currency and day"),
        ({"currency": "EUR", "rate": 1.1}, "the rate of EUR is 1.1"),
        ({"currency": ""}, "a currency"),
    ],
)
def test_rates_that_are_none_are_refused(change, words):
    good = {"currency": "USD", "date": "2024-01-02", "rate": 0.9}
    rates = pd.DataFrame([good, good | {"date": "2024-01-01"} | change])
    with pytest.raises(DataError, match=re.escape(words)):
        daily_rates(rates, "EUR")


def test_rates_need_their_columns_and_rows():
    with pytest.raises(DataError, match="no column 'rate'"):
        daily_rates(pd.DataFrame({"currency": ["USD"], "date": ["2024-01-01"]}), "EUR")
    with pytest.raises(DataError, match="no rows"):
        daily_rates(pd.DataFrame({"currency": [], "date": [], "rate": []}), "EUR")
    with pytest.raises(ModelError, match="0 to 366"):
        daily_rates(pd.DataFrame({"currency": [], "date": [], "rate": []}), "EUR", 1000)


def test_a_rate_is_not_used_beyond_its_age_even_between_two_rates():
    rates = pd.DataFrame({"currency": "USD", "date": ["2024-01-01", "2024-01-10"], "rate": [1, 2]})
    days = [day.day for day in daily_rates(rates, "EUR", 2)["date"]]
    assert days == [1, 2, 3, 10, 11, 12]


# --- what cannot be asked for -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"terms": -1}, "0 to 3650"),
        ({"terms_column": "t"}, "without the other"),
        ({"terms_codes": {"a": 1}}, "without the other"),
        ({"vat_column": "t"}, "without the other"),
        ({"vat_rate": 19}, "such as 0.19"),
        ({"vat_rate": "x"}, "such as 0.19"),
        ({"vat_rate": 0.19, "vat_column": "t", "vat_codes": {"a": 0}}, "one of them"),
        ({"same_customer": {"a": "b", "b": "c"}}, "one step"),
        ({"same_customer": {str(i): "x" for i in range(MOST_MERGED + 1)}}, "at most 1,000"),
    ],
)
def test_repairs_that_make_no_sense_are_model_errors(options, words):
    with pytest.raises(ModelError, match=words):
        Repairs(**options)


@pytest.mark.parametrize(
    "options",
    [
        {"terms": "30"},
        {"terms": True},
        {"same_customer": {7: "0007"}},
        {"set_apart": {"UMSKZ": "AW"}},
        {"netted": {"x": "AB"}},
    ],
)
def test_repairs_of_a_wrong_type_are_type_errors(options):
    with pytest.raises(TypeError):
        Repairs(**options)


def test_end_of_month_is_before_or_after():
    with pytest.raises(ModelError, match="'before'"):
        Terms(30, "later")


def test_a_column_that_is_not_there_is_named_with_a_near_one(book):
    with pytest.raises(DataError, match=r"no column 'regoin'.*Did you mean 'region'"):
        open_ledger(book({}), repairs=Repairs(netted={"regoin": ("AB",)}))


@pytest.mark.parametrize("name", ["SHKZG", "Debit/Credit", "umskz"])
def test_flags_of_the_bookkeeper_are_asked_about_whatever_their_case(book, name):
    with pytest.raises(DataError, match="expected to be told"):
        open_ledger(book({}).rename(columns={"region": name}))


def test_no_repairs_change_nothing(book):
    frame = book({}, {"due_date": ""}, {"amount": "-1"}, {"currency": "EUR", "disputed": "yes"})
    plain, asked = open_ledger(frame), open_ledger(frame, repairs=Repairs())
    assert repr(plain.quality) == repr(asked.quality)
    pd.testing.assert_frame_equal(plain.to_frame(), asked.to_frame())
    pd.testing.assert_frame_equal(plain.quality.rules, asked.quality.rules)


def test_a_row_that_is_set_apart_is_kept_with_its_reason_and_money(book):
    frame = book({}, {"region": "bill", "amount": "30"}, {"region": " BILL ", "due_date": ""})
    quality = open_ledger(frame, repairs=Repairs(set_apart={"region": ["bill"]})).quality
    assert quality.rejected["row"].tolist() == [2, 3]
    assert quality.rejected["reason"].unique().tolist() == ["set_apart says that the row is no "
                                                            "invoice"]  # fmt: skip
    assert quality.amount_read == quality.amount_accepted + quality.amount_rejected == 230
    assert quality.rows_read == quality.rows_accepted + quality.rows_rejected == 3


def test_credits_by_their_flag_are_no_invoices_and_debits_stay(book):
    frame = book({"region": "S"}, {"region": "h", "amount": "40"}, {"region": ""})
    ledger = open_ledger(frame, repairs=Repairs(sides=Sides("region", ("S",), ("H",))))
    assert ledger.quality.rejected["rule"].tolist() == ["amount_not_positive", "unreadable_side"]
    assert ledger.quality.amount_rejected == 60


def test_merged_customers_are_compared_as_one(book):
    frame = book({"customer_id": "7", "invoice_id": "A"}, {"customer_id": "07", "invoice_id": "A"})
    assert set(open_ledger(book({}, *frame.to_dict("records"))).quality.rejected["rule"]) == {
        "conflicting_copies"
    }
    ledger = open_ledger(frame, repairs=Repairs(same_customer={"7": "07"}))
    assert ledger.quality.rejected["rule"].tolist() == ["identical_copy"]


# --- what is looked for -------------------------------------------------------------------------


@FEW
@given(st.lists(st.text("0Aa1- .", min_size=1, max_size=5), min_size=1, max_size=25))
def test_ids_are_alike_as_plain_python_says(ids):
    ids = [f"{name}9" for name in ids]
    ledger = open_ledger(book_of([{"customer_id": name, "amount": "1"} for name in ids]))
    groups: dict[str, set[str]] = {}
    for name in ids:
        bare = re.sub("[^0-9a-z]", "", name.strip().lower()).lstrip("0")
        groups.setdefault(bare, set()).add(name.strip())
    wanted = sorted(
        (bare, name) for bare, names in groups.items() if len(names) > 1 for name in names
    )
    found = look_alikes(ledger)[["alike", "customer_id"]]
    assert sorted(map(tuple, found.values.tolist())) == wanted


def test_ids_of_other_letters_or_zeros_only_are_not_alike(book):
    ids = ["000", "0", "甲", "乙", "--", "-"]
    ledger = open_ledger(book(*[{"customer_id": name} for name in ids]))
    assert look_alikes(ledger).empty


def test_names_are_looked_for_in_a_column_that_is_there(book):
    with pytest.raises(ModelError, match="Did you mean 'region'"):
        look_alikes(open_ledger(book({})), names="regions")


def test_an_examination_changes_no_figure_and_can_be_repeated(book):
    ledger = open_ledger(book({}, {}, {"amount": "1", "customer_id": "c1"}))
    once = examine(ledger, names="region", vat_rates=(0.2,))
    twice = examine(once, names="region", vat_rates=(0.2,))
    pd.testing.assert_frame_equal(once.quality.findings, twice.quality.findings)
    assert once.quality.notes == twice.quality.notes
    pd.testing.assert_series_equal(once.exposure(), ledger.exposure())
    names = once.quality.findings["finding"].tolist()
    assert names == [
        "maybe_rekeyed",
        "similar_customer_ids",
        "one_name_several_ids",
        "not_yet_due",
        "open_at_as_of",
    ]


def test_an_examination_looks_no_further_than_its_day(book):
    march = {"invoice_date": "2024-03-01", "due_date": "2024-03-31"}
    frame = book({}, march, march)
    early = examine(open_ledger(frame, as_of="2024-02-01"))
    assert "maybe_rekeyed" not in early.quality.findings["finding"].tolist()
    late = examine(open_ledger(frame, as_of="2024-03-02"))
    assert "maybe_rekeyed" in late.quality.findings["finding"].tolist()
    assert possible_copies(late)["invoice_id"].tolist() == ["2", "3"]


def test_a_tax_rate_that_is_none_is_refused(book):
    with pytest.raises(ModelError, match=r"such as 0\.19"):
        examine(open_ledger(book({})), vat_rates=[19])


# --- exposure -----------------------------------------------------------------------------------


def test_disputed_money_has_a_column_and_counts_unless_held_out(book):
    ledger = open_ledger(book({}, {"disputed": "yes", "amount": "40"}, {"customer_id": "C2"}))
    counted = exposures(ledger)
    assert counted.loc["C1"].tolist() == [100.0, 40.0, 0.0, 140.0]
    pd.testing.assert_series_equal(counted["exposure"], ledger.exposure())
    held = exposures(ledger, hold_out_disputed=True)
    assert held["exposure"].tolist() == [100.0, 100.0]
    assert held["disputed"].tolist() == [40.0, 0.0]


@pytest.mark.parametrize("cells", [[-1], ["x"], [float("nan")], [None], [True], [float("inf")]])
def test_orders_that_are_no_money_are_refused(book, cells):
    with pytest.raises(DataError, match="no money") as error:
        exposures(open_ledger(book({})), pd.Series(cells, index=["C1"], dtype=object))
    assert list(error.value.failures.index) == ["C1"]


def test_orders_name_each_customer_once_and_as_text(book):
    ledger = open_ledger(book({}))
    with pytest.raises(DataError, match="more than once"):
        exposures(ledger, pd.Series([1, 2], index=["C1", "C1"]))
    with pytest.raises(DataError, match="leading zeros"):
        exposures(ledger, pd.Series([1, 2], index=[1, 2]))
    with pytest.raises(TypeError, match="Series"):
        exposures(ledger, {"C1": 1})


# --- entries ------------------------------------------------------------------------------------


def entries_of(*rows: tuple[str, ...]) -> pd.DataFrame:
    names = "customer_id document against_document kind booking_date due_date end_date amount"
    return pd.DataFrame(rows, columns=names.split())


BOOKED = entries_of(
    ("7", "I1", "", "invoice", "2024-01-31", "", "", "100"),
    ("07", "I2", "", "invoice", "2024-01-31", "2024-02-05", "", "50"),
    ("07", "I3", "", "invoice", "2024-01-31", "soon", "", "9"),
    ("7", "P1", "I2", "payment", "2024-02-10", "", "", "-20"),
    ("7", "P2", "", "payment_on_account", "2024-02-10", "", "", "-30"),
    ("07", "D1", "I1", "dispute", "2024-02-15", "", "2024-03-15", ""),
)


def findings_of(ledger) -> dict[str, tuple[int, Decimal]]:
    frame = ledger.quality.findings
    return {name: (rows, money) for name, rows, money, _ in frame.itertuples(index=False)}


def test_entries_take_terms_and_merged_customers():
    repairs = Repairs(terms=Terms(10, "before"), same_customer={"7": "07"})
    ledger = open_entries(BOOKED, as_of="2024-02-20", repairs=repairs)
    frame = ledger.to_frame().set_index("invoice_id")
    assert frame["due_date"].dt.strftime("%m-%d").to_dict() == {"I1": "02-10", "I2": "02-05"}
    assert ledger.exposure().to_dict() == {"07": 130.0}
    assert ledger.unapplied().loc["07", "unapplied_cash"] == 30
    assert ledger.quality.rejected["rule"].tolist() == ["unreadable_due_date"]  # "soon" is no blank
    found = findings_of(ledger)
    assert found["due_date_from_terms"] == (1, Decimal(100))
    assert found["merged_customers"] == (3, Decimal(50))
    assert "paid_by_another_customer" not in found
    assert findings_of(ledger.on("2024-02-05"))["due_date_from_terms"] == (1, Decimal(100))


def test_entries_hold_out_invoices_while_they_are_disputed():
    ledger = open_entries(
        BOOKED, as_of="2024-02-20", repairs=Repairs(terms=30, hold_out_disputed=True)
    )
    assert ledger.exposure().to_dict() == {"07": 30.0}
    assert findings_of(ledger)["held_out_disputed"] == (1, Decimal(100))
    assert ledger.quality.control_totals.loc["open", "money"] == 30
    later = ledger.on("2024-03-15")
    assert later.exposure().to_dict() == {"07": 30.0, "7": 100.0}
    assert "held_out_disputed" not in findings_of(later)


def test_entries_without_a_column_of_due_dates_take_terms():
    frame = BOOKED.iloc[:1].drop(columns=["due_date", "end_date"])
    with pytest.raises(DataError, match="due_date"):
        open_entries(frame)
    ledger = open_entries(frame, repairs=Repairs(terms=1))
    assert str(ledger.to_frame()["due_date"][0].date()) == "2024-02-01"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"rates": pd.DataFrame()}, "one ledger for each currency"),
        ({"terms_column": "t", "terms_codes": {"a": 1}}, "due_days"),
        ({"vat_rate": 0.19}, "one kind"),
        ({"sides": Sides("x", ("S",), ("H",))}, "a profile with sides"),
        ({"set_apart": {"x": ("A",)}}, "unmapped_row"),
        ({"netted": {"x": ("A",)}}, "KindRule"),
    ],
)
def test_what_a_profile_has_to_say_is_no_repair_of_entries(options, words):
    with pytest.raises(ModelError, match=words):
        open_entries(BOOKED, repairs=Repairs(**options))


@pytest.mark.parametrize("open_", [open_ledger, open_entries])
def test_repairs_that_are_none_are_refused_in_words(open_) -> None:
    with pytest.raises(TypeError, match=r"repairs is 30; expected Repairs\(\.\.\.\)"):
        open_(pd.DataFrame({"customer_id": ["1"]}), repairs=30)
