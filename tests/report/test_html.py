from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import pandas as pd
import pytest

from credit_portfolio.errors import DataError, OutputError
from credit_portfolio.report import write_report


class Page(HTMLParser):
    """What a browser would make of the page: elements, attributes, texts, scripts."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []
        self.scripts: list[str] = []
        self.inside = ""
        self.feed(source)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.inside = tag
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self.inside = ""

    def handle_data(self, data: str) -> None:
        if self.inside == "script":
            self.scripts.append(data)
        else:
            self.texts.append(data)

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.elements if name == tag]


def written(tmp_path, allocation, **options) -> Page:
    path = write_report(allocation, tmp_path / "report.html", **options)
    return Page(path.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def hostile_page(tmp_path_factory, hostile, ageing) -> Page:
    return written(
        tmp_path_factory.mktemp("hostile"),
        hostile,
        ageing=ageing(hostile),
        title="</title><script>1</script>",
        notes=["<b>note</b>"],
    )


EVERY = (
    "evaluation", "profiles", "shares", "risk", "limits", "ageing", "prices", "frontier",
    "backtest",
)  # fmt: skip


def test_a_full_report_has_every_part_in_order(
    tmp_path, judged, ageing, quality, swept, walked
) -> None:
    page = written(
        tmp_path,
        judged,
        ageing=ageing(judged),
        quality=quality,
        frontier=swept("expected_return", points=3),
        backtest=walked,
        notes=["Simulated."],
    )
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    pictures = [a["id"] for a in page.named("div") if "picture" in (a.get("class") or "")]
    assert pictures == [f"{name}-picture" for name in EVERY]
    assert walked.winners() in "".join(page.texts)
    assert list(json.loads(page.scripts[0])) == [p.removesuffix("-picture") for p in pictures]
    assert "Simulated." in page.texts
    for table in page.named("table"):
        assert table["id"]
    assert len(page.named("caption")) == len(page.named("table"))
    assert all(a["aria-label"] for a in page.named("div") if a.get("role") == "img")


def test_notes_of_frontier_and_backtest_stand_with_their_tables(
    tmp_path, plain, swept, walked
) -> None:
    out_of_reach = swept("expected_return", values=[0.0, 0.9])
    assert out_of_reach.notes
    noted = replace(walked, notes=("one day is left out: <b>",))
    page = written(tmp_path, plain, frontier=out_of_reach, backtest=noted)
    for note in (*out_of_reach.notes, *noted.notes):
        assert note in page.texts
    assert {"#frontiers", "#backtests"} <= {a["href"] for a in page.named("a")}
    ids = {a["id"] for a in page.named("table")}
    assert {"frontier-table", "backtest-table"} <= ids


def test_without_studies_the_page_has_no_place_for_them(tmp_path, plain) -> None:
    page = written(tmp_path, plain)
    ids = {a.get("id") for _, a in page.elements}
    assert not ids & {"frontiers", "backtests", "frontier", "backtest"}


def test_something_else_as_a_study_is_a_type_error_and_leaves_nothing(tmp_path, plain) -> None:
    with pytest.raises(TypeError, match="frontier"):
        write_report(plain, tmp_path / "r.html", frontier=plain)
    with pytest.raises(TypeError, match="backtest"):
        write_report(plain, tmp_path / "r.html", backtest={})
    assert list(tmp_path.iterdir()) == []


def test_the_header_says_day_and_source_before_anything_else(tmp_path, plain, quality) -> None:
    quality.file_name = "<b>in</b>.csv"
    a = replace(plain, summary=plain.summary | {"as_of": "2023-12-31"})
    page = written(tmp_path, a, quality=quality)
    kinds = [attributes.get("class") for _, attributes in page.elements]
    assert kinds.index("origin") < kinds.index("headline")
    origin = "As of 2023-12-31 · <b>in</b>.csv: 1,000 rows read, 3 rejected"
    assert origin in page.texts


def test_ids_on_the_page_are_unique_and_links_lead_to_them(tmp_path, plain, ageing) -> None:
    page = written(tmp_path, plain, ageing=ageing(plain))
    ids = [a["id"] for _, a in page.elements if a.get("id")]
    assert len(ids) == len(set(ids))
    targets = {a["href"] for a in page.named("a")}
    assert targets
    assert {target.removeprefix("#") for target in targets} <= set(ids)


def test_hostile_names_stay_text(hostile_page, hostile_names) -> None:
    assert len(hostile_page.scripts) == 3
    assert hostile_page.named("img") == []
    assert hostile_page.named("b") == []
    shown = "".join(hostile_page.texts)
    for name in [*hostile_names, "</title><script>1</script>", "<b>note</b>"]:
        assert name in shown
    assert not [a for _, a in hostile_page.elements for key in a if key.startswith("on")]


def test_the_data_block_has_no_sign_that_could_end_it(hostile_page, hostile_names) -> None:
    block = hostile_page.scripts[0]
    assert not set("<>&\u2028\u2029") & set(block)
    assert json.loads(block)["shares"]["data"]


def test_nothing_on_the_page_points_to_a_network(hostile_page) -> None:
    links = [a[key] for _, a in hostile_page.elements for key in ("src", "href") if a.get(key)]
    assert links
    assert all(link.startswith(("#", "data:,")) for link in links)
    styles = "".join(hostile_page.texts)
    assert "@import" not in styles
    assert "url(" not in styles


def test_the_policy_allows_the_two_scripts_and_no_other(hostile_page) -> None:
    import base64
    import hashlib

    policy = next(a["content"] for a in hostile_page.named("meta") if a.get("http-equiv"))
    allowed = set(re.findall(r"sha256-([^']+)", policy))
    made = {
        base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
        for script in hostile_page.scripts[1:]
    }
    assert allowed == made
    scripts = policy.split("script-src")[1].split(";")[0]
    assert "unsafe" not in scripts
    assert policy.startswith("default-src 'none'")


def test_odd_books_are_reported(tmp_path, bare, lonely) -> None:
    for a in (bare, lonely):
        page = written(tmp_path, a)
        shown = " ".join(page.texts)
        assert "No limits are set" in shown
        assert not re.search(r"\bnan\b|\bNone\b", shown)
        assert "limits" not in json.loads(page.scripts[0])


def test_an_allocation_read_back_from_json_gives_the_same_page(tmp_path, plain) -> None:
    first = write_report(plain, tmp_path / "a.html").read_bytes()
    again = type(plain).from_json(plain.to_json())
    assert write_report(again, tmp_path / "b.html").read_bytes() == first


def test_ten_thousand_customers_stay_below_ten_megabytes(tmp_path, plain) -> None:
    customers = pd.concat([plain.customers] * 250)
    customers.index = pd.Index([f"C{i:05d}" for i in range(10_000)], name="customer_id")
    customers[["share", "current_share", "risk_share"]] /= 250
    big = replace(plain, customers=customers)
    path = write_report(big, tmp_path / "big.html")
    assert path.stat().st_size < 10e6
    page = Page(path.read_text(encoding="utf-8"))
    assert "The 500 largest of 10,000 customers" in "".join(page.texts)
    assert len(page.named("tr")) < 700


def test_an_unwritable_place_is_an_output_error_and_leaves_nothing(tmp_path, plain) -> None:
    with pytest.raises(OutputError, match="absent"):
        write_report(plain, tmp_path / "absent" / "report.html")
    (tmp_path / "taken").mkdir()
    with pytest.raises(OutputError):
        write_report(plain, tmp_path / "taken")
    assert [place.name for place in tmp_path.iterdir()] == ["taken"]


def test_a_wrong_ageing_leaves_no_file(tmp_path, plain) -> None:
    with pytest.raises(DataError, match="total"):
        write_report(plain, tmp_path / "r.html", ageing=pd.DataFrame({"a": [1.0]}))
    assert list(tmp_path.iterdir()) == []


def test_one_text_as_notes_is_a_type_error(tmp_path, plain) -> None:
    with pytest.raises(TypeError, match="notes"):
        write_report(plain, tmp_path / "r.html", notes="one")


def test_text_that_has_no_utf8_does_not_stop_the_report(tmp_path, plain) -> None:
    page = written(tmp_path, plain, title="half \ud800 pair")
    assert "half ? pair" in page.texts


def test_importing_the_room_loads_neither_plotly_nor_jinja() -> None:
    code = (
        "import sys, credit_portfolio.report; "
        "print([name for name in ('plotly', 'jinja2') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
