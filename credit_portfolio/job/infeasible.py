"""The files that tell of an infeasible run."""

from __future__ import annotations

import html
import json
import math
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import InfeasibleError
from credit_portfolio.export import whole_file

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import pandas as pd

_TITLE = "No allocation meets all conditions"
_DASH = "–"
_JSON, _PAGE = "infeasible.json", "infeasible.html"
# Columns of the table that are parts of the budget (a return: of cost), shown as percentages.
_PARTS = ("bound", "within", "needed", "move", "relaxed", "reached")
_STYLE = (
    "body{font:16px/1.5 sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}"
    "td,th{padding:.2rem .6rem;border-bottom:1px solid #ccc;text-align:right}"
    "td:first-child,th:first-child{text-align:left}"
)


def write_conflict(error: InfeasibleError, folder: Path) -> None:
    """Write infeasible.json and infeasible.html: what conflicts, and what would have to move."""
    explanation = error.explanation
    sentences = [str(error)] if explanation is None else explanation.sentences()
    table = None if explanation is None else explanation.to_frame().reset_index()
    content = {
        "conflict": list(error.conflict),
        "sentences": sentences,
        "shortfall": error.shortfall,
        "budget": None if explanation is None else explanation.money,
        "currency": "" if explanation is None else explanation.currency,
        "total_relaxation": None if explanation is None else _plain(explanation.total),
        "conditions": [] if table is None else _records(table),
    }
    with whole_file(folder / _JSON) as draft:
        text = json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False)
        draft.write_text(text + "\n", encoding="utf-8")
    with whole_file(folder / _PAGE) as draft:
        draft.write_text(_page(sentences, table), encoding="utf-8", errors="replace")


def forget_conflict(folder: Path) -> None:
    """Take away what an earlier run left in the folder."""
    for name in (_JSON, _PAGE):
        (folder / name).unlink(missing_ok=True)


def _page(sentences: Sequence[str], table: pd.DataFrame | None) -> str:
    items = "".join(f"<li>{html.escape(line)}</li>" for line in sentences)
    rows = ""
    if table is not None:
        shown = table.assign(
            **{name: table[name].map(_percent) for name in _PARTS},
            in_conflict=table["in_conflict"].map({True: "yes", False: "no"}),
        ).rename(columns=lambda name: str(name).replace("_", " "))
        rows = shown.to_html(index=False, border=0, escape=True, na_rep=_DASH)
        rows += "<p>Bounds in per cent of the budget; an expected return in per cent of cost.</p>"
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{_TITLE}</title><style>{_STYLE}</style></head>\n"
        f"<body><h1>{_TITLE}</h1>\n<ul>{items}</ul>\n{rows}\n</body></html>\n"
    )


def _percent(value: float) -> str:
    return f"{100 * value:,.4f} %" if math.isfinite(value) else _DASH


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    rows = table.itertuples(index=False, name=None)
    names = [str(name) for name in table.columns]
    return [dict(zip(names, map(_plain, row), strict=True)) for row in rows]


def _plain(value: Any) -> Any:
    """Return a plain type; what is not finite is null, since JSON has no such number."""
    value = value.item() if hasattr(value, "item") else value
    return None if isinstance(value, float) and not math.isfinite(value) else value
