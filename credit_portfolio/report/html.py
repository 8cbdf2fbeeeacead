"""The page: one file of HTML that needs nothing else, least of all a network.

Nothing on it can run but the two scripts that this package puts there: the page's security policy
names them by their hashes, so a script that came with the data would be refused even where the
escaping of the template had a hole.
"""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from credit_portfolio.export import whole_file
from credit_portfolio.report import captions, pictures, plots, studies, tables, words
from credit_portfolio.report.pictures.ageing import checked_ageing
from credit_portfolio.report.pictures.customers import LARGEST_CUSTOMERS
from credit_portfolio.report.price_words import MOST_CONDITIONS, priced_conditions

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    import pandas as pd

    from credit_portfolio.allocation import Allocation
    from credit_portfolio.backtesting import Backtest
    from credit_portfolio.frontiers import Frontier

# In JSON these stand only inside texts, where an escape means the same. Without them the block
# cannot end its element, open a comment, or break a line of JavaScript.
_JSON_ESCAPES = {ord(sign): f"\\u{ord(sign):04x}" for sign in "<>&\u2028\u2029"}


# Pixels at the top of a picture for its button, which would lie over the legend.
_BUTTONS = 24


@dataclass(frozen=True, slots=True)
class _Picture:
    """A picture's place on the page; its data travel apart, as JSON."""

    name: str
    title: str
    words: str
    height: int
    json: str


@dataclass(frozen=True, eq=False, slots=True)
class _Studies:
    """What else was asked of the model, where anything was."""

    frontier: Frontier | None
    backtest: Backtest | None


def write_report(
    allocation: Allocation,
    path: str | os.PathLike[str],
    *,
    quality: Any = None,
    ageing: pd.DataFrame | None = None,
    frontier: Frontier | None = None,
    backtest: Backtest | None = None,
    title: str = "Credit allocation",
    notes: Sequence[str] = (),
) -> Path:
    """Write the allocation as one page of HTML, with tables and interactive pictures.

    The page holds all that it needs (some 5 MB, nearly all of it plotly.js) and asks no network.
    It has no time stamp: the same allocation gives the same file.

    Parameters
    ----------
    allocation : Allocation
    path : path
    quality : LedgerQuality, optional
        ``Ledger.quality`` of the ledger behind the allocation.
    ageing : pandas.DataFrame, optional
        ``Ledger.ageing()``: one row per customer or group, buckets in order, then ``total``.
    frontier : Frontier, optional
        What ``credit_portfolio.frontier`` returns.
    backtest : Backtest, optional
        What ``credit_portfolio.backtest`` returns.
    title : str
    notes : sequence of str
        Sentences that the reader must know, shown above the findings (say, that the data are
        simulated).

    Returns
    -------
    pathlib.Path
        Where it was written.

    Raises
    ------
    OutputError
        When the place cannot be written.
    DataError
        When the ageing is not a table of numbers with a total.
    TypeError
        When something else is given as quality, frontier or backtest.

    Examples
    --------
    >>> import pandas as pd
    >>> import credit_portfolio as cp
    >>> from credit_portfolio.report import write_report
    >>> panel = cp.ReturnPanel.from_frame(
    ...     pd.DataFrame({"A": [0.25, 0.20, 0.25, 0.1], "B": [0.1, 0.25, 0.25, 0.25]})
    ... )
    >>> model = cp.CreditPortfolio([-1, 0.15, 0.25], good_from=1, targets={}, budget=900)
    >>> place = getfixture("tmp_path") / "report.html"
    >>> write_report(model.fit(panel).allocation_, place).name
    'report.html'
    """
    if isinstance(notes, str):
        raise TypeError("notes is one text; expected a sequence of texts: write notes=[...]")
    studied = _Studies(
        None if frontier is None else studies.checked_frontier(frontier),
        None if backtest is None else studies.checked_backtest(backtest),
    )
    page = _page(allocation, quality, ageing, studied, title, notes)
    with whole_file(path) as draft:
        # Half of a surrogate pair has no UTF-8; it shows as a question mark instead of ending
        # the report.
        draft.write_bytes(page.encode("utf-8", errors="replace"))
    return Path(path)


