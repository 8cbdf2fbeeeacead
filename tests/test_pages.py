"""The code in README and docs runs as it stands, on the files that the demo leaves."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

import credit_portfolio as cp

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
# Pages whose blocks are fragments: an outline of a function, a mapping for somebody's columns.
FRAGMENTS = {"solvers.md", "ledger.md"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as the demo leaves it, as far as pages use it."""
    place = tmp_path_factory.mktemp("pages")
    book = cp.simulate_book(n_customers=80, n_invoices=6_000, end="2024-06-30")
    book.write(place)
    return place


def blocks(page: Path) -> str:
    found = BLOCK.findall(page.read_text(encoding="utf-8"))
    return "\n".join(found)


def test_there_are_pages_with_code() -> None:
    assert sum(bool(blocks(page)) for page in PAGES) >= 4


@pytest.mark.parametrize(
    "page",
    [page for page in PAGES if blocks(page) and page.name not in FRAGMENTS],
    ids=lambda page: page.name,
)
def test_the_code_of_a_page_runs_in_order(
    page: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    code = blocks(page)
    if "model.fit" not in code and "allocation." in code:
        names["allocation"] = example_allocation()
    if "import credit_portfolio" not in code:
        code = "import credit_portfolio as cp\n" + code
    exec(compile(code, str(page), "exec"), names)
    assert os.getcwd() == str(folder)


def example_allocation() -> cp.Allocation:
    ledger = cp.open_ledger("invoices.csv", as_of="2024-06-30")
    panel = cp.ReturnPanel.from_ledger(ledger, cp.ReturnRule(0.25))
    model = cp.CreditPortfolio([-1, 0, 0.15, 0.2, 0.235, 0.25], 3)
    return model.fit(panel, current=ledger.exposure()).allocation_


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)#\s]+?\.(?:md|png|ipynb))(?:#[^)]*)?\)", text):
        assert (page.parent / target).exists(), target


def test_every_rule_of_the_ledger_stands_in_its_page() -> None:
    from credit_portfolio.ledger.quality import RULES
    from credit_portfolio.ledger.schema import COLUMNS

    text = (ROOT / "docs" / "ledger.md").read_text(encoding="utf-8")
    missing = [r.name for r in RULES if f"`{r.name}`" not in text]
    missing += [c.name for c in COLUMNS if f"`{c.name}`" not in text]
    assert not missing
