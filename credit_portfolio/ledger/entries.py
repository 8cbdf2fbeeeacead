"""A ledger of signed entries: what each kind of entry may be, and the invoices that follow.

An entry is one booking: it raises what a customer owes (an invoice) or lowers it. One document may
hold many entries (a payment over many invoices), and many documents may name one invoice. All rules
look back only: whether an entry is accepted never depends on what is booked after it, so that the
book of any past day is the book as it was known then. Copies are the exception: they are a fault of
the file.

Everything here is Ibis expressions on tables; nothing is written in the words of one engine.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from credit_portfolio.ledger.quality import MONEY_DIGITS, MONEY_PLACES
from credit_portfolio.ledger.schema import INVOICE_COLUMNS, Column

if TYPE_CHECKING:
    from credit_portfolio.ledger.source import Expression, Table

Store: TypeAlias = Callable[[str, Any], Any]
"""Takes a name and a table expression, computes it where the data are, returns what refers to it"""

MONEY_TYPE = f"decimal({MONEY_DIGITS}, {MONEY_PLACES})"

KINDS: Mapping[str, str] = {
    "invoice": "a sale on credit; amount above 0, with a due date",
    "payment": "money received for the invoice it names; below 0",
    "credit_note": "a sale taken back, in part or whole; below 0; without an invoice it is credit "
    "on account",
    "write_off": "money given up on the invoice it names; below 0; a loss, never a payment",
    "discount": "money allowed for early payment of the invoice it names; below 0; never received",
    "dispute": "marks the invoice it names from its date to its end; no amount",
    "reversal": "undoes the whole document it names from its date on; amount blank, or the "
    "opposite of the document's",
    "payment_on_account": "money received for no invoice yet; below 0; above 0 when it is used up",
}
"""Every kind of entry and what it means."""

CLAIMS = ("payment", "credit_note", "write_off", "discount")
"""Kinds that lower what is open on the invoice they name."""

ENTRY_COLUMNS: tuple[Column, ...] = (
    Column("customer_id", "text", True, "who owes; text, leading zeros count"),
    Column("document", "text", True, "number of the document; its entries share it"),
    Column("line", "text", False, "tells entries apart that are else alike"),
    Column("against_document", "text", False, "the invoice it is for, or the document it undoes"),
    Column("kind", "text", True, "one of: " + ", ".join(KINDS)),
    Column("booking_date", "date", True, "day from which the entry counts"),
    Column("due_date", "date", False, "of an invoice: day on which payment is due"),
    Column("end_date", "date", False, "of a dispute: day from which it is settled"),
    Column("amount", "money", False, "signed: what it adds to the money owed"),
    Column("currency", "text", False, "currency of the row; one currency a ledger"),
)
ENTRY_NAMES = tuple(column.name for column in ENTRY_COLUMNS)
SHOWN = tuple(name for name in ENTRY_NAMES if name != "currency")  # of which a ledger has one

POSITION_COLUMNS: tuple[str, ...] = (*INVOICE_COLUMNS, "credited", "discount")
"""Columns of :func:`invoices_from_entries`; the grouping columns follow them."""


@dataclass(frozen=True, slots=True)
class EntryRule:
    """One way in which an entry can be wrong.

    Parameters
    ----------
    name : str
        What the rule is called.
    meaning, what_to_do : str
        A sentence each.
    reason : str
        Template of what was found; fields are the entry's columns.
    broken : callable, optional
        From the table of entries to a condition; None where rows are compared with others, or
        where the reader decides.
    """

    name: str
    meaning: str
    what_to_do: str
    reason: str
    broken: Callable[[Any], Any] | None = None


def _blank(text: Any) -> Any:
    return text.isnull()


def _is(t: Any, *kinds: str) -> Any:
    return t.kind.isin(kinds).fill_null(False)


ENTRY_RULES: tuple[EntryRule, ...] = (
    EntryRule(
        "malformed_row",
        "The line has another number of fields than the header.",
        "Quote fields that hold the separator or a line break, and close every quote.",
        "the line has another number of fields than the header",
    ),
    EntryRule(
        "marked_void",
        "The source itself marks the row as no longer valid.",
        "Nothing: such a row is kept here so that every row is accounted for.",
        "the source marks the row as void",
    ),
    EntryRule(
        "unmapped_row",
        "No rule of the profile says which kind of entry the row is.",
        "Add a KindRule to the profile for such rows.",
        "no rule of the profile says what kind of entry this is",
    ),
    EntryRule(
        "unreadable_side",
        "The flag for debit or credit is blank or not one of the profile's words.",
        "Fill in the flag, or give the profile the words.",
        "the flag for debit or credit is not one of the profile's words",
    ),
    EntryRule(
        "unmatched_link",
        "A row of the second table names no accepted credit or no accepted invoice.",
        "Export both tables of the same day and all their rows.",
        "row {line} of the second table matches {document} with {against_document}, and not both "
        "are accepted",
    ),
    EntryRule(
        "bad_discount",
        "The discount of a payment is below 0, or not less than the payment's amount.",
        "Mend the figure, or book the discount as an entry of its own.",
        "the discount does not fit the amount {amount}",
    ),
    EntryRule(
        "too_many_decimals",
        "Money is written with more than four decimals; it is not rounded in silence.",
        "Round to four decimals or fewer in the source.",
        "money is written with more than four decimals",
    ),
    EntryRule(
        "amount_too_large",
        "Money has more than fourteen digits before the decimal mark.",
        "Check the figure, or count in a larger unit.",
        "money has more than fourteen digits before the decimal mark",
    ),
    EntryRule(
        "other_currency",
        "The row is in another currency than the one asked for; it is never added up with it.",
        "Open one ledger for each currency.",
        "the row is in another currency than the one asked for",
    ),
    EntryRule(
        "implausible_date",
        "A date is before 1970 or more than five years after today.",
        "Mend the year; leave blank what is not known.",
        "a date is before 1970 or more than five years after today",
    ),
    EntryRule(
        "missing_customer_id",
        "The entry does not say whose it is.",
        "Fill in the customer, or book the entry outside the ledger.",
        "customer_id is blank",
        lambda t: _blank(t.customer_id),
    ),
    EntryRule(
        "missing_document",
        "The entry has no document number, so copies of it could not be told.",
        "Fill in the document number.",
        "document is blank",
        lambda t: _blank(t.document),
    ),
    EntryRule(
        "unknown_kind",
        "The kind is none of those that an entry can be.",
        "Use the kinds of the table of entries, or give the profile rules for its own words.",
        "kind {kind} is not known",
        lambda t: ~_is(t, *KINDS),
    ),
    EntryRule(
        "unreadable_booking_date",
        "The booking date is missing or not in the profile's date format.",
        "Write the date in the profile's format, or pass date_format=.",
        "booking_date is blank or no date in the profile's format",
        lambda t: t.booking_date.isnull(),
    ),
    EntryRule(
        "amount_not_a_number",
        "The amount is blank or not a finite number.",
        "Write plain figures; pass decimal='.' or decimal=',' where marks are mixed or unclear.",
        "amount is blank or not a number",
        lambda t: t.amount.isnull() & ~_is(t, "dispute", "reversal"),
    ),
    EntryRule(
        "wrong_sign",
        "The amount's sign does not fit the kind: invoices are above 0, what lowers them below.",
        "Turn the sign; book an undone payment as a reversal; leave a dispute's amount blank.",
        "amount {amount} has the wrong sign for a {kind}",
        lambda t: _wrong_sign(t),
    ),
    EntryRule(
        "unreadable_due_date",
        "The invoice's due date is missing or not in the profile's date format.",
        "Write the date in the profile's format; work terms out to a date.",
        "due_date is blank or no date in the profile's format",
        lambda t: _is(t, "invoice") & t.due_date.isnull(),
    ),
    EntryRule(
        "due_before_invoiced",
        "The invoice is due before its own date.",
        "Mend the date that is wrong.",
        "due_date {due_date} is before booking_date {booking_date}",
        lambda t: _is(t, "invoice") & (t.due_date < t.booking_date),
    ),
    EntryRule(
        "ended_before_disputed",
        "The dispute ends before it begins.",
        "Mend the date that is wrong.",
        "end_date {end_date} is before booking_date {booking_date}",
        lambda t: _is(t, "dispute") & (t.end_date < t.booking_date),
    ),
    EntryRule(
        "missing_against_document",
        "The entry does not say which document it is for.",
        "Fill in the document; only payments and credit notes can be on account.",
        "against_document is blank",
        lambda t: (
            _is(t, "write_off", "discount", "dispute", "reversal") & _blank(t.against_document)
        ),
    ),
    EntryRule(
        "needless_against_document",
        "An invoice or a payment on account names another document.",
        "Leave it blank; book money for an invoice as a payment, a re-bill as its own invoice.",
        "a {kind} names against_document {against_document}",
        lambda t: _is(t, "invoice", "payment_on_account") & ~_blank(t.against_document),
    ),
    EntryRule(
        "identical_copy",
        "The row repeats another row of the same entry in every column; the first is kept.",
        "Nothing is lost; number the lines where both are meant.",
        "the row repeats another one of document {document} in every column",
    ),
    EntryRule(
        "conflicting_copies",
        "Rows of the same entry differ; nobody can tell which is right, so all are rejected.",
        "Keep the right row; number the lines where all are meant, or join what makes numbers "
        "unique.",
        "document {document} stands on several rows of the same kind that differ",
    ),
    EntryRule(
        "unknown_against_document",
        "No accepted entry has the document that it names.",
        "Mend the number, add the missing document, or book the money on account.",
        "against_document {against_document} is not among the accepted documents",
    ),
    EntryRule(
        "dated_before_document",
        "The entry is dated before the document that it names.",
        "Mend the date; money received before its invoice is a payment on account until then.",
        "booking_date {booking_date} is before the date of against_document {against_document}",
    ),
    EntryRule(
        "ambiguous_reversal",
        "The number that is undone belongs to an invoice and to an entry of another kind.",
        "Number documents apart.",
        "against_document {against_document} is an invoice and something else as well",
    ),
    EntryRule(
        "reversal_amount_differs",
        "The reversal's amount is not the opposite of the document's.",
        "Leave it blank, or mend it; a part is undone by undoing all and booking the rest again.",
        "amount {amount} is not the opposite of all that document {against_document} holds",
    ),
    EntryRule(
        "already_reversed",
        "The document is undone by an earlier reversal.",
        "Keep one of the reversals.",
        "document {against_document} is reversed already",
    ),
    EntryRule(
        "booked_after_reversal",
        "The entry, or the invoice that it names, was reversed before its date.",
        "Mend the date, give it a number of its own, or book the money on account.",
        "document {document} or the invoice {against_document} was reversed before {booking_date}",
    ),
    EntryRule(
        "over_allocated",
        "With this entry more is taken off the invoice than it is worth.",
        "Book the surplus on account, or mend the figures.",
        "with {amount} of {booking_date} more is taken off invoice {against_document} than it has",
    ),
    EntryRule(
        "on_account_overdrawn",
        "More money on account is used up than the customer has there.",
        "Mend the figures, or add the missing receipt.",
        "with {amount} of {booking_date} customer {customer_id} has less than nothing on account",
    ),
)
ENTRY_RULE: Mapping[str, EntryRule] = {rule.name: rule for rule in ENTRY_RULES}


def _wrong_sign(t: Any) -> Any:
    """Return whether the amount cannot be one of its kind; 0 is no amount."""
    on_account = _is(t, "payment_on_account") | (_is(t, "credit_note") & _blank(t.against_document))
    wrong = (
        (_is(t, "invoice") & (t.amount <= 0))
        | (_is(t, *CLAIMS) & ~on_account & (t.amount >= 0))
        | (on_account & (t.amount == 0))
        | (_is(t, "dispute") & (t.amount != 0))
    )
    return wrong.fill_null(False)


def at_once(name: str, table: Any) -> Any:
    """Store nothing: leave a table expression as it is."""
    return table


def judge_entries(
    entries: Table,
    groups: Sequence[str] = (),
    store: Store = at_once,
    empty: Callable[[Any], bool] = lambda table: False,
) -> Table:
    """Return the entries with the first rule that each breaks, empty when accepted.

    Parameters
    ----------
    entries : table expression
        Columns row (whole number, unique), customer_id, document, line, against_document, kind,
        booking_date, due_date, end_date, amount (decimal), fault (a rule that the reader found
        broken, else empty), and the groups. Blank texts are NULL.
    groups : sequence of str
        Further columns; copies are identical only when these agree too.
    store : callable, optional
        Computes a table and returns what refers to it. Each step is used several times by the
        next, so an engine that does not share common parts is slow without.
    empty : callable, optional
        Says whether a stored table has no rows; then a step that found nothing costs no copy of
        the entries.

    Returns
    -------
    table expression
        The same rows and columns, and ``rule``.

    Notes
    -----
    Within a day reversals come first, then entries in the order of ``row``.
    """
    judged = store("entries_own", entries.mutate(rule=_first_broken(entries)))
    steps: dict[str, Callable[[Any], Any]] = {
        "copies": lambda t: copies_among(t, groups),
        "named": _named,
        "undone": _undone,
        "late": _late,
        "over": _over_allocated,
        "overdrawn": _overdrawn,
    }
    for name, find in steps.items():
        found = store(f"found_{name}", find(judged))
        if not empty(found):
            judged = store(f"entries_{name}", _verdicts(judged, found))
    return judged


def _first_broken(entries: Table) -> Expression:
    name: Any = ""
    for rule in reversed(ENTRY_RULES):
        if rule.broken is not None:
            name = rule.broken(entries).fill_null(False).ifelse(rule.name, name)
    return (entries.fault != "").ifelse(entries.fault, name)


def _verdicts(judged: Table, found: Table) -> Table:
    """Give rows their verdict; those that have none keep what they had."""
    found = found.select(verdict_row=found.row, verdict=found.verdict)
    joined = judged.left_join(found, judged.row == found.verdict_row)
    kept = [name for name in judged.columns if name != "rule"]
    return joined.select(*kept, rule=joined.verdict.fill_null(joined.rule))


def copies_among(judged: Table, groups: Sequence[str]) -> Table:
    """Return row and verdict of the copies to reject among those that broke no rule.

    An invoice is its number alone; other entries are also told by what they name and their line.
    """
    clean = judged.filter(judged.rule == "")
    alone = clean.kind == "invoice"
    clean = clean.mutate(
        aim=alone.ifelse("", clean.against_document.fill_null("")),
        part=alone.ifelse("", clean.line.fill_null("")),
    )
    key = ["kind", "document", "aim", "part"]
    facts = ["customer_id", "booking_date", "due_date", "end_date", "amount", *groups]
    counted = clean.group_by(key).aggregate(n=clean.count())
    # Most keys stand once: only the others are compared in full.
    clean = clean.semi_join(counted.filter(counted.n > 1), key)
    sums = {"rows": clean.count(), "first": clean.row.min()}
    for index, fact in enumerate(facts):
        cell = clean[fact].cast("string") if fact in groups else clean[fact]
        sums |= {f"lo{index}": cell.min(), f"hi{index}": cell.max(), f"n{index}": cell.count()}
    several = clean.group_by(key).aggregate(**sums)
    same = several.rows > 0
    for index in range(len(facts)):
        equal = (several[f"lo{index}"] == several[f"hi{index}"]).fill_null(True)
        whole = (several[f"n{index}"] == 0) | (several[f"n{index}"] == several.rows)
        same = same & equal & whole
    several = several.select(*key, "first", same=same)
    joined = clean.inner_join(several, key)
    bad = joined.filter(~(joined.same & (joined.row == joined["first"])))
    return bad.select("row", verdict=bad.same.ifelse("identical_copy", "conflicting_copies"))


def _invoices(judged: Table) -> Table:
    """Return number, date and amount of the accepted invoices."""
    t = judged.filter((judged.rule == "") & (judged.kind == "invoice"))
    return t.select(named=t.document, named_date=t.booking_date, named_amount=t.amount)


def _named(judged: Table) -> Table:
    """Return what names an invoice that is not there, or not there yet."""
    t = judged.filter(
        (judged.rule == "")
        & judged.kind.isin((*CLAIMS, "dispute"))
        & judged.against_document.notnull()
    )
    invoices = _invoices(judged)
    t = t.left_join(invoices, t.against_document == invoices.named)
    early = (t.booking_date < t.named_date).fill_null(False)
    bad = t.filter(t.named.isnull() | early)
    verdict = bad.named.isnull().ifelse("unknown_against_document", "dated_before_document")
    return bad.select("row", verdict=verdict)


def _reversals(judged: Table) -> Table:
    t = judged.filter((judged.rule == "") & (judged.kind == "reversal"))
    return t.select("row", undoes=t.against_document, undone_on=t.booking_date, opposite=t.amount)


def _undone(judged: Table) -> Table:
    """Return the reversals that cannot be."""
    reversals = _reversals(judged)
    parts = judged.filter((judged.rule == "") & (judged.kind != "reversal"))
    parts = parts.select("document", "kind", "booking_date", "amount")
    pairs = reversals.left_join(parts, reversals.undoes == parts.document)
    booked = (pairs.booking_date <= pairs.undone_on).fill_null(False)
    invoice = booked & (pairs.kind == "invoice").fill_null(False)
    other = booked & (pairs.kind != "invoice").fill_null(False)
    facts = pairs.group_by(["row", "undoes", "undone_on", "opposite"]).aggregate(
        parts=pairs.document.count(),
        booked=booked.ifelse(1, 0).sum(),
        total=booked.ifelse(pairs.amount, None).sum(),
        invoices=invoice.ifelse(1, 0).sum(),
        others=other.ifelse(1, 0).sum(),
    )
    stated = (facts.opposite != 0).fill_null(False)
    differs = stated & (facts.opposite + facts.total.fill_null(0) != 0)
    verdict = differs.ifelse("reversal_amount_differs", "")
    both = (facts.invoices > 0) & (facts.others > 0)
    verdict = both.ifelse("ambiguous_reversal", verdict)
    verdict = (facts.booked == 0).ifelse("dated_before_document", verdict)
    verdict = (facts.parts == 0).ifelse("unknown_against_document", verdict)
    facts = facts.mutate(verdict=verdict)
    order = [facts.undone_on, facts.row]
    place = facts.row.count().over(
        group_by=[facts.undoes, facts.verdict], order_by=order, rows=(None, 0)
    )
    facts = facts.mutate(place=place)
    again = (facts.verdict == "") & (facts.place > 1)
    facts = facts.mutate(verdict=again.ifelse("already_reversed", facts.verdict))
    return facts.filter(facts.verdict != "").select("row", "verdict")


def _voids(judged: Table) -> Table:
    """Return the documents that an accepted reversal undoes, and from which day on."""
    t = _reversals(judged)
    return t.group_by(voided=t.undoes).aggregate(void_from=t.undone_on.min())


def _with_voids(t: Table, voids: Table) -> Table:
    """Add the days from which the entry itself and the invoice that it names are undone."""
    named = voids.select(voided_named=voids.voided, named_void_from=voids.void_from)
    t = t.left_join(voids, t.document == voids.voided).drop("voided")
    return t.left_join(named, t.against_document == named.voided_named).drop("voided_named")


def _late(judged: Table) -> Table:
    """Return what is booked to a document, or to an invoice, after it was undone."""
    t = _with_voids(judged.filter(judged.rule == ""), _voids(judged))
    t = t.filter(t.kind != "reversal")
    late = (t.booking_date > t.void_from).fill_null(False)
    late = late | (t.booking_date > t.named_void_from).fill_null(False)
    return t.filter(late).select("row", verdict=t.kind.isnull().ifelse("", "booked_after_reversal"))


def _standing(t: Table) -> Table:
    """Return the rows that stand for at least a day: not undone on their own date."""
    return t.filter((t.void_from > t.booking_date).fill_null(True))


def _claims(judged: Table, voids: Table) -> Table:
    """Return the accepted rows that lower an invoice, with the days on which they are undone."""
    t = judged.filter(
        (judged.rule == "") & judged.kind.isin(CLAIMS) & judged.against_document.notnull()
    )
    return _standing(_with_voids(t, voids))


def _over_allocated(judged: Table) -> Table:
    """Return claims with which all that was claimed up to then is above the invoice's amount.

    A claim that is above the amount by itself is refused and forgotten. Others count on when they
    are refused, up to their own reversal; so an invoice once over-allocated refuses what follows
    until something is undone. That makes the verdict one running sum.
    """
    claims = _claims(judged, _voids(judged))
    invoices = _invoices(judged).select(invoice="named", worth="named_amount")
    claims = claims.inner_join(invoices, claims.against_document == invoices.invoice)
    absurd = claims.filter(-claims.amount > claims.worth)
    claims = claims.filter(-claims.amount <= claims.worth)
    undone = claims.filter(claims.void_from.notnull())
    events = claims.select(
        "row",
        "worth",
        named=claims.against_document,
        day=claims.booking_date,
        order=1,
        taken=-claims.amount,
    ).union(
        undone.select(
            "row",
            "worth",
            named=undone.against_document,
            day=undone.void_from,
            order=0,
            taken=undone.amount,
        )
    )
    events = events.mutate(
        running=events.taken.sum().over(
            group_by=events.named,
            order_by=[events.day, events.order, events.row],
            rows=(None, 0),
        )
    )
    bad = events.filter((events.order == 1) & (events.running > events.worth))
    found = bad.select("row").union(absurd.select("row"))
    return found.mutate(verdict=found.row.isnull().ifelse("", "over_allocated"))


def _on_account(t: Table) -> Expression:
    """Return whether an entry is money or credit for no invoice."""
    return (t.kind == "payment_on_account") | (
        t.kind.isin(("payment", "credit_note")) & t.against_document.isnull()
    )


def _pool(t: Table) -> Expression:
    return (t.kind == "credit_note").ifelse("credit", "cash")


def _overdrawn(judged: Table) -> Table:
    """Return the rows that use up more than the customer has on account on that day."""
    voids = _voids(judged)
    t = judged.filter(judged.rule == "")
    own = _standing(_with_voids(t.filter(_on_account(t)), voids))
    # What was paid for an invoice that is then undone is on account from that day on.
    freed = _claims(judged, voids)
    freed = freed.filter(
        freed.kind.isin(("payment", "credit_note"))
        & freed.named_void_from.notnull()
        & (freed.void_from > freed.named_void_from).fill_null(True)
    )
    freed = freed.mutate(booking_date=freed.named_void_from)
    moves = own.select(
        "row",
        "customer_id",
        "void_from",
        pool=_pool(own),
        day=own.booking_date,
        order=(own.amount < 0).ifelse(0, 2),
        there=-own.amount,
    ).union(
        freed.select(
            "row",
            "customer_id",
            "void_from",
            pool=_pool(freed),
            day=freed.booking_date,
            order=(freed.amount < 0).ifelse(0, 2),
            there=-freed.amount,
        )
    )
    undone = moves.filter(moves.void_from.notnull())
    columns = ["row", "customer_id", "pool", "day", "order", "there"]
    events = moves.select(columns).union(
        undone.mutate(day=undone.void_from, order=1, there=-undone.there).select(columns)
    )
    events = events.mutate(
        running=events.there.sum().over(
            group_by=[events.customer_id, events.pool],
            order_by=[events.day, events.order, events.row],
            rows=(None, 0),
        )
    )
    bad = events.filter((events.order == 2) & (events.running < 0))
    return bad.select("row", verdict=(bad.order == 2).ifelse("on_account_overdrawn", ""))


# --- positions ----------------------------------------------------------------------------------


def invoices_from_entries(
    accepted: Table, as_of: datetime.date, groups: Sequence[str] = ()
) -> Table:
    """Return the invoices of accepted entries as they were known on a day.

    ``collected + discount + written_off + open = amount``, where ``amount`` is the invoiced money
    less ``credited``. A discount is neither collected nor lost to default: it is money that never
    comes, so a return on cost sees it as such.

    Parameters
    ----------
    accepted : table expression
        Entries that broke no rule, with the columns of :func:`judge_entries`.
    as_of : datetime.date
        The day; nothing dated after it is used.
    groups : sequence of str
        Grouping columns, taken from the invoice's own entry.

    Returns
    -------
    table expression
        One row an invoice that is not undone: ``POSITION_COLUMNS`` and the groups. An invoice
        credited in full has amount 0. ``settled_date`` is the day from which nothing is open.
    """
    t = accepted.filter(accepted.booking_date <= as_of)
    voids = _voids(t.mutate(rule=t.fault))
    t = _with_voids(t, voids)
    invoices = t.filter((t.kind == "invoice") & t.void_from.isnull())
    claims = _standing(t.filter(t.kind.isin(CLAIMS) & t.against_document.notnull()))
    sums = _sums(claims.filter(claims.void_from.isnull()))
    closing = _closing(invoices, claims)
    disputes = _disputes(t, as_of)
    j = invoices.select(
        "customer_id",
        "due_date",
        *groups,
        invoice_id=invoices.document,
        invoice_date=invoices.booking_date,
        billed=invoices.amount,
    )
    j = j.left_join(sums, j.invoice_id == sums.sums_of)
    j = j.left_join(closing, j.invoice_id == closing.closing_of)
    j = j.left_join(disputes, j.invoice_id == disputes.dispute_of)
    money = {name: j[f"{name}_"].fill_null(0).cast(MONEY_TYPE) for name in CLAIM_SUMS.values()}
    amount = (j.billed - money["credited"]).cast(MONEY_TYPE)
    left = amount - money["collected"] - money["discount"] - money["written_off"]
    j = j.mutate(
        **money, amount=amount, open=left.cast(MONEY_TYPE), disputed=j.dispute_of.notnull()
    )
    j = j.mutate(settled_date=(j.open == 0).ifelse(j.closed_on, None))
    return j.select(*POSITION_COLUMNS, *groups)


CLAIM_SUMS: Mapping[str, str] = {
    "payment": "collected",
    "credit_note": "credited",
    "write_off": "written_off",
    "discount": "discount",
}
"""Kind of a claim -> the column of the invoice that it adds to."""


def _sums(claims: Table) -> Table:
    sums = {
        f"{name}_": (claims.kind == kind).ifelse(-claims.amount, 0).sum()
        for kind, name in CLAIM_SUMS.items()
    }
    return claims.group_by(sums_of=claims.against_document).aggregate(**sums)


def _closing(invoices: Table, claims: Table) -> Table:
    """Return the day from which nothing is open any more, of those where that is so at the end.

    It is the first day with a change after the last day that ended with money open.
    """
    undone = claims.filter(claims.void_from.notnull())
    changes = claims.select(
        named=claims.against_document, day=claims.booking_date, taken=-claims.amount
    ).union(undone.select(named=undone.against_document, day=undone.void_from, taken=undone.amount))
    days = changes.group_by(["named", "day"]).aggregate(taken=changes.taken.sum())
    days = days.mutate(
        running=days.taken.sum().over(group_by=days.named, order_by=days.day, rows=(None, 0))
    )
    billed = invoices.select(invoice=invoices.document, billed=invoices.amount)
    days = days.inner_join(billed, days.named == billed.invoice)
    still = (days.running < days.billed).ifelse(days.day, None)
    days = days.mutate(last_open=still.max().over(group_by=days.named))
    after = days.filter((days.day > days.last_open).fill_null(True))
    return after.group_by(closing_of=after.named).aggregate(closed_on=after.day.min())


def _disputes(t: Table, as_of: datetime.date) -> Table:
    """Return the invoices that are disputed on the day."""
    lasting = (t.end_date > as_of).fill_null(True)
    t = t.filter((t.kind == "dispute") & t.void_from.isnull() & lasting)
    return t.select(dispute_of=t.against_document).distinct()


def unapplied_on(accepted: Table, as_of: datetime.date) -> Table:
    """Return money and credit of each customer that belong to no invoice on a day.

    Payments on account less what was used up, and what was paid or credited on invoices that
    have since been undone.

    Parameters
    ----------
    accepted : table expression
        Entries that broke no rule.
    as_of : datetime.date
        The day; nothing dated after it is used.

    Returns
    -------
    table expression
        Columns customer_id, unapplied_cash, unapplied_credit: one row a customer who has either.
        Below 0 where a receipt was undone after it had been used up.
    """
    t = accepted.filter(accepted.booking_date <= as_of)
    t = _with_voids(t, _voids(t.mutate(rule=t.fault)))
    t = t.filter(t.void_from.isnull())
    freed = t.kind.isin(("payment", "credit_note")) & t.named_void_from.notnull()
    t = t.filter(_on_account(t) | freed)
    credit = t.kind == "credit_note"
    sums = t.group_by("customer_id").aggregate(
        unapplied_cash=credit.ifelse(0, -t.amount).sum().cast(MONEY_TYPE),
        unapplied_credit=credit.ifelse(-t.amount, 0).sum().cast(MONEY_TYPE),
    )
    return sums.filter((sums.unapplied_cash != 0) | (sums.unapplied_credit != 0))
