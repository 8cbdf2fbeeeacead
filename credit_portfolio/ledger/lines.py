"""From the rows of a system to signed entries: one set of expressions for every profile.

A *line* is a row of the source with typed columns, a sign and a kind. Lines become entries as the
profile's matching says: they may name their invoice themselves, share the number of a clearing, be
linked by a second table, or hold an invoice and its settlement in one row. Whatever the matching,
the entries of a row add up to the row's money.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any, Protocol

import ibis
import ibis.expr.operations as ops

from credit_portfolio.ledger.entries import (
    CLAIMS,
    MONEY_TYPE,
    SHOWN,
    Store,
    at_once,
    copies_among,
)
from credit_portfolio.ledger.folders import Use
from credit_portfolio.ledger.parsing import Faults, currency_word
from credit_portfolio.ledger.profiles import LINE_COLUMNS, EntryProfile, KindRule
from credit_portfolio.ledger.quality import MARK

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Expression, Table

DAYS = ("booking_date", "due_date", "base_date", "end_date", "clearing_date", "settled_date")
MONEYS = ("amount", "discount", "settled_amount")
IDS = ("customer_id", "document", "line", "against_document", "undoes", "clearing", "line_id")

# A row may become several entries, and each needs a number of its own in which the rows' order is
# kept: item (twice the row, and one more for its discount), then the row of the invoice or of the
# match in the second table, then the part.
_ROWS = 2**30
_PARTS = 4
_ITSELF, _USED, _ALLOCATED, _LINK = range(_PARTS)

_EXACT = 2**53  # from here on a binary float does not hold every whole number


class Cells(Protocol):
    """Reads cells of a source, as its profile writes them."""

    def day(self, column: Expression, name: str) -> tuple[Expression, Expression, Expression]:
        """Return the day, NULL when there is none, whether the cell is blank, and hours went."""
        ...

    def money(self, column: Expression, name: str) -> tuple[Expression, Faults, Expression]:
        """Return the value, NULL unless readable, what is wrong, and whether it was rounded."""
        ...

    def implausible(self, day: Expression) -> Expression:
        """Return whether a day is too far from today."""
        ...

    def other_currency(self, word: Expression) -> Expression:
        """Return whether a row is in another currency than the one asked for."""
        ...


def uses_of_entries(profile: EntryProfile) -> dict[str, Use]:
    """Return what the source columns of a profile of entries are for."""
    kinds = dict.fromkeys(DAYS, "date") | dict.fromkeys(MONEYS, "money") | dict.fromkeys(IDS, "id")
    fields, uses = profile.fields(), {}
    for source in profile.sources():
        name = fields.get(source, source)
        # Whole numbers and their texts mean the same where zeros are filled up, or floats are cut.
        kind = "" if source in profile.pad or source in profile.whole else kinds.get(name, "")
        uses[source] = Use(name, kind, source not in profile.may_be_absent)
    return uses


# --- rows to lines ------------------------------------------------------------------------------


def text_of(column: Expression, profile: EntryProfile, name: str) -> Expression:
    """Return a cell as text, NULL when blank: whole numbers, lost zeros and blanks put right."""
    return read_text(column, profile, name)[0]


def read_text(
    column: Expression, profile: EntryProfile, name: str
) -> tuple[Expression, dict[str, Expression]]:
    """Return a cell as :func:`text_of` does, and of each repair whether it touched the cell."""
    touched: dict[str, Expression] = {}
    kind = column.type()
    # A code or a day in floats, as pandas makes of whole numbers and blanks, can be nothing else.
    coded = (*profile.codes(), *(profile.part_of(field) for field in DAYS))
    whole = name in profile.whole or (name in coded and kind.is_numeric())
    if whole and kind.is_floating():
        text, touched["whole_numbers"] = _of_float(column.cast("float64"))
    else:
        written = column.cast("string")
        text = written.strip()
        if kind.is_string():
            touched["trimmed_ids"] = written != text
        if whole and not kind.is_integer():
            pointed = text.re_search(r"^[0-9]+\.0+$").fill_null(False)
            text = pointed.ifelse(text.re_replace(r"\.0+$", ""), text)
            touched["whole_numbers"] = pointed
    width = profile.pad.get(name)
    if width is not None:
        short = (text.re_search("^[0-9]+$") & (text.length() < width)).fill_null(False)
        text = short.ifelse(text.lpad(width, "0"), text)
        touched["restored_zeros"] = short
    for blank in ("", *profile.blanks.get(name, ())):
        text = text.nullif(blank)
    # Where nothing is there nothing was repaired: blanks fill up columns of a fixed width.
    return text, {finding: hit & text.notnull() for finding, hit in touched.items()}


def _of_float(column: Expression) -> tuple[Expression, Expression]:
    """Return a number as text, and whether it is a whole one; another stays what it is."""
    number = column.isnan().ifelse(ibis.null("float64"), column)
    near = (number.abs() < _EXACT).ifelse(number, ibis.null("float64"))
    whole = (near.floor() == near).fill_null(False)
    digits = whole.ifelse(near, ibis.null("float64")).cast("int64").cast("string")
    return digits.fill_null(number.cast("string")), whole


def lines_of(
    raw: Table,
    columns: Mapping[str, Expression],
    profile: EntryProfile,
    cells: Cells,
    groups: Sequence[str] = (),
) -> Table:
    """Return the rows of a source as lines.

    Parameters
    ----------
    raw : table expression
        Has ``row``, a whole number below 2**30, unique; and the groups.
    columns : mapping of str to expression
        Source column -> the column of ``raw`` that holds it; absent ones are left out.
    profile : EntryProfile
        What the columns mean.
    cells : Cells
        How dates and money are read.
    groups : sequence of str
        Further columns to keep.

    Returns
    -------
    table expression
        row, ``LINE_COLUMNS`` but base_date and undoes, fault, settled_kind, said_settled, a column
        ``mark_…`` for each repair that the types of the columns allow, and the groups. The currency
        is in capitals, empty when blank.
    """
    read = {name: read_text(column, profile, name) for name, column in columns.items()}
    texts = {name: text for name, (text, _) in read.items()}
    touched = _touched_texts(profile, {name: hits for name, (_, hits) in read.items()})
    fields: dict[str, Expression] = {"row": raw.row}
    faults: list[tuple[Expression, str]] = []
    for name in LINE_COLUMNS:
        if name in DAYS or name in MONEYS or name == "currency":
            continue
        fields[name] = _joined(profile.parts_of(name), texts)
    days, implausible, hours, unread = _days(profile, columns, texts, cells)
    touched["time_of_day_dropped"] = hours
    fields |= days
    for name in MONEYS:
        column = columns.get(profile.part_of(name) or "")
        if column is None:
            fields[name] = ibis.null(MONEY_TYPE)
            continue
        fields[name], wrong, rounded = cells.money(column, name)
        touched["rounded_floats"].append(rounded)
        faults.append((wrong.too_fine, "too_many_decimals"))
        faults.append((wrong.too_large, "amount_too_large"))
        faults.append((wrong.unreadable, "amount_not_a_number"))
    fields["amount"], unclear = _signed(fields["amount"], texts, profile)
    faults.append((unclear, "unreadable_side"))
    fields["kind"] = _kind(profile, fields, texts)
    fields["settled_kind"] = _settled_kind(profile, fields, texts)
    if unread is not None and profile.matching != "row":  # where each row is an invoice
        touched["ignored_due_date"] = [unread & (fields["kind"] != "invoice").fill_null(True)]
    undoes = (fields["kind"] == "reversal") & fields["undoes"].notnull()
    against = undoes.fill_null(False).ifelse(fields["undoes"], fields["against_document"])
    fields["against_document"] = against.nullif(fields["document"])
    for column_name, marks in profile.void.items():
        faults.insert(0, (_holds(texts.get(column_name), marks), "marked_void"))
    if profile.kinds and profile.matching != "row":
        faults.append((fields["kind"].isnull(), "unmapped_row"))
    word = currency_word(columns.get(profile.part_of("currency") or ""))
    faults.append((cells.other_currency(word), "other_currency"))
    faults.append((implausible, "implausible_date"))
    fault: Any = ibis.literal("")
    for condition, rule in reversed(faults):
        fault = condition.fill_null(False).ifelse(rule, fault)
    fields["currency"] = word
    for name in ("base_date", "undoes"):
        del fields[name]
    says = {"clearing": "clearing_date", "row": "settled_date"}.get(profile.matching)
    fields["said_settled"] = ibis.null("date") if says is None else fields[says]
    kept = {name: raw[name] for name in groups}
    return raw.select(**fields, fault=fault, **marks_of(touched), **kept)


def _touched_texts(
    profile: EntryProfile, read: Mapping[str, Mapping[str, Expression]]
) -> dict[str, list[Expression]]:
    """Return the repairs of texts by finding; of a word or a code, space around it is no matter."""
    ids = {part for name in IDS for part in profile.parts_of(name)}
    touched: dict[str, list[Expression]] = {"trimmed_ids": [], "rounded_floats": []}
    for name, hits in read.items():
        for finding, hit in hits.items():
            if finding != "trimmed_ids" or name in ids:
                touched.setdefault(finding, []).append(hit)
    return touched


def marks_of(touched: Mapping[str, Sequence[Expression]]) -> dict[str, Expression]:
    """Return a column ``mark_…`` for each finding that some row may have.

    Parameters
    ----------
    touched : mapping of str to sequence of expression
        Finding -> conditions, of which one is enough; constants are those that a type rules out.
    """
    marks = {}
    for finding, hits in touched.items():
        possible = [hit for hit in hits if not isinstance(hit.op(), ops.Literal)]
        if possible:
            marks[f"{MARK}{finding}"] = reduce(lambda a, b: a | b, possible).fill_null(False)
    return marks


def _joined(names: Sequence[str], texts: Mapping[str, Expression]) -> Expression:
    """Return the text of a field; one made of several parts is blank when the first is."""
    there = [texts[name] for name in names if name in texts]
    if not there or names[0] not in texts:
        return ibis.null("string")
    return reduce(lambda text, part: text + "/" + part.fill_null(""), there[1:], there[0])


def _holds(text: Expression | None, marks: Sequence[str]) -> Expression:
    """Return whether a cell holds one of the texts; an empty one stands for a blank cell."""
    words = [mark.casefold() for mark in marks]
    if text is None:
        return ibis.literal("" in words)
    return text.fill_null("").lower().isin(words)


def _days(
    profile: EntryProfile,
    columns: Mapping[str, Expression],
    texts: Mapping[str, Expression],
    cells: Cells,
) -> tuple[dict[str, Expression], Expression, list[Expression], Expression | None]:
    """Return the days of a row, whether one is absurd, and whether hours went.

    The due date is worked out from terms where the row says none. The last is whether what it says
    is no date; None where it cannot be anything else.
    """
    found: dict[str, Expression] = {}
    unread: Expression | None = None
    hours: list[Expression] = []
    implausible: Expression = ibis.literal(False)
    for name in DAYS:
        source = profile.part_of(name) or ""
        if source not in columns:
            found[name] = ibis.null("date")
            continue
        kind = columns[source].type()
        typed = kind.is_date() or kind.is_timestamp()
        found[name], blank, timed = cells.day((columns if typed else texts)[source], name)
        if name == "due_date" and not typed:
            unread = found[name].isnull() & ~blank
        hours.append(timed)
        implausible = implausible | cells.implausible(found[name]).fill_null(False)
    if "base_date" in profile.columns:
        days: Any = ibis.literal(0)
        for name in reversed(profile.due_days):
            if name in texts:
                whole = texts[name].re_search("^[0-9]{1,4}([.]0+)?$").fill_null(False)
                figures = whole.ifelse(texts[name].re_replace("[.]0+$", ""), "0").cast("int32")
                days = (figures > 0).ifelse(figures, days)
        terms = (found["base_date"] + days.as_interval("D")).cast("date")
        if unread is not None:
            terms = unread.ifelse(ibis.null("date"), terms)
        found["due_date"] = found["due_date"].fill_null(terms)
    return found, implausible, hours, unread


def _signed(
    amount: Expression, texts: Mapping[str, Expression], profile: EntryProfile
) -> tuple[Expression, Expression]:
    sides = profile.sides
    if sides is None:
        return amount, ibis.literal(False)
    text = texts.get(sides.column)
    debit, credit = _holds(text, sides.debit), _holds(text, sides.credit)
    return credit.ifelse(-amount, amount).cast(MONEY_TYPE), ~(debit | credit)


def _fits(rule: KindRule, amount: Expression, texts: Mapping[str, Expression]) -> Expression:
    fits: Expression = ibis.literal(True)
    for name, marks in rule.when.items():
        fits = fits & _holds(texts.get(name), marks)
    if rule.sign:
        fits = fits & (amount > 0 if rule.sign > 0 else amount < 0).fill_null(False)
    return fits


def _by_rules(
    profile: EntryProfile, amount: Expression, texts: Mapping[str, Expression], default: Expression
) -> Expression:
    kind = default
    for rule in reversed(profile.kinds):
        kind = _fits(rule, amount, texts).ifelse(rule.kind, kind)
    return kind


def _kind(
    profile: EntryProfile, fields: Mapping[str, Expression], texts: Mapping[str, Expression]
) -> Expression:
    if profile.matching == "row":
        return ibis.literal("invoice")
    said = fields["kind"].lower().replace(" ", "_").replace("-", "_")
    return _by_rules(profile, fields["amount"], texts, said)


def _settled_kind(
    profile: EntryProfile, fields: Mapping[str, Expression], texts: Mapping[str, Expression]
) -> Expression:
    if profile.matching != "row":
        return ibis.null("string")
    return _by_rules(profile, fields["amount"], texts, ibis.null("string"))


# --- lines to entries ---------------------------------------------------------------------------

_ENTRY = (*SHOWN, "fault", "said_settled")


def entries_of(
    lines: Table,
    profile: EntryProfile,
    groups: Sequence[str] = (),
    links: Table | None = None,
    store: Store = at_once,
) -> Table:
    """Return the entries that lines hold, for :func:`entries.judge_entries`.

    Parameters
    ----------
    lines : table expression
        As :func:`lines_of` returns them.
    profile : EntryProfile
        Its matching says how payments find their invoices.
    groups : sequence of str
        Further columns to keep.
    links : table expression, optional
        For matching ``"links"``: row, credit_id, debit_id, link_date, link_amount.
    store : callable, optional
        Computes a table and returns what refers to it.

    Returns
    -------
    table expression
        The columns that ``judge_entries`` takes; ``source_row``, the row of the source, 0 for an
        entry that stems from a row of the second table alone; and ``said_settled``, the day on
        which the source says that the row was settled, if it says such a thing.
    """
    if profile.matching == "row":
        return _numbered(_rows_apart(lines), groups)
    items = store("entry_items", _items(lines, profile, groups))
    if profile.matching == "reference":
        return _numbered(items, groups)
    if profile.matching == "clearing":
        allocated = store("entry_allocations", _cleared_together(items))
        waits = items.clearing.notnull() & items.clearing_date.notnull()
        stray = None
    else:
        joined = store("entry_links", _linked(items, links))
        good = joined.filter(joined.good)
        allocated = good.select(
            "item", "against", "day", "taken", part=good.link_row, apart=_apart(good)
        )
        waits = items.line_id.notnull()
        stray = joined.filter(~joined.good)
    spread = items.mutate(spreads=(items.fault == "") & _credits(items) & waits)
    parts = [_numbered(spread.filter(~spread.spreads), groups)]
    parts += _spread(spread.filter(spread.spreads), allocated, groups)
    if stray is not None:
        parts.append(_strays(stray, parts[0], groups))
    return ibis.union(*parts)


def _apart(links: Table) -> Expression:
    """Return what tells the matches of one credit with one invoice apart: the day and the money.

    Two that agree in both are copies of a row.
    """
    several = links.item.count().over(group_by=[links.item, links.against]) > 1
    facts = "/" + links.day.cast("string") + "/" + links.taken.cast("string")
    return several.ifelse(facts, "")


def _credits(items: Table) -> Expression:
    """Return whether an item may be spread over invoices that it does not name itself.

    One without money below 0 or without a day is judged as it is: parts of it would not add up to
    it, and of nothing there are no parts.
    """
    whole = (items.amount < 0) & items.booking_date.notnull()
    return (items.kind.isin(CLAIMS) & items.against_document.isnull() & whole).fill_null(False)


def _numbered(
    items: Table, groups: Sequence[str], part: int = _ITSELF, of: Any = 0, **changed: Any
) -> Table:
    """Return items as entries with a number of their own; ``of`` is the row that a part is of."""
    number = (items.item * _ROWS + of) * _PARTS + part
    kept = {name: items[name] for name in (*_ENTRY, *groups)} | changed
    kept["amount"] = kept["amount"].cast(MONEY_TYPE)
    return items.select(row=number, source_row=items.source_row, **kept)


def _rows_apart(lines: Table) -> Table:
    """Return an invoice for each row, and its settlement where the row says one."""
    lines = lines.mutate(source_row=lines.row, item=lines.row * 2)
    said = lines.settled_date.notnull() | lines.settled_kind.notnull()
    # A row that is at fault is refused once, as a whole.
    settled = lines.filter(said & (lines.fault == ""))
    money = settled.settled_amount.fill_null(settled.amount)
    settlement = settled.mutate(
        item=settled.row * 2 + 1,
        kind=settled.settled_kind,
        against_document=settled.document,
        booking_date=settled.settled_date,
        due_date=ibis.null("date"),
        amount=(-money).cast(MONEY_TYPE),
        fault=settled.settled_kind.isnull().ifelse("unmapped_row", ""),
    )
    return lines.union(settlement.select(lines.columns))


def _items(lines: Table, profile: EntryProfile, groups: Sequence[str]) -> Table:
    """Return lines without copies, the discount of a payment as an item of its own."""
    if profile.matching in ("clearing", "links"):
        # A copy would take part in the clearing twice, so it has to go before.
        verdict = (lines.fault == "") & lines.document.isnull()
        judged = lines.mutate(rule=verdict.ifelse("missing_document", lines.fault))
        facts = [*groups, "against_document", "clearing", "clearing_date", "discount"]
        found = copies_among(judged, facts)
        found = found.select(copy_row=found.row, copy_rule=found.verdict)
        joined = lines.left_join(found, lines.row == found.copy_row)
        lines = joined.mutate(fault=joined.copy_rule.fill_null(joined.fault))
        lines = lines.drop("copy_row", "copy_rule")
    lines = lines.mutate(source_row=lines.row, item=lines.row * 2)
    if "discount" not in profile.columns:
        return lines
    less = lines.discount.fill_null(0)
    splits = (lines.fault == "") & (lines.kind == "payment") & (less != 0)
    splits = splits.fill_null(False)
    absurd = splits & ((less < 0) | (less >= -lines.amount)).fill_null(True)
    lines = lines.mutate(fault=absurd.ifelse("bad_discount", lines.fault), splits=splits & ~absurd)
    discount = lines.filter(lines.splits)
    discount = discount.mutate(
        item=discount.item + 1, kind=ibis.literal("discount"), amount=-discount.discount
    )
    paid = lines.mutate(amount=lines.splits.ifelse(lines.amount + less, lines.amount))
    names = [name for name in lines.columns if name not in ("splits", "amount")]
    return ibis.union(
        *[t.select(*names, amount=t.amount.cast(MONEY_TYPE)) for t in (paid, discount)]
    )


# Within a clearing the invoices due first are covered first, and by payments before losses.
_ORDER = {"payment": 0, "credit_note": 1, "discount": 2, "write_off": 3}


def _cleared_together(items: Table) -> Table:
    """Return what of each credit goes to which invoice of the same clearing.

    Invoices and credits are laid out one after the other along one line of money each; what lies
    over the other belongs to it. So every cent of the smaller side is allocated, and nothing twice.
    """
    key = ["customer_id", "clearing", "clearing_date"]
    t = items.filter((items.fault == "") & items.clearing.notnull() & items.clearing_date.notnull())
    claims = t.filter(t.kind.isin(CLAIMS))
    named = claims.filter(claims.against_document.notnull())
    named = named.group_by(
        named_customer=named.customer_id,
        named_clearing=named.clearing,
        named_day=named.clearing_date,
        named=named.against_document,
    ).aggregate(named_amount=named.amount.sum())
    debits = t.filter(t.kind == "invoice")
    debits = debits.left_join(
        named,
        [
            debits.customer_id == named.named_customer,
            debits.clearing == named.named_clearing,
            debits.clearing_date == named.named_day,
            debits.document == named.named,
        ],
    )
    debits = debits.mutate(need=debits.amount + debits.named_amount.fill_null(0))
    debits = debits.filter(debits.need > 0)
    debits = debits.mutate(
        debit_end=debits.need.sum().over(
            group_by=[debits[name] for name in key],
            order_by=[debits.due_date, debits.row],
            rows=(None, 0),
        )
    )
    debits = debits.select(
        "debit_end",
        "need",
        debit_row=debits.row,
        against=debits.document,
        **{f"debit_{name}": debits[name] for name in key},
    )
    credits_ = claims.filter(_credits(claims))
    rank: Any = ibis.literal(0)
    for kind, place in _ORDER.items():
        rank = (credits_.kind == kind).ifelse(place, rank)
    credits_ = credits_.mutate(rank=rank)
    credits_ = credits_.mutate(
        credit_end=(-credits_.amount)
        .sum()
        .over(
            group_by=[credits_[name] for name in key],
            order_by=[credits_["rank"], credits_.booking_date, credits_.item],
            rows=(None, 0),
        )
    )
    j = credits_.inner_join(debits, [credits_[name] == debits[f"debit_{name}"] for name in key])
    start = ibis.greatest(j.credit_end + j.amount, j.debit_end - j.need)
    over = ibis.least(j.credit_end, j.debit_end) - start
    j = j.mutate(taken=over, day=ibis.greatest(j.clearing_date, j.booking_date))
    return j.filter(j.taken > 0).select(
        "item", "against", "day", "taken", part=j.debit_row, apart=ibis.literal("")
    )


def _linked(items: Table, links: Table | None) -> Table:
    """Return the second table's rows with the credit and the debit that they name."""
    if links is None:
        raise TypeError("matching 'links' needs the second table")
    t = items.filter(items.fault == "")
    claims = t.filter(_credits(t))
    claims = claims.select(
        "item", "booking_date", credit_line=claims.line_id, credit_customer=claims.customer_id
    )
    debits = t.filter(t.kind == "invoice")
    debits = debits.select(debit_line=debits.line_id, against=debits.document)
    j = links.left_join(claims, links.credit_id == claims.credit_line)
    j = j.left_join(debits, j.debit_id == debits.debit_line)
    good = j.item.notnull() & j.against.notnull() & j.link_date.notnull() & (j.link_amount > 0)
    return j.select(
        "item",
        "against",
        "credit_id",
        "credit_customer",
        "link_date",
        good=good.fill_null(False),
        link_row=j.row,
        day=ibis.greatest(j.link_date, j.booking_date),
        taken=j.link_amount,
    )


