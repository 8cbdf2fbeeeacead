"""Where companies keep their entries: what each system calls things, as data.

A profile names columns, words and codes; it holds no code. Adding a system means adding data here,
or making an :class:`EntryProfile` of one's own. What a source cannot say is asked of the caller:
above all which rows are write-offs, since a loss that counts as paid turns −100 % into a profit.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from credit_portfolio.errors import ModelError, did_you_mean, listing
from credit_portfolio.ledger.entries import CLAIMS, ENTRY_NAMES, KINDS

NO_WRITE_OFFS = "none"
"""What a caller passes as ``write_offs`` to say that a source holds none."""

MATCHINGS: Mapping[str, str] = MappingProxyType(
    {
        "reference": "each row names the document it is for",
        "clearing": "rows that were cleared together share a number",
        "links": "a second table says which credit went to which debit, and how much",
        "row": "the row of an invoice also says when and how it was settled",
    }
)
"""How a source says what a payment was for."""

LINE_COLUMNS: Mapping[str, str] = MappingProxyType(
    {
        "customer_id": "who owes",
        "document": "number of the document",
        "line": "number of the line in the document",
        "against_document": "the document that the row is for, or that it undoes",
        "undoes": "the document that a reversal undoes, where another column says so",
        "kind": "the kind in our own words",
        "booking_date": "day from which the row counts",
        "due_date": "day on which payment is due",
        "base_date": "day from which terms of payment run",
        "end_date": "day on which a dispute ends",
        "amount": "money",
        "discount": "part of a payment's amount that was allowed as discount",
        "currency": "currency of the amount",
        "clearing": "number that rows cleared together share",
        "clearing_date": "day on which they were cleared",
        "settled_date": "of matching 'row': day of the settlement",
        "settled_amount": "of matching 'row': money settled; all when blank or not there",
        "line_id": "of matching 'links': by what the second table names the row",
    }
)
"""What the columns of a profile may say."""

LINK_COLUMNS: tuple[str, ...] = ("credit_id", "debit_id", "link_date", "link_amount")
"""Columns of the second table, all required: two ``line_id``, the day, and the money above 0."""


@dataclass(frozen=True, slots=True)
class KindRule:
    """Which rows are of a kind: each column named holds one of the texts.

    Parameters
    ----------
    kind : str
        One of ``entries.KINDS``.
    when : mapping of str to tuple of str
        Source column -> texts, compared without case; an empty text is a blank cell.
    sign : int
        1 for amounts above 0 only, -1 for those below, 0 for any.

    Examples
    --------
    >>> KindRule("credit_note", {"BSCHL": ("11",)}).kind
    'credit_note'
    """

    kind: str
    when: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    sign: int = 0

    def __post_init__(self) -> None:
        """Check the kind, and freeze the mapping."""
        if self.kind not in KINDS:
            raise ModelError(
                f"a rule is for the kind {self.kind!r}; expected one of {listing(KINDS, 10)}."
                f"{did_you_mean(self.kind, KINDS)}"
            )
        _refuse_no_texts(self.when)
        object.__setattr__(self, "when", MappingProxyType(dict(self.when)))


@dataclass(frozen=True, slots=True)
class Sides:
    """The column that says debit or credit where amounts have no sign."""

    column: str
    debit: tuple[str, ...]
    credit: tuple[str, ...]


@dataclass(frozen=True, eq=False, slots=True)
class EntryProfile:
    """How one system keeps its entries.

    Parameters
    ----------
    name : str
        What the profile is called in reports.
    columns : mapping
        What it says (``LINE_COLUMNS``) -> source column, or several that are joined by ``/``.
    kinds : tuple of KindRule
        The first that fits says the kind; none are needed where a column says it in our own
        words. With matching ``"row"`` they tell the kind of the settlement.
    matching : str
        How payments are matched to invoices, one of ``MATCHINGS``.
    may_be_absent : frozenset of str
        Source columns that need not exist; they count as blank.
    neighbours : frozenset of str
        Columns of the system that are nearly called like one of those, and are no misspellings.
    sides : Sides, optional
        Which column says debit or credit; None where amounts carry their sign.
    pad : mapping of str to int
        Source column -> width to which texts of digits are filled up with zeros from the left.
    whole : tuple of str
        Source columns whose whole numbers may be written like ``123.0``. (Where a column is held
        against texts, a binary float that is a whole number is always taken for that.)
    blanks : mapping of str to tuple of str
        Source column -> texts that mean nothing is there.
    void : mapping of str to tuple of str
        Source column -> texts that say that the row is no longer valid.
    due_days : tuple of str
        Source columns with days from ``base_date`` to the due date; the first above 0 counts.
    links : mapping of str to str
        For matching ``"links"``: ``LINK_COLUMNS`` -> column of the second table.
    tells_write_offs : bool
        Whether the rows by themselves tell a write-off from a payment.
    ask : str
        What could tell, where they do not; part of the question to the caller.
    date_formats : tuple of str
        Formats of dates in text.
    currency : str
        The currency of all rows; empty when unknown.
    """

    name: str
    columns: Mapping[str, str | tuple[str, ...]]
    kinds: tuple[KindRule, ...] = ()
    matching: str = "reference"
    may_be_absent: frozenset[str] = frozenset()
    neighbours: frozenset[str] = frozenset()
    sides: Sides | None = None
    pad: Mapping[str, int] = field(default_factory=dict)
    whole: tuple[str, ...] = ()
    blanks: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    void: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    due_days: tuple[str, ...] = ()
    links: Mapping[str, str] = field(default_factory=dict)
    tells_write_offs: bool = True
    ask: str = ""
    date_formats: tuple[str, ...] = ("%Y-%m-%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00")
    currency: str = ""

    def __post_init__(self) -> None:
        """Check the names, and freeze the mappings."""
        _check_columns(self)
        for name in ("columns", "pad", "blanks", "void", "links"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))

    def parts_of(self, field: str) -> tuple[str, ...]:
        """Return the source columns of a field, several where they are joined, none for no such."""
        parts = self.columns.get(field, ())
        return (parts,) if isinstance(parts, str) else tuple(parts)

    def part_of(self, field: str) -> str | None:
        """Return the one source column of a field, the first of several; None for no such."""
        return next(iter(self.parts_of(field)), None)

    def fields(self) -> dict[str, str]:
        """Return the field that each source column is for, the first where it is for several."""
        found: dict[str, str] = {}
        for name in self.columns:
            for part in self.parts_of(name):
                found.setdefault(part, name)
        return found

    def codes(self) -> tuple[str, ...]:
        """Return the source columns whose cells are held against texts, each once."""
        names = [name for rule in self.kinds for name in rule.when]
        names += self.void
        if self.sides is not None:
            names.append(self.sides.column)
        return tuple(dict.fromkeys(names))

    def sources(self) -> tuple[str, ...]:
        """Return every source column that the profile looks at, each once."""
        names = [name for field in self.columns for name in self.parts_of(field)]
        for rule in self.kinds:
            names += rule.when
        names += [*self.void, *self.due_days]
        if self.sides is not None:
            names.append(self.sides.column)
        return tuple(dict.fromkeys(names))


def _check_columns(profile: EntryProfile) -> None:
    if profile.matching not in MATCHINGS:
        raise ModelError(
            f"profile {profile.name!r} has matching {profile.matching!r}; expected one of "
            f"{listing(MATCHINGS, 10)}.{did_you_mean(profile.matching, MATCHINGS)}"
        )
    unknown = [name for name in profile.columns if name not in LINE_COLUMNS]
    if unknown:
        raise ModelError(
            f"profile {profile.name!r} names {listing(unknown)}; expected columns out of "
            f"{listing(LINE_COLUMNS, 20)}.{did_you_mean(unknown[0], LINE_COLUMNS)}"
        )
    nowhere = [name for name in profile.columns if not all(profile.parts_of(name) or [""])]
    if nowhere:
        raise ModelError(
            f"profile {profile.name!r} gives no source column for {listing(nowhere)}; expected a "
            "name, or several: leave out what the source does not have"
        )
    needed = ["customer_id", "document", "booking_date", "amount"]
    needed += {
        "reference": ["against_document"],
        "clearing": ["clearing", "clearing_date"],
        "links": ["line_id"],
        "row": ["settled_date"],
    }[profile.matching]
    missing = [name for name in needed if name not in profile.columns]
    if missing:
        raise ModelError(
            f"profile {profile.name!r} with matching {profile.matching!r} has no source column for "
            f"{listing(missing, 10)}: add them to `columns`"
        )
    if profile.matching == "links" and set(profile.links) != set(LINK_COLUMNS):
        raise ModelError(
            f"profile {profile.name!r} names {listing(profile.links, 10) or 'nothing'} of the "
            f"second table; expected {listing(LINK_COLUMNS, 10)} in `links`"
        )
    if not profile.kinds and "kind" not in profile.columns:
        raise ModelError(
            f"profile {profile.name!r} cannot tell the kinds apart; expected `kinds`, or a column "
            "for 'kind'"
        )


def _refuse_no_texts(when: Mapping[str, Any]) -> None:
    bare = [name for name, texts in when.items() if isinstance(texts, str)]
    if bare:
        raise TypeError(f"the texts of {bare[0]!r} come in a tuple, such as ({when[bare[0]]!r},)")
    for name, texts in when.items():
        cells = texts if isinstance(texts, Iterable) else (texts,)
        wrong = [cell for cell in (name, *cells) if not isinstance(cell, str)]
        if wrong:
            raise ModelError(
                f"{name!r} and its texts hold {wrong[0]!r}, {type(wrong[0]).__name__}; expected "
                f"text, as the column writes it, such as {str(wrong[0])!r}: put it in quotes"
            )


# Blank where an extract holds nothing but receivables, and leaves the column out.
_ERP_ROWS = {"account_type": ("Receivable", "")}
_ODOO_ROWS = {"account_type": ("asset_receivable", "")}

_SAP_DATES = ("%Y%m%d", "%d.%m.%Y", "%Y-%m-%d")
_NO_DAY = ("00000000", "00.00.0000", "0000-00-00", "0")

_SAP = EntryProfile(
    "sap",
    {
        "customer_id": "KUNNR",
        "document": "BELNR",
        "line": "BUZEI",
        "against_document": "REBZG",
        "undoes": "STBLG",
        "booking_date": "BUDAT",
        "due_date": "FAEDT",
        "base_date": "ZFBDT",
        "amount": "DMBTR",  # of the company code: one currency, whatever WAERS says
        "discount": "SKNTO",
        "clearing": "AUGBL",
        "clearing_date": "AUGDT",
    },
    # Posting keys; special general ledger A is down payments. Other keys and other special ledgers
    # (bills of exchange, guarantees) are not guessed at: they are rejected until a rule is added.
    kinds=(
        KindRule("invoice", {"BSCHL": ("01",), "UMSKZ": ("",)}),
        KindRule("credit_note", {"BSCHL": ("11",), "UMSKZ": ("",)}),
        KindRule("payment", {"BSCHL": ("15",), "UMSKZ": ("",)}),
        KindRule("reversal", {"BSCHL": ("02", "08", "12"), "UMSKZ": ("",)}),
        KindRule("payment_on_account", {"BSCHL": ("09", "19"), "UMSKZ": ("A",)}),
    ),
    matching="clearing",
    may_be_absent=frozenset(
        ("BUZEI", "REBZG", "STBLG", "FAEDT", "ZFBDT", "SKNTO", "UMSKZ", "ZBD1T", "ZBD2T", "ZBD3T")
    ),
    # UMSKS is none of them: where it stands without UMSKZ, the wrong one was taken.
    neighbours=frozenset(
        (
            "BUZID",
            "MWSKZ",
            "REBZJ",
            "REBZT",
            "REBZZ",
            "SKNT2",
            "SKNT3",
            "SKNTO",
            "WSKTO",
            "ZBD1P",
            "ZBD2P",
            "ZUMSK",
        )
    ),
    sides=Sides("SHKZG", debit=("S",), credit=("H",)),
    pad={
        "KUNNR": 10,
        "BELNR": 10,
        "BUZEI": 3,
        "REBZG": 10,
        "STBLG": 10,
        "AUGBL": 10,
        "BSCHL": 2,
    },
    blanks={
        "REBZG": ("0000000000", "V"),  # V: a credit memo that is for no invoice
        "STBLG": ("0000000000",),
        "AUGBL": ("0000000000",),
        "AUGDT": _NO_DAY,
        "FAEDT": _NO_DAY,
        "ZFBDT": _NO_DAY,
    },
    due_days=("ZBD3T", "ZBD2T", "ZBD1T"),  # net terms are the last that are given
    tells_write_offs=False,
    ask="the reason code RSTGR, the document type BLART or the posting key of your write-offs, "
    "such as write_offs={'RSTGR': ('WOF',)}",
    date_formats=_SAP_DATES,
)

ENTRY_PROFILES: Mapping[str, EntryProfile] = MappingProxyType(
    {
        "entries": EntryProfile(
            "entries",
            {name: name for name in ENTRY_NAMES},
            may_be_absent=frozenset(("line", "end_date", "currency")),
        ),
        "sap": _SAP,
        "sap_document_currency": replace(
            _SAP,
            name="sap_document_currency",
            columns=dict(_SAP.columns)
            | {"amount": "WRBTR", "discount": "WSKTO", "currency": "WAERS"},
            may_be_absent=_SAP.may_be_absent | {"WSKTO"},
        ),
        # Amounts carry their sign; a row against its own voucher is for no invoice yet.
        "erpnext": EntryProfile(
            "erpnext",
            {
                "customer_id": "party",
                "document": "voucher_no",
                "line": "name",
                "against_document": "against_voucher_no",
                "booking_date": "posting_date",
                "due_date": "due_date",
                "amount": "amount",
            },
            kinds=(
                KindRule("invoice", _ERP_ROWS | {"voucher_type": ("Sales Invoice",)}, sign=1),
                KindRule("credit_note", _ERP_ROWS | {"voucher_type": ("Sales Invoice",)}, sign=-1),
                KindRule(
                    "payment",
                    _ERP_ROWS | {"voucher_type": ("Payment Entry", "Journal Entry")},
                    sign=-1,
                ),
                KindRule(
                    "payment_on_account",
                    _ERP_ROWS | {"voucher_type": ("Payment Entry", "Journal Entry")},
                    sign=1,
                ),
            ),
            may_be_absent=frozenset(("name", "account_type", "delinked")),
            whole=("delinked",),
            void={"delinked": ("1", "true")},
            tells_write_offs=False,
            ask="a column that you join from the voucher, such as the Journal Entry's own "
            "voucher_type: write_offs={'journal_type': ('Write Off Entry',)}; write-offs inside a "
            "Payment Entry's deductions need a row of their own",
        ),
        "odoo": EntryProfile(
            "odoo",
            {
                "customer_id": "partner_id",
                "document": "move_name",
                "line": "id",
                "line_id": "id",
                "booking_date": "date",
                "due_date": "date_maturity",
                "amount": "balance",
            },
            kinds=(
                KindRule("invoice", _ODOO_ROWS | {"move_type": ("out_invoice",)}, sign=1),
                KindRule("credit_note", _ODOO_ROWS | {"move_type": ("out_refund",)}, sign=-1),
                KindRule("payment", _ODOO_ROWS | {"move_type": ("entry",)}, sign=-1),
            ),
            matching="links",
            may_be_absent=frozenset(("account_type", "parent_state")),
            neighbours=frozenset(("payment_state",)),
            void={"parent_state": ("draft", "cancel")},
            links={
                "credit_id": "credit_move_id",
                "debit_id": "debit_move_id",
                "link_date": "max_date",
                "link_amount": "amount",
            },
            tells_write_offs=False,
            ask="the journal of your write-offs, or a column that you join from the move: "
            "write_offs={'journal_id': ('9',)}",
        ),
        "highradius": EntryProfile(
            "highradius",
            {
                "customer_id": "cust_number",
                "document": "doc_id",
                "booking_date": "posting_date",
                "due_date": "due_in_date",
                "amount": "total_open_amount",  # the invoice's, whether cleared or not
                "currency": "invoice_currency",
                "settled_date": "clear_date",
            },
            kinds=(KindRule("payment", {"isOpen": ("0",)}),),
            matching="row",
            pad={"cust_number": 10},
            whole=("doc_id", "due_in_date", "isOpen"),
            tells_write_offs=False,
            ask="a column with the reason of the clearing, such as "
            "write_offs={'clearing_reason': ('bad debt',)}",
            date_formats=(
                "%Y-%m-%d",
                "%Y%m%d",
                "%Y-%m-%d %H:%M:%S",
                "%d-%m-%Y",
                "%d-%m-%Y %H:%M",
            ),
        ),
        # The codes are the kinds' own names; give others with settlement_profile.
        "settlement_code": EntryProfile(
            "settlement_code",
            {
                "customer_id": "customer_id",
                "document": "invoice_id",
                "booking_date": "invoice_date",
                "due_date": "due_date",
                "amount": "amount",
                "currency": "currency",
                "settled_date": "settled_date",
                "settled_amount": "settled_amount",
            },
            kinds=tuple(KindRule(kind, {"settlement_code": (kind,)}) for kind in CLAIMS),
            matching="row",
            may_be_absent=frozenset(("currency", "settled_amount")),
        ),
    }
)


def settlement_profile(
    codes: Mapping[str, Sequence[str]],
    column: str = "settlement_code",
    columns: Mapping[str, str] | None = None,
) -> EntryProfile:
    """Return the profile of a ledger whose settlement code tells a payment from a write-off.

    Parameters
    ----------
    codes : mapping
        Kind (payment, write_off, credit_note, discount) -> the codes that mean it.
    column : str
        The column with the code.
    columns : mapping, optional
        What is called otherwise: ``LINE_COLUMNS`` -> source column.

    Raises
    ------
    ModelError
        When no code means payment, none write_off, or one code means two things.

    Examples
    --------
    >>> profile = settlement_profile({"payment": ["Z1", "Z2"], "write_off": ["A9"]}, "ART")
    >>> profile.kinds[1].when["ART"]
    ('A9',)
    """
    unknown = [kind for kind in codes if kind not in CLAIMS]
    if unknown:
        raise ModelError(
            f"codes are given for {listing(unknown)}; expected kinds out of {listing(CLAIMS)}."
            f"{did_you_mean(unknown[0], CLAIMS)}"
        )
    _refuse_no_texts(codes)
    missing = [kind for kind in ("payment", "write_off") if not codes.get(kind)]
    if missing:
        raise ModelError(
            f"no settlement code means {missing[0]}; expected codes for payment and for write_off, "
            "since a loss that counts as paid turns -100 % into a profit: look up the codes"
        )
    given = [code.casefold() for texts in codes.values() for code in texts]
    twice = [code for code in given if given.count(code) > 1]
    if twice:
        raise ModelError(f"the code {twice[0]!r} means two things; expected one meaning a code")
    base = ENTRY_PROFILES["settlement_code"]
    return replace(
        base,
        columns=dict(base.columns) | dict(columns or {}),
        kinds=tuple(KindRule(kind, {column: tuple(texts)}) for kind, texts in codes.items()),
    )


def resolve_entry_profile(
    profile: str | EntryProfile | Mapping[str, str] | None,
    write_offs: str | Mapping[str, Sequence[str]] | None = None,
    date_format: str | Sequence[str] | None = None,
) -> EntryProfile:
    """Return the profile that an argument names, able to tell a write-off from a payment.

    Parameters
    ----------
    profile : str, EntryProfile or mapping, optional
        A name of ``ENTRY_PROFILES`` (``"entries"`` by default), a profile, or
        ``{canonical column: source column}`` for the columns of ``"entries"`` that are called
        otherwise.
    write_offs : mapping or ``"none"``, optional
        Source column -> texts: rows that lower the debt (or, with matching ``"row"``, are
        settled) and hold one of them are write-offs. ``"none"`` says that the source has none.
    date_format : str or sequence of str, optional
        Overrides the profile's formats of dates in text.

    Raises
    ------
    ModelError
        For an unknown name, a wrong mapping, or a profile that cannot tell and is not told.
    """
    chosen = _named_profile(profile)
    if isinstance(write_offs, str) and write_offs != NO_WRITE_OFFS:
        raise ModelError(
            f"write_offs is {write_offs!r}; expected {{source column: texts}}, or "
            f"{NO_WRITE_OFFS!r} where the source has none"
        )
    if write_offs is not None and chosen.tells_write_offs:
        raise ModelError(
            f"profile {chosen.name!r} tells write-offs by itself; expected no write_offs: leave it "
            "out, or change the profile's kinds"
        )
    if isinstance(write_offs, Mapping):
        _refuse_no_texts(write_offs)
        if not write_offs or not all(write_offs.values()):
            raise ModelError(
                "write_offs names no column or no texts; expected {source column: texts}, or "
                f"{NO_WRITE_OFFS!r} where the source has none"
            )
        # An invoice may carry the code too, but only what lowers the debt can be a write-off.
        sign = 0 if chosen.matching == "row" else -1
        told = tuple(
            KindRule("write_off", {column: tuple(texts)}, sign)
            for column, texts in write_offs.items()
        )
        chosen = replace(chosen, kinds=(*told, *chosen.kinds), tells_write_offs=True)
    elif write_offs is None and not chosen.tells_write_offs:
        raise ModelError(
            f"profile {chosen.name!r} cannot tell a write-off from a payment, and a loss that "
            "counts as paid turns -100 % into a profit; expected what can tell: pass "
            f"{chosen.ask}; or pass write_offs={NO_WRITE_OFFS!r} if this source has none"
        )
    if date_format is None:
        return chosen
    formats = (date_format,) if isinstance(date_format, str) else tuple(date_format)
    if not formats:
        raise ModelError("date_format is empty; expected at least one format such as '%d.%m.%Y'")
    return replace(chosen, date_formats=formats)


def _named_profile(profile: str | EntryProfile | Mapping[str, str] | None) -> EntryProfile:
    if profile is None:
        return ENTRY_PROFILES["entries"]
    if isinstance(profile, EntryProfile):
        return profile
    if isinstance(profile, str):
        if profile not in ENTRY_PROFILES:
            raise ModelError(
                f"profile {profile!r} is not known; expected one of {listing(ENTRY_PROFILES, 20)}, "
                f"an EntryProfile, or a mapping.{did_you_mean(profile, ENTRY_PROFILES)}"
            )
        return ENTRY_PROFILES[profile]
    if isinstance(profile, Mapping):
        base = ENTRY_PROFILES["entries"]
        unknown = [name for name in profile if name not in base.columns]
        if unknown:
            raise ModelError(
                f"the mapping names {listing(unknown)}; expected columns out of "
                f"{listing(base.columns, 20)}.{did_you_mean(str(unknown[0]), base.columns)}"
            )
        named = dict(base.columns) | dict(profile)
        absent = frozenset(name for name in base.may_be_absent if name not in profile)
        return replace(base, name="mapping", columns=named, may_be_absent=absent)
    raise TypeError(
        f"profile is a name, an EntryProfile or a mapping, not {type(profile).__name__}"
    )
