"""How money and dates look in text: patterns that a text must fit before anything reads it."""

from __future__ import annotations

import re
from dataclasses import dataclass

from credit_portfolio.errors import ModelError


@dataclass(frozen=True, slots=True)
class Marks:
    """How money in text is written."""

    decimal: str = "."
    lone_group: bool = False  # whether '1,234' (with decimal '.') may be read as 1234
    lone_decimal: bool = True  # whether '1.234' (with decimal '.') may be read as 1.234

    @property
    def group(self) -> str:
        """The mark that may part thousands."""
        return "," if self.decimal == "." else "."


def sure_decimal(decimal: str) -> str:
    """Return the pattern of figures that can only be read with this decimal mark.

    >>> [bool(re.search(sure_decimal("."), text)) for text in ("5.26", "1,234.5", "1.234", "1,234")]
    [True, True, False, False]
    """
    m, g = re.escape(decimal), re.escape("," if decimal == "." else ".")
    return (
        rf"^[+-]?(\d*{m}(\d{{1,2}}|\d{{4,}})|\d{{4,}}{m}\d{{3}}|0\d*{m}\d{{3}}|{m}\d+"
        rf"|\d{{1,3}}({g}\d{{3}})+{m}\d+|\d{{1,3}}({g}\d{{3}}){{2,}})$"
    )


def grouped(decimal: str) -> str:
    """Return the pattern of figures that surely part thousands with the other mark."""
    m, g = re.escape(decimal), re.escape("," if decimal == "." else ".")
    return rf"^[+-]?[1-9]\d{{0,2}}(({g}\d{{3}})+{m}\d+|({g}\d{{3}}){{2,}})$"


def readable(marks: Marks) -> str:
    """Return the pattern of figures that can be read once it is known how the file writes them.

    >>> german = readable(Marks(",", lone_group=True))
    >>> [bool(re.search(german, text)) for text in ("2.400,50", "2.400", "0,8", "1.2")]
    [True, True, True, False]
    """
    m, g = re.escape(marks.decimal), re.escape(marks.group)
    forms = [rf"[+-]?(\d+({m}\d+)?|{m}\d+)", grouped(marks.decimal)[1:-1]]
    if marks.lone_group:
        forms.append(rf"[+-]?[1-9]\d{{0,2}}{g}\d{{3}}")
    refused = "" if marks.lone_decimal else f"(?!{UNSURE[1:]})"
    return f"^{refused}(?:{'|'.join(forms)})$"


UNSURE = r"^[+-]?[1-9]\d{0,2}[.,]\d{3}$"  # 1.234 or 1,234: thousands, or three decimals?


_DIRECTIVES = {
    "%Y": r"\d{4}",
    "%y": r"\d{2}",
    "%m": r"\d{1,2}",
    "%d": r"\d{1,2}",
    "%H": r"\d{1,2}",
    "%M": r"\d{2}",
    "%S": r"\d{2}",
    "%b": r"[A-Za-z]{3}",
    "%B": r"[A-Za-z]{3,9}",
    "%%": "%",
}


def date_pattern(form: str) -> str:
    """Return the pattern that a text must fit before it is read as a date.

    Readers of dates are more lenient than a ledger may be: one takes '13' for a year.
    """
    parts = re.findall(r"%.|[^%]+|%$", form, re.DOTALL)
    unknown = [part for part in parts if part[0] == "%" and part not in _DIRECTIVES]
    if unknown:
        raise ModelError(
            f"date format {form!r} holds {unknown[0]!r}; expected directives out of "
            f"{' '.join(_DIRECTIVES)} and plain characters"
        )
    for needed in (("%Y", "%y"), ("%m", "%b", "%B"), ("%d",)):
        if sum(parts.count(directive) for directive in needed) != 1:
            raise ModelError(
                f"date format {form!r} needs one of {' '.join(needed)}, once; expected a year, a "
                "month and a day, such as '%d.%m.%Y'"
            )
    return "^" + "".join(_DIRECTIVES.get(part) or re.escape(part) for part in parts) + "$"
