"""Numbers as text, and the sentences of the report.

Nothing here is HTML: the page escapes what it is given.
"""

from __future__ import annotations

import math
from decimal import Decimal
from textwrap import wrap
from typing import TYPE_CHECKING, Any

import pandas as pd

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from credit_portfolio.allocation import Allocation

DASH = "–"
BORROWED = "†"
"""Beside a customer who has the row of his class."""
LARGEST_PROFILES = 40
"""Rows of the picture of P."""

# From this budget on, cents are noise on a page; the CSV keeps them.
_WHOLE_MONEY_FROM = 10_000.0
# Today's balances and limits are sums of cents: an excess below half a cent is rounding.
_HALF_A_CENT = 0.005
# A change of less than this part of itself shows as 0.0%.
_VISIBLE_CHANGE = 0.0005
VISIBLE_EXCESS = 0.0005
"""Risk above credit by less shows as the same percentage."""

# Marks that turn the direction of the text around them, or that nothing is drawn for.
_UNSEEN = dict.fromkeys(
    [*range(32), *range(127, 160), 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)],
    "\ufffd",
)


def plain_label(text: object, most: int = 60) -> str:
    """Return text that fits on one line: unseen marks made visible, cut in the middle.

    >>> plain_label("a" * 30 + "z" * 30, most=11)
    'aaaaa…zzzzz'
    """
    shown = str(text).translate(_UNSEEN)
    if len(shown) <= most:
        return shown
    tail = (most - 1) // 2
    return f"{shown[: most - 1 - tail]}…{shown[len(shown) - tail :]}"


def number(value: float | Decimal | None, places: int = 0) -> str:
    """Return a number with separators and a true minus sign; a dash for none.

    >>> number(-1234.5, 1), number(float("nan")), number(-0.001, 1)
    ('−1,234.5', '–', '0.0')
    """
    if value is None or not math.isfinite(value):
        return DASH
    text = f"{value:,.{places}f}"
    if text.startswith("-"):
        text = text[1:] if not text.strip("-0.,") else f"−{text[1:]}"
    return text


def percent(value: float | None, places: int = 1) -> str:
    """Return a fraction as a percentage.

    >>> percent(0.1234)
    '12.3%'
    """
    text = number(float("nan") if value is None else 100.0 * value, places)
    return text if text == DASH else f"{text}%"


def percent_figures(value: float | None, figures: int = 3) -> str:
    """Return a fraction as a percentage with so many significant figures, two decimals at least.

    >>> percent_figures(0.0234), percent_figures(0.00004567)
    ('2.34%', '0.00457%')
    """
    return percent(value, _places(100.0 * value if value is not None else 0.0, figures, least=2))


def figures(value: float, most: int = 3) -> str:
    """Return a number with so many significant figures, whole from 100 on.

    >>> figures(1234.5), figures(1.2345), figures(-0.012345)
    ('1,234', '1.23', '−0.0123')
    """
    return number(value, _places(value, most, least=0))


def _places(value: float, figures: int, least: int) -> int:
    if not math.isfinite(value) or value == 0:
        return least
    # Twelve decimals are the end of what a share is known to.
    return min(max(figures - 1 - math.floor(math.log10(abs(value))), least), 12)


def money(value: float, allocation: Allocation, *, unit: bool = True) -> str:
    """Return money in the allocation's currency: whole for large budgets, else with cents."""
    places = 0 if allocation.summary["budget"] >= _WHOLE_MONEY_FROM else 2
    text = number(value, places)
    currency = str(allocation.summary.get("currency") or "")
    return f"{text} {currency}" if unit and currency and text != DASH else text


def rows_of(frame: pd.DataFrame) -> Iterator[Any]:
    """Go through a table row by row, as named tuples with the label as ``Index``."""
    yield from frame.itertuples()


def plural(count: int, one: str, many: str | None = None) -> str:
    """Return a count with its noun.

    >>> plural(1, "customer"), plural(1200, "customer")
    ('1 customer', '1,200 customers')
    """
    return f"{count:,} {one if count == 1 else many or one + 's'}"


# ------------------------------------------------------------------------------ what is known


def has_current(allocation: Allocation) -> bool:
    """Whether there is a book of today to compare with."""
    return bool((allocation.customers["current_amount"] > 0).any())


def has_limits(allocation: Allocation) -> bool:
    """Whether any customer has a limit."""
    return bool(allocation.customers["limit"].notna().any())


def has_targets(allocation: Allocation) -> bool:
    """Whether any interval has a target."""
    return bool(allocation.evaluation["target"].notna().any())


def over_limit(allocation: Allocation) -> pd.Series[bool]:
    """Which customers owe more today than their limit."""
    c = allocation.customers
    return c["current_amount"] > c["limit"] + _HALF_A_CENT