def _page(
    a: Allocation,
    quality: Any,
    ageing: pd.DataFrame | None,
    studied: _Studies,
    title: str,
    notes: Sequence[str],
) -> str:
    from jinja2 import Environment, StrictUndefined
    from markupsafe import Markup

    aged = None if ageing is None else checked_ageing(ageing)
    checked = [] if quality is None else tables.quality_tables(quality)
    drawn = _pictures(a, aged, studied)
    own, library = _resource("report.js"), plots.plotly_script()
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    return environment.from_string(_resource("report.html.j2")).render(
        title=title,
        policy=_policy(library, own),
        style=Markup(_resource("report.css")),
        library=Markup(library),
        own=Markup(own),
        data=Markup(_data(drawn)),
        pictures={picture.name: picture for picture in drawn},
        origin=words.origin(a, quality),
        headline=words.headline(a),
        tiles=words.tiles(a),
        notes=[str(note) for note in notes],
        findings=a.findings,
        evaluation=tables.evaluation_table(a),
        prices=tables.prices_table(a),
        customers=tables.customers_table(a),
        excluded=tables.excluded_table(a),
        quality=checked,
        ageing=None if aged is None else tables.ageing_table(aged, words.bucket_label),
        frontier=None
        if studied.frontier is None
        else (studies.frontier_table(studied.frontier), studied.frontier.notes),
        backtest=None
        if studied.backtest is None
        else (studies.backtest_table(studied.backtest), studied.backtest.notes),
        settings=tables.settings_table(a),
        certificate=tables.certificate_table(a),
        has_limits=words.has_limits(a),
        version=str(a.settings.get("version", "")),
    )


def _pictures(a: Allocation, ageing: pd.DataFrame | None, studied: _Studies) -> list[_Picture]:
    """Draw what there is to draw, in the order of the page."""
    currency = str(a.summary.get("currency") or "")
    drawn = [("evaluation", pictures.evaluation_figure(a), captions.evaluation_words(a))]
    if words.has_profiles(a):
        said = captions.profiles_words(a, words.LARGEST_PROFILES)
        drawn.append(("profiles", pictures.profiles_figure(a), said))
    drawn += [
        ("shares", pictures.shares_figure(a), captions.shares_words(a, LARGEST_CUSTOMERS)),
        ("risk", pictures.risk_figure(a), captions.risk_words(a)),
    ]
    if words.has_limits(a):
        drawn.append(("limits", pictures.limits_figure(a), captions.limits_words(a)))
    if ageing is not None:
        figure = pictures.ageing_figure(ageing, currency)
        drawn.append(("ageing", figure, captions.ageing_words(ageing, a)))
    if len(priced_conditions(a)):
        said = captions.prices_words(a, MOST_CONDITIONS)
        drawn.append(("prices", pictures.prices_figure(a), said))
    if studied.frontier is not None:
        figure = pictures.frontier_figure(studied.frontier, currency)
        drawn.append(("frontier", figure, studies.frontier_words(studied.frontier, currency)))
    if studied.backtest is not None:
        figure = pictures.backtest_figure(studied.backtest)
        drawn.append(("backtest", figure, studies.backtest_words(studied.backtest)))
    return [_picture(*parts) for parts in drawn]


def _picture(name: str, figure: Any, sentence: str) -> _Picture:
    """Take the title out of the figure: on the page it is a heading."""
    title = figure.layout.title.text
    height = figure.layout.height - plots.TITLE + _BUTTONS
    figure.update_layout(
        title_text=None, margin_t=_BUTTONS, height=height, legend_y=1.0 - _BUTTONS / height
    )
    return _Picture(name, title, sentence, figure.layout.height, figure.to_json())


def _data(pictures: list[_Picture]) -> str:
    body = ",".join(f'"{picture.name}":{picture.json}' for picture in pictures)
    return f"{{{body}}}".translate(_JSON_ESCAPES)


def _policy(*scripts: str) -> str:
    """Forbid everything but the page's own scripts, its styles, and pictures made in the page.

    Plotly places styles as it draws, which no hash can name; ``data:`` and ``blob:`` images are
    what its "download as PNG" paints from.
    """
    hashes = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
        for text in scripts
    )
    return (
        f"default-src 'none'; script-src {hashes}; style-src 'unsafe-inline'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )


def _resource(name: str) -> str:
    return (resources.files("credit_portfolio.report") / name).read_text(encoding="utf-8")
