"""The canonical invoice columns, and the profiles that say how a real system names them.

A profile is data: which source column holds which canonical one, how dates are written, which
words mean yes and no. To read another system, make a :class:`Profile`; no code changes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from types import MappingProxyType

from credit_portfolio.errors import DataError, ModelError, did_you_mean, listing


@dataclass(frozen=True, slots=True)
class Column:
    """One canonical column: its name, kind (text, date, money or flag) and meaning."""

    name: str
    kind: str
    required: bool
    meaning: str


COLUMNS: tuple[Column, ...] = (
    Column("customer_id", "text", True, "who owes; text, leading zeros count"),
    Column("invoice_id", "text", True, "the invoice; text, one row an invoice"),
    Column("invoice_date", "date", True, "day of the invoice"),
    Column("due_date", "date", True, "day on which payment is due; not before the invoice"),
    Column("amount", "money", True, "invoiced money, above 0, at most four decimals"),
    Column("currency", "text", False, "currency of the row; one currency a ledger"),
    Column("settled_date", "date", False, "day of settlement; blank while open"),
    Column("settled_amount", "money", False, "money collected; blank with a date means all"),
    Column("written_off_amount", "money", False, "money given up; blank means 0"),
    Column("disputed", "flag", False, "whether the customer disputes; blank means no"),
)
NAMES: tuple[str, ...] = tuple(column.name for column in COLUMNS)
REQUIRED: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.required)
MONEY: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.kind == "money")
DATES: tuple[str, ...] = tuple(column.name for column in COLUMNS if column.kind == "date")

INVOICE_COLUMNS: tuple[str, ...] = (
    "customer_id",
    "invoice_id",
    "invoice_date",
    "due_date",
    "amount",
    "collected",
    "written_off",
    "open",
    "settled_date",
    "disputed",
)
"""Columns of ``Ledger.invoices``; the grouping columns follow them."""

RESERVED = frozenset(NAMES) | frozenset(INVOICE_COLUMNS)

# Above this likeness an unmapped column is taken for a misspelt optional one: "settled_dat" for
# "settled_date" is 0.96, "settlement_date" 0.81; "disputed_by" for "disputed" is 0.84. Left as a
# grouping column, a misspelt settlement would leave every invoice open without a word.
_MISSPELT = 0.85


@dataclass(frozen=True, eq=False, slots=True)
class Profile:
    """How one system writes its invoices.

    Parameters
    ----------
    name : str
        What the profile is called in reports.
    columns : mapping of str to str
        Canonical name -> source column.
    may_be_absent : frozenset of str
        Canonical names in ``columns`` whose source column need not exist.
    date_formats : tuple of str
        Formats of dates in text (``%Y %m %d %y %H %M %S %b`` and literal characters). A text
        must fit one of them entirely; one that reads as two different days is rejected.
    true_words, false_words : tuple of str
        Words of a yes or no column, compared without case.
    currency : str
        The currency of all rows, when the source has no such column; empty when unknown.

    Examples
    --------
    >>> PROFILES["ibm"].columns["amount"]
    'InvoiceAmount'
    """

    name: str
    columns: Mapping[str, str]
    may_be_absent: frozenset[str] = frozenset()
    date_formats: tuple[str, ...] = ("%Y-%m-%d", "%Y-%m-%d 00:00:00", "%Y-%m-%dT00:00:00")
    true_words: tuple[str, ...] = ("true", "t", "yes", "y", "1")
    false_words: tuple[str, ...] = ("false", "f", "no", "n", "0")
    currency: str = ""

    def __post_init__(self) -> None:
        """Check the names, and freeze the mapping."""
        _check_mapping(self.columns)
        missing = [name for name in REQUIRED if name not in self.columns]
        if missing:
            raise ModelError(
                f"profile {self.name!r} has no source column for {listing(missing, 10)}; every "
                f"profile needs {listing(REQUIRED, 10)}: add them to `columns`"
            )
        object.__setattr__(self, "columns", MappingProxyType(dict(self.columns)))


def _check_mapping(columns: Mapping[str, str]) -> None:
    """Refuse names that are not canonical, reversed mappings and columns used twice."""
    unknown = [key for key in columns if key not in NAMES]
    if unknown and all(value in NAMES for value in columns.values()):
        raise ModelError(
            f"the mapping runs from source columns to canonical names ({unknown[0]!r} -> "
            f"{columns[unknown[0]]!r}); expected {{canonical name: source column}}: turn it round, "
            "for example {new: old for old, new in mapping.items()}"
        )
    if unknown:
        raise ModelError(
            f"the mapping names {listing(unknown)}; expected canonical columns out of "
            f"{listing(NAMES, 20)}.{did_you_mean(str(unknown[0]), NAMES)}"
        )
    wrong = {key: value for key, value in columns.items() if type(value) is not str}
    if wrong:
        raise TypeError(f"source column names are text, got {wrong}")
    twice = [name for name, times in Counter(columns.values()).items() if times > 1]
    if twice:
        users = [key for key, value in columns.items() if value == twice[0]]
        raise ModelError(
            f"the source column {twice[0]!r} is mapped to {listing(users)}; expected each source "
            "column to be used once: copy the column in the source if both are meant"
        )


PROFILES: Mapping[str, Profile] = MappingProxyType(
    {
        "canonical": Profile(
            "canonical",
            {name: name for name in NAMES},
            may_be_absent=frozenset(NAMES) - frozenset(REQUIRED),
        ),
        # No settled amount: a settled date means settled in full. No currency. All terms 30 days.
        "ibm": Profile(
            "ibm",
            {
                "customer_id": "customerID",
                "invoice_id": "invoiceNumber",
                "invoice_date": "InvoiceDate",
                "due_date": "DueDate",
                "amount": "InvoiceAmount",
                "settled_date": "SettledDate",
                "disputed": "Disputed",
            },
            date_formats=("%m/%d/%Y",),
            true_words=("yes",),
            false_words=("no",),
        ),
    }
)


def resolve_profile(
    profile: str | Profile | Mapping[str, str] | None,
    date_format: str | Sequence[str] | None = None,
) -> Profile:
    """Return the profile that an argument names, with its date formats overridden if asked.

    A mapping names the columns that differ; canonical columns that it leaves out keep their own
    names.

    Raises
    ------
    ModelError
        For an unknown profile or canonical name, or a mapping the wrong way round.

    Examples
    --------
    >>> resolve_profile({"amount": "Betrag"}).columns["amount"]
    'Betrag'
    """
    if profile is None:
        chosen = PROFILES["canonical"]
    elif isinstance(profile, Profile):
        chosen = profile
    elif isinstance(profile, str):
        if profile not in PROFILES:
            raise ModelError(
                f"profile {profile!r} is not known; expected one of {listing(PROFILES, 20)}, a "
                f"Profile, or a mapping; open_entries has those of systems that keep entries."
                f"{did_you_mean(profile, PROFILES)}"
            )
        chosen = PROFILES[profile]
    elif isinstance(profile, Mapping):
        _check_mapping(profile)
        named = dict(profile)
        rest = {name: name for name in NAMES if name not in named}
        free = {name: own for name, own in rest.items() if own not in named.values()}
        lost = [name for name in REQUIRED if name not in named and name not in free]
        if lost:
            raise ModelError(
                f"the mapping uses the column {lost[0]!r} for something else and leaves "
                f"{listing(lost)} without a source: map {listing(lost)} too"
            )
        absent = frozenset(free) - frozenset(REQUIRED)
        chosen = Profile("mapping", named | free, may_be_absent=absent)
    else:
        raise TypeError(f"profile is a name, a Profile or a mapping, not {type(profile).__name__}")
    if date_format is None:
        return chosen
    formats = (date_format,) if isinstance(date_format, str) else tuple(date_format)
    if not formats:
        raise ModelError("date_format is empty; expected at least one format such as '%d.%m.%Y'")
    return replace(chosen, date_formats=formats)


def plain(name: str) -> str:
    """Return a column name as it is compared: without case and surplus space.

    >>> plain("  Customer   ID ")
    'customer id'
    """
    return " ".join(name.split()).casefold()


def required_found(profile: Profile, names: Sequence[str]) -> int:
    """Count the required columns of a profile among the names of a source."""
    present = {plain(name) for name in names}
    return sum(plain(profile.columns[name]) in present for name in REQUIRED)


def match_columns(
    profile: Profile, names: Sequence[str], where: str
) -> tuple[dict[str, int], dict[str, int]]:
    """Find where each canonical column stands in a source.

    Parameters
    ----------
    profile : Profile
        How the source names its columns; compared without case and surplus space.
    names : sequence of str
        Column names of the source, in order.
    where : str
        The source, for messages.

    Returns
    -------
    mapped, groups : dict of str to int
        Canonical name -> position, and grouping column -> position.

    Raises
    ------
    DataError
        For a missing, doubled, nameless or reserved column.
    """
    refuse_doubled(names, where)
    position = {plain(name): index for index, name in enumerate(names)}
    mapped = {
        name: position[plain(source)]
        for name, source in profile.columns.items()
        if plain(source) in position
    }
    _refuse_missing(profile, mapped, names, where)
    taken = set(mapped.values())
    groups = {name: index for index, name in enumerate(names) if index not in taken}
    _refuse_misspelt(profile, mapped, list(groups), where)
    clash = [name for name in groups if plain(name) in RESERVED]
    if clash:
        raise DataError(
            f"{where} has the extra columns {listing(clash)}, names that the ledger needs for "
            f"itself ({listing(sorted(RESERVED), 20)}): map them in the profile, rename or drop "
            "them"
        )
    return mapped, groups


def refuse_doubled(names: Sequence[str], where: str) -> None:
    """Refuse columns without a name, and names that stand twice as names are compared."""
    nameless = [index + 1 for index, name in enumerate(names) if not name.strip()]
    if nameless:
        raise DataError(
            f"column {nameless[0]} of {where} has no name; expected a name for every column: name "
            "it or drop it (an index that pandas wrote goes with index=False, a trailing "
            "separator with a clean export)"
        )
    times = Counter(plain(name) for name in names)
    doubled = [name for name in names if times[plain(name)] > 1]
    if doubled:
        raise DataError(
            f"{where} has the column {doubled[0]!r} {times[plain(doubled[0])]} times (as "
            f"{listing(doubled)}; case and spaces do not count); expected each column once: "
            "rename or drop one"
        )


def _entries_that_fit(names: Sequence[str]) -> str:
    """Return the profile of entries of which all required columns are there, empty for none."""
    from credit_portfolio.ledger.profiles import ENTRY_PROFILES  # built on the words of this file

    there = {plain(name) for name in names}
    for profile in ENTRY_PROFILES.values():
        needed = {plain(name) for name in profile.sources() if name not in profile.may_be_absent}
        if needed <= there:
            return profile.name
    return ""


def _refuse_missing(
    profile: Profile, mapped: Mapping[str, int], names: Sequence[str], where: str
) -> None:
    missing = {
        name: source
        for name, source in profile.columns.items()
        if name not in mapped and name not in profile.may_be_absent
    }
    if not missing:
        return
    wanted = ", ".join(
        repr(source) if source == name else f"{source!r} (for {name})"
        for name, source in missing.items()
    )
    fits = [
        other.name for other in PROFILES.values() if required_found(other, names) == len(REQUIRED)
    ]
    if fits and profile.name not in fits:
        hints = f" profile={fits[0]!r} fits all the required columns."
    elif entries := _entries_that_fit(names):
        hints = f" They fit {entries!r}, a profile of entries: open_entries reads those."
    else:
        taken = set(mapped.values())
        free = [name for index, name in enumerate(names) if index not in taken]
        hints = "".join(did_you_mean(source, free) for source in missing.values())
    raise DataError(
        f"{where} has no column {wanted}; found {listing(names, 30)}: rename the columns, or pass "
        f"profile={{canonical name: source column}}.{hints}"
    )


def _refuse_misspelt(
    profile: Profile, mapped: Mapping[str, int], groups: Sequence[str], where: str
) -> None:
    for name in profile.may_be_absent - set(mapped):
        source = profile.columns[name]
        near = get_close_matches(
            plain(source), [plain(group) for group in groups], n=1, cutoff=_MISSPELT
        )
        if near:
            raise DataError(
                f"{where} has a column {near[0]!r} and none called {source!r}; left alone it would "
                f"be a mere grouping column and {name} blank: rename it to {source!r}, map it, or "
                "give it a name that is not so near"
            )