def missed_targets(allocation: Allocation) -> list[str]:
    """Intervals whose target the proposal does not meet."""
    # The certificate's primal residual is relative to the row's terms, which add up to 2 at most:
    # a weighted average of parts, and the target.
    slack = allocation.evaluation["slack"]
    return [str(name) for name in slack.index[slack < -2 * allocation.certificate.tolerance]]


def known(table: pd.DataFrame, column: str) -> bool:
    """Whether a table has a column with anything in it; those of older allocations may not."""
    return column in table.columns and bool(table[column].notna().any())


def has_bands(allocation: Allocation) -> bool:
    """Whether it is known how sure the proposed B is."""
    e = allocation.evaluation
    return known(e, "credible_low") and known(e, "credible_high")


def has_profiles(allocation: Allocation) -> bool:
    """Whether the customers' rows of P are known; allocations of older versions have none."""
    profiles = getattr(allocation, "profiles", None)
    return profiles is not None and len(profiles) > 0


def profiles_shown(allocation: Allocation, most: int) -> pd.DataFrame:
    """Rows of P with the largest amounts, then the largest balances of today, in that order."""
    profiles = allocation.profiles
    size = allocation.customers[["amount", "current_amount"]].reindex(profiles.index).fillna(0.0)
    order = size.sort_values(["amount", "current_amount"], ascending=False, kind="stable").index
    return profiles.loc[order[: max(most, 0)]]


def counts_of(profiles: pd.DataFrame, intervals: Iterable[object]) -> pd.DataFrame:
    """Return the periods counted in each interval, by the intervals' names."""
    return profiles[[f"{name} (periods)" for name in intervals]].set_axis(
        pd.Index([str(name) for name in intervals]), axis=1
    )


def count_figure(value: float) -> str:
    """Return a count of periods; with one decimal where it adds up degrees.

    >>> count_figure(3.0), count_figure(2.46), count_figure(0.0)
    ('3', '2.5', '0')
    """
    return number(value, 0 if value == round(value) else 1)


def folded(text: str, width: int) -> list[str]:
    """Break a text at spaces into lines of about so many characters.

    >>> folded("below cost of funds", 9)
    ['below', 'cost of', 'funds']
    """
    return wrap(text, width, break_long_words=False, break_on_hyphens=False) or [text]


def side(kind: str) -> str:
    """Return which way a target of a bad or good interval points."""
    return "at least" if kind == "good" else "at most"


# ------------------------------------------------------------------------------ sentences


def headline(allocation: Allocation) -> list[str]:
    """Return the first paragraph, sentence by sentence."""
    sentences = [
        _proposed_sentence(allocation),
        _risk_sentence(allocation),
        _mean_sentence(allocation),
        *_target_sentences(allocation),
        *_limit_sentences(allocation),
        _proof_sentence(allocation),
    ]
    return [sentence for sentence in sentences if sentence]


def origin(allocation: Allocation, quality: Any = None) -> str:
    """Return the day and the source, with the rows that were read and rejected, as far as known.

    Parameters
    ----------
    allocation : Allocation
    quality : LedgerQuality, optional
        What ``Ledger.quality`` holds; the summary of a run from files has the same counts.
    """
    s = allocation.summary
    parts = []
    day = s.get("as_of") or getattr(quality, "as_of", None)
    if day:
        parts.append(f"As of {day}")
    if quality is not None:
        file = getattr(quality, "file_name", "")
        read, rejected = quality.rows_read, quality.rows_rejected
    else:
        file = s.get("source", "")
        read, rejected = s.get("rows_read"), s.get("rows_rejected")
    if read is not None:
        file = plain_label(file) if file else "Ledger"
        rows = getattr(quality, "source_rows", read)
        became = "" if rows == read else f" as {plural(read, 'entry', 'entries')}"
        parts.append(f"{file}: {plural(rows, 'row')} read{became}, {rejected:,} rejected")
    return " · ".join(parts)


def _proposed_sentence(a: Allocation) -> str:
    s = a.summary
    text = (
        f"A budget of {money(s['budget'], a)} is shared among {s['n_with_share']:,} of "
        f"{plural(s['n_customers'], 'customer')}"
    )
    rest = []
    if s["n_without_share"]:
        rest.append(f"{s['n_without_share']:,} could have a share and get none")
    if s["n_excluded"]:
        rest.append(f"{s['n_excluded']:,} {are(s['n_excluded'])} excluded")
    return f"{text}; {' and '.join(rest)}." if rest else f"{text}."


def are(count: int) -> str:
    """Return the verb for so many."""
    return "is" if count == 1 else "are"


