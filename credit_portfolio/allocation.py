"""The answer: what an analyst reads and a service stores."""

from __future__ import annotations

import html
import io
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from credit_portfolio.errors import DataError
from credit_portfolio.export import whole_file, write_csv, write_excel
from credit_portfolio.program.certificate import Certificate

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

_FORMAT = "credit_portfolio.allocation"
_VERSION = 2
_READS = (1, 2)  # the first has no profiles
_TABLES = ("customers", "evaluation", "shadow_prices", "periods", "profiles")
_AMOUNTS = ("amount", "limit", "current_amount", "change")
_MONEY = {*_AMOUNTS, "limit_price", "budget", "standard_deviation_money"}
_SHARES = {
    "share", "limit_use", "current_share", "risk_share", "mean_return", "target", "proposed",
    "current", "margin", "slack", "proposed_periods", "current_periods", "largest_share",
    "standard_deviation", "current_standard_deviation", "current_mean_return",
    "simulated", "credible_low", "credible_high", "turnover",
}  # fmt: skip


@dataclass(frozen=True, eq=False, slots=True)
class Allocation:
    """Each customer's share of credit, with the reasons.

    Attributes
    ----------
    customers : pandas.DataFrame
        One row per customer, index ``customer_id``: ``share``, ``amount`` (money, rounded),
        ``limit`` (money, NaN for none), ``limit_use`` (amount / limit), ``current_share``,
        ``current_amount``, ``change`` (money), ``risk_share`` (part of the variance),
        ``mean_return``, ``periods`` (observed), ``limit_price`` (money of standard deviation per
        10,000 more of limit, 0 or less; NaN where
        the variance was not minimised), ``reason`` (a code), ``explanation`` (a sentence).
    evaluation : pandas.DataFrame
        One row per interval, index ``interval``: ``kind`` (bad, good), ``target`` (NaN: free),
        ``proposed`` and ``current`` (B), ``margin`` (what a confidence holds back), ``slack`` (room
        to the target, less the margin), ``binding``,
        ``proposed_periods`` and ``current_periods`` (the portfolio's own distribution: the part
        of the panel's periods in which its return fell in the interval), ``simulated`` (the same
        by simulation, of the proposed shares), ``credible_low`` and ``credible_high`` (where B of
        the proposed shares lies with 95 %, given how few periods P rests on; NaN for operators
        other than the weighted average).
    shadow_prices : pandas.DataFrame
        One row per condition, index ``condition``: ``kind`` (budget, target, group, group amount,
        return, limit, row), ``bound``, ``reached``, ``binding`` (loosening it lowers the
        variance), ``step`` (in words), ``variance`` and ``standard_deviation`` (change of the
        minimum per step more: of the return, and in money on the budget), ``variance_less`` and
        ``standard_deviation_less`` (per step less). The two differ in more than sign where several
        conditions hold at once and depend on each other; NaN where such a step leaves nothing
        feasible, and where a finding says that there is no price.
    periods : pandas.DataFrame
        Return of the proposed and the current portfolio in each period of the panel.
    summary : dict
        Figures of the whole: ``as_of`` (ISO text, None where nobody said), budget, currency,
        standard deviations, concentration. A run from files adds ``source``, ``rows_read`` and
        ``rows_rejected``.
    certificate : Certificate
        The recomputed proof that the shares are optimal.
    findings : tuple of str
        What a reader has to know before using the figures.
    settings : dict
        The model's parameters, the convention of the returns, versions.
    profiles : pandas.DataFrame
        One row per judged customer: a column per interval with p_ij as it was used, one with the
        periods counted in it ("… (periods)"), ``periods``, and ``borrowed`` (too few periods of his
        own, so that his class's stand in).
    """

    customers: pd.DataFrame
    evaluation: pd.DataFrame
    shadow_prices: pd.DataFrame
    periods: pd.DataFrame
    summary: dict[str, Any]
    certificate: Certificate
    findings: tuple[str, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    profiles: pd.DataFrame = field(default_factory=pd.DataFrame)

    @property
    def shares(self) -> pd.Series[float]:
        """Fractions of the budget per customer; they sum to 1."""
        return self.customers["share"]

    @property
    def amounts(self) -> pd.Series[float]:
        """Money per customer, rounded to the unit; it sums to the budget."""
        return self.customers["amount"]

    @property
    def reasons(self) -> pd.Series[Any]:
        """Reason code per customer."""
        return self.customers["reason"]

    def to_frame(self) -> pd.DataFrame:
        """Return the customers' table, a copy."""
        return self.customers.copy()

    def to_csv(self, path: str | os.PathLike[str]) -> None:
        """Write the customers' table, amounts to the cent and shares to the last digit.

        Text that a spreadsheet would run as a formula is defused.
        """
        write_csv(self.customers, path, money=_AMOUNTS)

    def to_excel(self, path: str | os.PathLike[str]) -> None:
        """Write a workbook: summary, customers, evaluation, shadow prices, periods."""
        summary = pd.DataFrame(
            {"value": [*self.summary.values(), str(self.certificate), *self.findings]},
            index=pd.Index(
                [*self.summary, "certificate", *("finding" for _ in self.findings)], name="figure"
            ),
        )
        sheets = {name: getattr(self, name) for name in _TABLES}
        sheets["periods"] = self.periods.rename(index=str)
        write_excel({"summary": summary, **sheets}, path, style=_style)

    def to_json(self, path: str | os.PathLike[str] | None = None) -> str:
        """Return the allocation as JSON text, and write it where a path is given.

        Numbers keep every digit: ``Allocation.from_json`` gives the same allocation back.
        """
        content = {
            "format": _FORMAT,
            "version": _VERSION,
            "summary": _plain(self.summary),
            "certificate": {
                name: getattr(self.certificate, name)
                for name in ("primal", "dual", "gap", "tolerance")
            },
            "findings": list(self.findings),
            "settings": _plain(self.settings),
            **{name: _table_to_dict(getattr(self, name)) for name in _TABLES},
        }
        text = json.dumps(content, allow_nan=False, ensure_ascii=False)
        if path is not None:
            with whole_file(path) as draft:
                draft.write_text(text, encoding="utf-8")
        return text

    @classmethod
    def from_json(cls, source: str | os.PathLike[str]) -> Allocation:
        """Read what ``to_json`` wrote: JSON text, or the path of a file with it.

        Raises
        ------
        DataError
            For text that is not an allocation of this format.
        """
        text = source if isinstance(source, str) else ""
        if not text.lstrip().startswith("{"):
            try:
                text = Path(source).read_text(encoding="utf-8")
            except OSError as error:
                raise DataError(f"cannot read {source}: {error.strerror or error}") from error
            except ValueError as error:
                raise DataError(
                    f"cannot read {source}: {error}; give a file that to_json wrote"
                ) from error
        try:
            content = json.loads(text)
        except json.JSONDecodeError as error:
            raise DataError(f"this is not JSON: {error}; give what to_json wrote") from error
        if not isinstance(content, dict):
            raise DataError("this JSON is not an object; give what to_json wrote")
        if content.get("format") != _FORMAT or content.get("version") not in _READS:
            raise DataError(
                f"found format {content.get('format')!r} version {content.get('version')!r}; "
                f"expected {_FORMAT!r} version {_VERSION}"
            )
        tables = _TABLES if content["version"] == _VERSION else _TABLES[:4]
        try:
            return cls(
                **{name: _table_from_dict(content[name]) for name in tables},
                summary=content["summary"],
                certificate=Certificate(**content["certificate"]),
                findings=tuple(content["findings"]),
                settings=content["settings"],
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"the allocation is damaged ({type(error).__name__}: {error}); give the whole text "
                "that to_json wrote"
            ) from error

    def __repr__(self) -> str:
        return _page(self)

    def _repr_html_(self) -> str:
        return _html_page(self)


def _plain(value: Any) -> Any:
    """JSON types only: NaN becomes null, NumPy scalars their Python value, others their text."""
    if isinstance(value, dict):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if isinstance(value, np.ndarray):
        return [_plain(inner) for inner in value.tolist()]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if value is None or isinstance(value, (bool, int, float, str)) else str(value)


def _table_to_dict(frame: pd.DataFrame) -> dict[str, Any]:
    return {
        "index_name": frame.index.name,
        "index": [str(label) for label in frame.index],
        "columns": {str(name): _plain(frame[name].tolist()) for name in frame.columns},
        "types": {str(name): _kind(frame[name]) for name in frame.columns},
    }


def _table_from_dict(table: dict[str, Any]) -> pd.DataFrame:
    index = pd.Index(table["index"], name=table["index_name"], dtype="str")
    columns = {
        name: pd.Series(values, index=index, dtype=table["types"][name])
        for name, values in table["columns"].items()
    }
    return pd.DataFrame(columns, index=index)


def _kind(column: pd.Series[Any]) -> str:
    for test, kind in (
        (pd.api.types.is_bool_dtype, "bool"),
        (pd.api.types.is_integer_dtype, "int64"),
        (pd.api.types.is_float_dtype, "float64"),
    ):
        if test(column):
            return kind
    return "str"


def _style(sheet: str, column: str, row: Mapping[str, Any]) -> str | None:
    """Say how a number of the workbook is shown."""
    if sheet == "shadow_prices":
        if column in ("bound", "reached"):
            return {"target": "share", "group": "share", "return": "share", "row": None}.get(
                row["kind"], "money"
            )
        return "money" if column.startswith("standard_deviation") else None
    name = row["figure"] if column == "value" else column
    return "money" if name in _MONEY else "share" if name in _SHARES else None


def _title(a: Allocation) -> str:
    day = a.summary.get("as_of")
    return f"Allocation of credit as of {day}" if day else "Allocation of credit"


def _headline(a: Allocation) -> list[tuple[str, str]]:
    """Return the figures at the top of every page, as (name, value with unit)."""
    s = a.summary
    currency = s["currency"]
    lines = []
    if s.get("source"):
        counts = f"{s['rows_read']:,} rows read, {s['rows_rejected']:,} rejected"
        lines.append(("ledger", f"{s['source']}: {counts}"))
    lines += [
        ("budget", f"{s['budget']:,.2f} {currency}".strip()),
        (
            "customers",
            f"{s['n_with_share']:,} with a share, {s['n_without_share']:,} eligible without, "
            f"{s['n_excluded']:,} excluded",
        ),
        ("standard deviation of the return", f"{s['standard_deviation']:.4%} of cost"),
    ]
    if s.get("current_standard_deviation") is not None:
        change = s["standard_deviation"] / s["current_standard_deviation"] - 1
        lines.append(
            ("… of the current book", f"{s['current_standard_deviation']:.4%} ({change:+.1%})")
        )
    lines += [
        ("mean return", f"{s['mean_return']:.4%} of cost"),
        ("effective number of customers", f"{s['effective_customers']:.1f}"),
        ("certificate", str(a.certificate)),
    ]
    return lines


def _largest(a: Allocation, most: int = 10) -> pd.DataFrame:
    columns = ["amount", "share", "limit", "current_amount", "risk_share", "reason"]
    return a.customers.nlargest(most, "amount")[columns]


_COLUMN_FORMATS = {
    "amount": "{:,.2f}",
    "limit": "{:,.2f}",
    "current_amount": "{:,.2f}",
    "share": "{:.2%}",
    "risk_share": "{:.2%}",
    "target": "{:.2%}",
    "proposed": "{:.2%}",
    "current": "{:.2%}",
    "proposed_periods": "{:.1%}",
    "current_periods": "{:.1%}",
    "variance": "{:.3e}",
    "standard_deviation": "{:+,.2f}",
}
_BOUND_FORMATS = {"target": "{:.2%}", "group": "{:.2%}", "return": "{:.4%}", "row": "{:.6g}"}
_EVALUATION = ["kind", "target", "proposed", "current", "binding", "proposed_periods"]
_PRICES = ["kind", "bound", "binding", "step", "standard_deviation"]


def _formatted(frame: pd.DataFrame) -> pd.DataFrame:
    shown = frame.copy()
    for name in shown.columns:
        pattern = _COLUMN_FORMATS.get(str(name))
        if pattern is not None:
            shown[name] = [
                "–" if pd.isna(value) else pattern.format(value) for value in frame[name]
            ]
        elif pd.api.types.is_bool_dtype(frame[name]):
            shown[name] = ["yes" if value else "no" for value in frame[name]]
    shown.columns = [str(name).replace("_", " ") for name in shown.columns]
    return shown


def _sections(a: Allocation) -> list[tuple[str, pd.DataFrame]]:
    general = a.shadow_prices[a.shadow_prices["kind"] != "limit"]
    bounds = [
        _BOUND_FORMATS.get(kind, _COLUMN_FORMATS["amount"]).format(bound)
        for kind, bound in zip(general["kind"], general["bound"], strict=True)
    ]
    general = general.assign(bound=bounds)
    return [
        ("Evaluation: B against its targets", _formatted(a.evaluation[_EVALUATION])),
        ("Shadow prices of budget and targets", _formatted(general[_PRICES])),
        ("Largest amounts", _formatted(_largest(a))),
    ]


def _page(a: Allocation) -> str:
    out = io.StringIO()
    out.write(f"{_title(a)}\n")
    width = max(len(name) for name, _ in _headline(a))
    for name, value in _headline(a):
        out.write(f"  {name:<{width}}  {value}\n")
    for title, table in _sections(a):
        body = table.to_string().replace("\n", "\n  ")
        out.write(f"\n{title}\n  {body}\n")
    if a.findings:
        out.write("\nFindings\n")
        out.writelines(f"  - {finding}\n" for finding in a.findings)
    return out.getvalue()


def _html_page(a: Allocation) -> str:
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(name)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for name, value in _headline(a)
    )
    parts = [f"<h3>{html.escape(_title(a))}</h3><table>{rows}</table>"]
    for title, table in _sections(a):
        parts.append(f"<h4>{html.escape(title)}</h4>{table.to_html(border=0, escape=True)}")
    if a.findings:
        items = "".join(f"<li>{html.escape(finding)}</li>" for finding in a.findings)
        parts.append(f"<h4>Findings</h4><ul>{items}</ul>")
    return "<div class='credit-allocation'>" + "".join(parts) + "</div>"
