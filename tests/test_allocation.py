"""What an analyst reads and a service stores: tables, files, pages."""

from __future__ import annotations

import csv
import dataclasses
import json
from html.parser import HTMLParser

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings, strategies as st

from credit_portfolio.allocation import Allocation
from credit_portfolio.errors import DataError, OutputError
from credit_portfolio.portfolio import CreditPortfolio
from credit_portfolio.returns.panel import ReturnPanel

TABLES = ("customers", "evaluation", "shadow_prices", "periods", "profiles")
NASTY = ["=1+1", "@x", "+x", "-x", "<script>alert(1)</script>", "007", "Ölhandel „Süd“", '"a";b,c']


def fit(names, seed=1, targets="no_worse", **options):
    random = np.random.default_rng(seed)
    n = len(names)
    loss = random.random((16, n)) < random.uniform(0.1, 0.6, n)
    values = np.where(loss, random.uniform(-0.9, 0.24, (16, n)), 0.25)
    panel = ReturnPanel.from_frame(pd.DataFrame(values, columns=names))
    current = pd.Series(random.uniform(100, 5000, n).round(2), index=names)
    limits = (current * 1.2).round(2)
    limits.iloc[-1] = 0.0
    options = {"currency": "EUR", "intervals": [-1, 0, 0.2, 0.25], "good_from": 2} | options
    budget = round(0.9 * float(limits.sum()), 2)
    model = CreditPortfolio(targets=targets, budget=budget, **options)
    return model.fit(panel, limits=limits, current=current).allocation_


@pytest.fixture(scope="module")
def nasty():
    return fit(NASTY, targets={0: 0.9, 2: 0.05})


@pytest.fixture(scope="module")
def plain():
    return fit([f"C{i:04}" for i in range(1000)], targets={0: 0.5})


# --- JSON ---------------------------------------------------------------------------------------


def check_same(one, other):
    for name in TABLES:
        first, second = getattr(one, name), getattr(other, name)
        pd.testing.assert_frame_equal(first, second, check_exact=True)
        assert first.dtypes.to_dict() == second.dtypes.to_dict()
        assert first.index.dtype == second.index.dtype
    assert one.summary == other.summary
    assert one.settings == other.settings
    assert one.findings == other.findings
    assert one.certificate == other.certificate
    assert one.to_json() == other.to_json()


@settings(max_examples=25)
@given(
    seed=st.integers(0, 1000),
    names=st.lists(
        st.text(st.characters(blacklist_categories=["Cs"]), min_size=1, max_size=6),
        min_size=3,
        max_size=8,
        unique=True,
    ),
    options=st.sampled_from(
        [
            {"targets": {}},
            {"targets": {0: 0.9}},
            {"targets": {0: 0.9, 2: 0.0}, "floor": None},
            {"targets": {}, "risk_model": "sample", "max_share": 0.9},
        ]
    ),
)
def test_json_gives_the_same_allocation_back_to_the_last_digit(seed, names, options):
    a = fit(names, seed, **options)
    check_same(a, Allocation.from_json(a.to_json()))


def test_json_survives_books_without_current_limits_or_prices(tmp_path):
    frame = pd.DataFrame({"A": [0.25] * 4, "B": [0.25] * 4})
    model = CreditPortfolio([-1, 0, 0.25], 1, targets={}, budget=10, floor=None)
    a = model.fit(ReturnPanel.from_frame(frame)).allocation_
    check_same(a, Allocation.from_json(a.to_json()))
    assert a.customers["limit"].isna().all()
    assert a.evaluation["current"].isna().all()


def test_json_goes_through_a_file_whole(nasty, tmp_path):
    path = tmp_path / "allocation.json"
    text = nasty.to_json(path)
    assert path.read_text(encoding="utf-8") == text
    check_same(nasty, Allocation.from_json(path))
    check_same(nasty, Allocation.from_json(str(path)))
    assert [item.name for item in tmp_path.iterdir()] == ["allocation.json"]