def _risk_sentence(a: Allocation) -> str:
    s = a.summary
    now = s.get("current_standard_deviation")
    text = (
        f"The standard deviation of the return is {percent_figures(s['standard_deviation'])} of "
        f"cost ({money(s['standard_deviation_money'], a)} on the budget)"
    )
    if not now:
        return f"{text}; there is no current book to compare it with."
    change = s["standard_deviation"] / now - 1
    if abs(change) < _VISIBLE_CHANGE:
        return f"{text}, the same as that of today's book."
    way = "below" if change < 0 else "above"
    return f"{text}, {percent(abs(change))} {way} the {percent_figures(now)} of today's book."


def _mean_sentence(a: Allocation) -> str:
    s = a.summary
    now = s.get("current_mean_return")
    text = f"The mean return is {percent_figures(s['mean_return'])} of cost"
    return f"{text}." if now is None else f"{text}, against {percent_figures(now)} today."


def _target_sentences(a: Allocation) -> list[str]:
    e = a.evaluation
    if not has_targets(a):
        return ["No interval has a target."]
    missed, count = missed_targets(a), int(e["target"].notna().sum())
    first = (
        f"Not met: {_target_list(a, missed)}."
        if missed
        else ("The one target holds." if count == 1 else f"All {count:,} targets hold.")
    )
    bound = [str(name) for name in e.index[e["binding"].astype(bool)]]
    if not bound:
        return [first, "No target costs anything: the same shares result without them."]
    return [first, f"Binding: {_target_list(a, bound)}."]


def _target_list(a: Allocation, names: list[str]) -> str:
    e = a.evaluation.loc[names]
    return "; ".join(
        f"{side(kind)} {percent(target)} in {name}"
        for name, kind, target in zip(names, e["kind"], e["target"], strict=True)
    )


def _limit_sentences(a: Allocation) -> list[str]:
    if not has_limits(a):
        return ["No limits are set."]
    c = a.customers
    at = int((c["reason"] == "at limit").sum())
    sentences = [
        f"{plural(at, 'customer')} {'takes the' if at == 1 else 'take their'} whole limit."
        if at
        else "No customer takes the whole limit."
    ]
    over = over_limit(a)
    if over.any():
        excess = float((c["current_amount"] - c["limit"])[over].sum())
        count = int(over.sum())
        beyond = money(excess, a)
        sentences.append(
            f"Today one customer owes more than the limit, by {beyond}."
            if count == 1
            else f"Today {count:,} customers owe more than their limit, by {beyond} together."
        )
    return sentences


def _proof_sentence(a: Allocation) -> str:
    if a.certificate.holds:
        return (
            "The proof that no other allowed shares have a lower variance was recomputed, and it "
            f"holds (tolerance {a.certificate.tolerance:.0e})."
        )
    return (
        "Take care: the proof that these shares are optimal does not hold "
        f"({a.certificate}); solve again before using them."
    )


def tiles(allocation: Allocation) -> list[tuple[str, str, str]]:
    """Return the key figures: name, value, and what stands beside it."""
    s = allocation.summary
    now_risk, now_mean = s.get("current_standard_deviation"), s.get("current_mean_return")
    now_count = s.get("current_effective_customers")
    shown = [
        ("Budget", money(s["budget"], allocation), "credit to be given"),
        (
            "Customers with a share",
            f"{s['n_with_share']:,}",
            f"of {s['n_customers']:,}; {s['n_excluded']:,} excluded",
        ),
        (
            "Standard deviation",
            percent_figures(s["standard_deviation"]),
            f"today {percent_figures(now_risk)}" if now_risk else "of the return, on cost",
        ),
        (
            "Mean return",
            percent_figures(s["mean_return"]),
            f"today {percent_figures(now_mean)}" if now_mean is not None else "on cost",
        ),
        (
            "Effective customers",
            number(s["effective_customers"], 1),
            f"today {number(now_count, 1)}" if now_count else "1 / sum of squared shares",
        ),
        ("Largest share", percent(s["largest_share"]), "of the budget"),
    ]
    if has_targets(allocation):
        count = int(allocation.evaluation["target"].notna().sum())
        binding = int(allocation.evaluation["binding"].sum())
        held = count - len(missed_targets(allocation))
        shown.append(("Targets that hold", f"{held} of {count}", f"{binding} binding"))
    if has_limits(allocation):
        at = int((allocation.customers["reason"] == "at limit").sum())
        over = int(over_limit(allocation).sum())
        shown.append(("Customers at limit", f"{at:,}", f"above it today: {over:,}"))
    return shown


def bucket_label(name: object) -> str:
    """Return the name of an ageing bucket for people.

    >>> bucket_label("not_due"), bucket_label("1-30"), bucket_label("over 90")
    ('not due', '1–30 days', 'over 90 days')
    """
    text = str(name).replace("_", " ")
    if text.replace("-", "").isdigit():
        return f"{text.replace('-', '–')} days"
    return f"{text} days" if text[-1:].isdigit() else text