def _spread(items: Table, allocated: Table, groups: Sequence[str]) -> list[Table]:
    """Return the entries of credits: to their invoices, and on account before and beyond.

    A credit that is matched later than it is booked waits on account until then.
    """
    allocated = allocated.rename(of_item="item")
    joined = items.inner_join(allocated, items.item == allocated.of_item)
    joined = joined.mutate(early=joined.day <= joined.booking_date)
    sums = joined.group_by(sums_of=joined.item).aggregate(
        at_once=joined.early.ifelse(joined.taken, 0).sum(), all_=joined.taken.sum()
    )
    rest = items.left_join(sums, items.item == sums.sums_of)
    waits = rest.kind.isin(("payment", "credit_note"))
    gone = waits.ifelse(rest.at_once, rest.all_).fill_null(0)
    rest = rest.mutate(amount=rest.amount + gone)
    rest = rest.filter(rest.amount != 0)
    used = joined.filter(~joined.early & joined.kind.isin(("payment", "credit_note")))
    return [
        _numbered(rest, groups, kind=_waiting(rest)),
        _numbered(
            used,
            groups,
            _USED,
            used.part,
            kind=_waiting(used),
            booking_date=used.day,
            amount=used.taken,
            line=used.line.fill_null("") + "/used for " + used.against + used.apart,
        ),
        _numbered(
            joined,
            groups,
            _ALLOCATED,
            joined.part,
            line=(joined.apart == "").ifelse(joined.line, joined.line.fill_null("") + joined.apart),
            against_document=joined.against,
            booking_date=joined.day,
            amount=-joined.taken,
        ),
    ]


def _waiting(items: Table) -> Expression:
    return (items.kind == "payment").ifelse("payment_on_account", items.kind)


def _strays(stray: Table, like: Table, groups: Sequence[str]) -> Table:
    """Return rows of the second table that name no invoice, no credit, no day or no money."""
    number = (stray.link_row * 2 * _ROWS) * _PARTS + _LINK
    fields = {
        "row": number,
        "source_row": ibis.literal(0, "int64"),
        "customer_id": stray.credit_customer,
        "document": stray.credit_id,
        "line": stray.link_row.cast("string"),
        "against_document": stray.against,
        "kind": ibis.literal("payment"),
        "booking_date": stray.link_date,
        "due_date": ibis.null("date"),
        "end_date": ibis.null("date"),
        "amount": (-stray.taken).cast(MONEY_TYPE),
        "fault": ibis.literal("unmatched_link"),
        "said_settled": ibis.null("date"),
    }
    fields |= {name: ibis.null(like[name].type()) for name in groups}
    return stray.select(**{name: fields[name] for name in like.columns})