def test_json_is_strict_and_says_what_it_is(nasty):
    def refuse(word):
        raise AssertionError(f"{word} is no JSON")

    content = json.loads(nasty.to_json(), parse_constant=refuse)
    assert (content["format"], content["version"]) == ("credit_portfolio.allocation", 2)
    assert content["settings"]["targets"] == [0.9, None, 0.05]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("{", "this is not JSON"),
        ("{}", "found format None version None; expected 'credit_portfolio.allocation' version 2"),
        ('{"format": "credit_portfolio.allocation", "version": 3}', "version 3"),
        ('{"format": "credit_portfolio.allocation", "version": 2}', "damaged .*customers"),
    ],
)
def test_text_that_is_no_allocation_is_refused(text, found):
    with pytest.raises(DataError, match=found):
        Allocation.from_json(text)


@pytest.mark.parametrize("missing", [*TABLES, "summary", "certificate", "findings", "settings"])
def test_an_allocation_with_a_part_missing_is_damaged(missing, nasty):
    content = json.loads(nasty.to_json())
    del content[missing]
    with pytest.raises(DataError, match=f"damaged .KeyError: '{missing}'"):
        Allocation.from_json(json.dumps(content))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda content: content["customers"]["columns"].update(share=[1.0]),
        lambda content: content["customers"]["columns"].update(share=["x"] * len(NASTY)),
        lambda content: content.update(customers=[]),
        lambda content: content["certificate"].update(strange=1),
        lambda content: content["customers"]["types"].update(share="no type"),
    ],
)
def test_an_allocation_with_a_part_that_does_not_fit_is_damaged(spoil, nasty):
    content = json.loads(nasty.to_json())
    spoil(content)
    with pytest.raises(DataError, match="the allocation is damaged"):
        Allocation.from_json(json.dumps(content))


@pytest.mark.parametrize("content", [b"[1, 2]", b"null", b"\xff\xfe{", b"no json", b""])
def test_a_file_that_is_no_allocation_is_refused(content, tmp_path):
    path = tmp_path / "a.json"
    path.write_bytes(content)
    with pytest.raises(DataError):
        Allocation.from_json(path)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*gone\.json: No such file"):
        Allocation.from_json(tmp_path / "gone.json")


def test_a_folder_that_is_not_there_cannot_be_written(nasty, tmp_path):
    for write in (nasty.to_json, nasty.to_csv, nasty.to_excel):
        with pytest.raises(OutputError, match="cannot write"):
            write(tmp_path / "nowhere" / "file")


# --- CSV and Excel ------------------------------------------------------------------------------


def test_csv_holds_every_customer_and_no_formula(nasty, tmp_path):
    path = tmp_path / "allocation.csv"
    nasty.to_csv(path)
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["customer_id", *nasty.customers.columns]
    for row, (customer, values) in zip(rows, nasty.customers.iterrows(), strict=True):
        defused = f"'{customer}" if customer[0] in "=+-@" else customer
        assert row["customer_id"] == defused
        assert float(row["amount"]) == round(values["amount"], 2)
        assert float(row["share"]) == values["share"]
        assert row["reason"] == values["reason"]
        for name in ("customer_id", "reason", "explanation"):
            assert not row[name].startswith(("=", "+", "-", "@"))


def test_excel_holds_every_table_and_no_formula(nasty, tmp_path):
    path = tmp_path / "allocation.xlsx"
    nasty.to_excel(path)
    book = openpyxl.load_workbook(path)
    assert book.sheetnames == ["summary", *TABLES]
    for sheet in book.worksheets:
        kinds = {cell.data_type for row in sheet.iter_rows() for cell in row}
        assert "f" not in kinds
    rows = list(book["customers"].iter_rows(values_only=True))
    assert rows[0] == ("customer_id", *nasty.customers.columns)
    assert [row[0] for row in rows[1:]] == list(nasty.customers.index)
    assert [row[2] for row in rows[1:]] == pytest.approx(list(nasty.amounts), rel=1e-15)
    figures = {row[0]: row[1] for row in book["summary"].iter_rows(values_only=True)}
    assert figures["budget"] == pytest.approx(nasty.summary["budget"], rel=1e-15)
    assert figures["certificate"] == str(nasty.certificate)
    periods = list(book["periods"].iter_rows(values_only=True))
    assert [row[0] for row in periods[1:]] == list(nasty.periods.index)


