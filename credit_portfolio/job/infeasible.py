"""An infeasible run: the explanation with the analyst's weights, and the files that tell it."""

from __future__ import annotations

import html
import json
import math
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from credit_portfolio.errors import InfeasibleError, ModelError, did_you_mean, listing
from credit_portfolio.export import whole_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    import pandas as pd

    from credit_portfolio.evaluation.intervals import ReturnIntervals
    from credit_portfolio.explain import Explanation
    from credit_portfolio.portfolio import CreditPortfolio
    from credit_portfolio.returns.panel import ReturnPanel

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


@contextmanager
def weighed(
    model: CreditPortfolio,
    panel: ReturnPanel,
    given: Mapping[str, Any],
    weights: Mapping[str, float | str] | None,
) -> Iterator[None]:
    """Where a fit is infeasible, find the nearest bounds anew with the analyst's weights.

    Parameters
    ----------
    model, panel, given
        What is fitted to what: ``limits``, ``current`` and ``labels``.
    weights : mapping of target to number or "hold", optional
        By name or number of the interval, or by the name of another row.

    Raises
    ------
    ModelError
        For a weight of something that the model does not ask for.
    """
    costs = _costs(weights or {}, model)
    try:
        yield
    except InfeasibleError as error:
        if costs and error.explanation is not None:
            error.explanation = _explained(model, panel, given, costs)
            error.args = (f"no allocation meets all conditions. {error.explanation.message()}",)
        raise


def _costs(weights: Mapping[str, float | str], model: CreditPortfolio) -> dict[str, float]:
    """Name the program's rows that are weighed; "hold" keeps one where it is."""
    intervals: Any = model.intervals
    groups = [f"{c} = {label}" for c, bounds in (model.groups or {}).items() for label in bounds]
    others = [*groups, *(["expected return"] if model.min_return is not None else [])]
    asked = list(intervals.names)
    if isinstance(model.targets, Mapping):
        asked = [_interval(str(name), intervals, others) for name in model.targets]
    found = {}
    for name, weight in weights.items():
        target = "" if name in others else _interval(name, intervals, others)
        if target and target not in asked:
            raise ModelError(
                f"a weight is given for {name!r}, which has no target; weigh {listing(asked, 20)}"
            )
        row = f"target {target}" if target else name
        if row in found:
            raise ModelError(f"weights name {row!r} twice; keep one of them")
        found[row] = math.inf if weight == "hold" else float(weight)
    return found


def _interval(name: str, intervals: ReturnIntervals, others: Sequence[str]) -> str:
    if name in intervals.names:
        return name
    if name.isdecimal() and int(name) < intervals.n_intervals:
        return intervals.names[int(name)]
    known = [*intervals.names, *others]
    raise ModelError(
        f"a weight is given for {name!r}; expected an interval, by name or 0 to "
        f"{intervals.n_intervals - 1}, or one of {listing(known, 20)}.{did_you_mean(name, known)}"
    )


def _explained(
    model: CreditPortfolio,
    panel: ReturnPanel,
    given: Mapping[str, Any],
    costs: Mapping[str, float],
) -> Explanation:
    """State the program that was infeasible once more, and explain it with weights."""
    from credit_portfolio.book import Specification, read_book
    from credit_portfolio.explain import explain_infeasibility
    from credit_portfolio.formulation import controls_of, credit_program

    spec = Specification(**model.get_params(deep=False))
    book = read_book(spec, panel, given["limits"], given["current"], None, given["labels"])
    program, controls = credit_program(spec, book), controls_of(spec, book)
    kinds = ["budget", *["target"] * (program.n_rows - 1)]
    if controls is not None:
        program = controls.with_plain_rows(program)
        further = program.row_names[len(kinds) :]
        kinds += ["return" if name == "expected return" else "group" for name in further]
    # A target that is to hold with a confidence, or under another operator, has no row.
    rows = {name: cost for name, cost in costs.items() if name in program.row_names}
    u = book.universe
    return explain_infeasibility(
        program,
        rows,
        kinds=kinds,
        limits=u.limit[u.eligible] / book.budget,
        largest_share=spec.max_share,
        budget=book.budget,
        currency=spec.currency,
        tolerance=spec.tolerance,
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