def test_amounts_in_csv_are_cents_and_shares_keep_their_digits(nasty, tmp_path):
    path = tmp_path / "allocation.csv"
    nasty.to_csv(path)
    table = pd.read_csv(path, dtype={"customer_id": str})
    for name in ("amount", "limit", "current_amount", "change"):
        np.testing.assert_array_equal(table[name], nasty.customers[name].round(2))
    for name in ("share", "risk_share", "limit_use"):
        np.testing.assert_allclose(table[name], nasty.customers[name], rtol=1e-15)


def test_excel_shows_money_as_money_and_shares_as_percentages(nasty, tmp_path):
    path = tmp_path / "allocation.xlsx"
    nasty.to_excel(path)
    book = openpyxl.load_workbook(path)
    formats = {
        cell.value: below.number_format
        for cell, below in zip(*book["customers"]["1:2"], strict=True)
    }
    assert formats["amount"] == formats["change"] == "#,##0.00"
    assert formats["share"] == formats["risk_share"] == "0.00%"
    assert formats["periods"] == "General"
    summary = {row[0].value: row[1].number_format for row in book["summary"].iter_rows()}
    assert summary["budget"] == "#,##0.00"
    assert summary["standard_deviation"] == "0.00%"
    prices = book["shadow_prices"]
    at = [cell.value for cell in prices[1]].index("bound")
    shown = {row[1].value: row[at].number_format for row in prices.iter_rows(min_row=2)}
    assert shown["budget"] == "#,##0.00"
    assert shown["target"] == "0.00%"


# --- pages --------------------------------------------------------------------------------------


def test_the_text_page_is_one_page_with_the_figures_that_matter(plain):
    page = repr(plain)
    s = plain.summary
    assert len(page.splitlines()) < 60
    assert max(map(len, page.splitlines())) < 160
    for part in (
        f"{s['budget']:,.2f} EUR",
        f"{s['standard_deviation']:.4%} of cost",
        f"{s['current_standard_deviation']:.4%}",
        f"{s['n_with_share']:,} with a share",
        f"{s['n_excluded']:,} excluded",
        "holds at 1e-09",
        "50.00%",
        "Shadow prices",
    ):
        assert part in page
    largest = plain.customers.nlargest(10, "amount")
    for customer, amount in largest["amount"].items():
        line = next(line for line in page.splitlines() if line.split()[:1] == [customer])
        assert f"{amount:,.2f}" in line
    assert all(finding in page for finding in plain.findings)


def test_both_pages_begin_with_the_day(plain):
    assert plain.summary["as_of"] is None
    assert repr(plain).splitlines()[0] == "Allocation of credit"
    a = dataclasses.replace(plain, summary=plain.summary | {"as_of": "2023-12-31"})
    assert repr(a).splitlines()[0] == "Allocation of credit as of 2023-12-31"
    assert "<h3>Allocation of credit as of 2023-12-31</h3>" in a._repr_html_()


def test_pages_name_the_file_and_its_rows_where_they_are_known(plain):
    more = {"source": "a<b>.csv", "rows_read": 20022, "rows_rejected": 17}
    a = dataclasses.replace(plain, summary=plain.summary | more)
    assert "a<b>.csv: 20,022 rows read, 17 rejected" in repr(a)
    assert "a&lt;b&gt;.csv: 20,022 rows read, 17 rejected" in a._repr_html_()
    assert "rows read" not in repr(plain)


def test_an_allocation_stored_before_there_was_a_day_still_shows(plain):
    old = {name: value for name, value in plain.summary.items() if name != "as_of"}
    assert repr(dataclasses.replace(plain, summary=old)) == repr(plain)


def test_bounds_are_money_for_the_budget_and_percent_for_targets(plain):
    page = repr(plain).split("Shadow prices")[1].split("Largest")[0]
    lines = {line.split()[0]: line for line in page.splitlines() if line.split()}
    assert f" {plain.summary['budget']:,.2f} " in lines["budget"]
    assert " 50.00% " in lines["target"]
    assert "e+" not in page


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.text = [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.text.append(data)


def test_the_html_page_shows_a_script_as_text():
    a = fit(["<script>alert(1)</script>", "<img src=x onerror=y>", "B"], targets={}, currency="<b>")
    a = dataclasses.replace(a, findings=(*a.findings, "a <script>x</script> & more"))
    page = a._repr_html_()
    tags = Tags()
    tags.feed(page)
    kinds = {tag for tag, _ in tags.tags}
    assert kinds <= {"div", "h3", "h4", "table", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert not any(name.startswith("on") for _, attributes in tags.tags for name in attributes)
    text = "".join(tags.text)
    for part in ("<script>alert(1)</script>", "<img src=x onerror=y>", "a <script>x</script> & mo"):
        assert part in text
    assert "<script" not in page


def test_both_pages_show_the_same_headline(plain):
    tags = Tags()
    tags.feed(plain._repr_html_())
    shown = set(tags.text)
    page = repr(plain)
    assert f"{plain.summary['budget']:,.2f} EUR" in shown
    assert str(plain.certificate) in shown
    for title in ("Evaluation: B against its targets", "Largest amounts", "Findings"):
        assert title in shown
        assert title in page


# --- tables -------------------------------------------------------------------------------------


def test_a_table_handed_out_is_a_copy(nasty):
    frame = nasty.to_frame()
    before = nasty.customers.copy()
    frame.loc[:, "share"] = 9.0
    pd.testing.assert_frame_equal(nasty.customers, before)
    with pytest.raises(dataclasses.FrozenInstanceError):
        nasty.customers = frame


def test_the_short_names_are_columns_of_the_customers_table(nasty):
    pd.testing.assert_series_equal(nasty.shares, nasty.customers["share"])
    pd.testing.assert_series_equal(nasty.amounts, nasty.customers["amount"])
    pd.testing.assert_series_equal(nasty.reasons, nasty.customers["reason"])


def test_every_documented_column_is_there_and_no_other(nasty, plain):
    text = Allocation.__doc__
    for a in (nasty, plain):
        for name in TABLES[:3]:
            for column in getattr(a, name).columns:
                assert f"``{column}``" in text, column
        assert list(a.periods.columns) == ["proposed", "current"]


def test_counts_add_up_to_the_customers(nasty, plain):
    for a in (nasty, plain):
        s = a.summary
        assert s["n_customers"] == len(a.customers)
        assert s["n_with_share"] + s["n_without_share"] + s["n_excluded"] == s["n_customers"]
        assert s["n_excluded"] == a.reasons.str.startswith("excluded").sum()
        assert s["amount"] == pytest.approx(s["budget"], rel=1e-12)


def test_settings_hold_what_is_needed_to_repeat_the_run(nasty):
    s = nasty.settings
    assert s["intervals"] == [-1, 0, 0.2, 0.25]
    assert s["good_from"] == 2
    assert s["targets_origin"] == "explicit"
    assert s["returns"] == "returns as given"
    assert (s["risk_model"], s["operator"], s["floor"]) == (
        "ledoit_wolf",
        "weighted_average",
        "smoothed",
    )
    assert s["solver"] == "dual_newton"
    assert len(s["periods"]) == 16
