"""The words of report and receipts, in Danish and English, and how numbers and times are written.

The texts stand in ``data/texts.toml`` and ``data/reasons.toml``, both languages side by side, so that a text
cannot be added in one of them only. The texts of the error codes are the rules' own (`afstem.rules`).
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, lru_cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from babel import Locale
from babel.dates import format_date, format_time
from babel.numbers import format_decimal
from markupsafe import Markup, escape

from afstem.rules import RULE_OF_CODE, Texts, WhoseMove

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that a reader cannot see, or that change how their neighbours are read."""


@cache
def _read(name: str) -> Mapping[str, Any]:
    with files("afstem").joinpath("data", name).open("rb") as file:
        return tomllib.load(file)


def reason_texts(code: int | None, slug: str) -> Texts:
    """What a reason of an error code says; of an unavailable actor, where there is no code.

    A slug without a text is its own text, so that it is shown all the same.
    """
    text = _read("reasons.toml").get(_reason_section(code), {}).get(slug)
    return Texts(text["da"], text["en"]) if text else Texts(slug, slug)


def known_reasons(code: int | None) -> frozenset[str]:
    """The reason slugs of an error code that have a text."""
    return frozenset(_read("reasons.toml").get(_reason_section(code), {}))


def _reason_section(code: int | None) -> str:
    if code is None:
        return "unavailable"
    return "phone" if code in (9156, 9157) else str(code)


def plain_texts(code: int) -> Texts:
    """What an error code says in plain words; an unknown code says that it is unknown."""
    if code in RULE_OF_CODE:
        return RULE_OF_CODE[code].plain
    text = _read("texts.toml")["unknown_code"]["plain"]
    return Texts(text["da"], text["en"])


def fix_texts(code: int) -> Texts:
    """How the findings of an error code are mended."""
    if code in RULE_OF_CODE:
        return RULE_OF_CODE[code].fix
    text = _read("texts.toml")["unknown_code"]["fix"]
    return Texts(text["da"], text["en"])


def whose_move(code: int) -> WhoseMove | None:
    """Who can mend the findings of an error code; None for an unknown code."""
    return RULE_OF_CODE[code].whose_move if code in RULE_OF_CODE else None


def whose_move_texts(code: int) -> Texts:
    """`whose_move`, in words."""
    move = whose_move(code)
    text = _read("texts.toml")["whose_move"]["unknown" if move is None else move.value]
    return Texts(text["da"], text["en"])


def visible(text: str) -> str:
    """The text with every character that cannot be seen written as ``[U+202E]``.

    A right-to-left override would turn the page's own words around, and HTML has no NUL.
    """
    if text.isprintable():
        return text
    return "".join(f"[U+{ord(c):04X}]" if unicodedata.category(c) in _HIDDEN else c for c in text)


@lru_cache(maxsize=100_000)
def _decimal(number: int, locale: str) -> str:
    # Babel takes 30 microseconds a number, and a page has thousands of them, most of them small.
    return str(format_decimal(number, locale=locale))


@dataclass(frozen=True)
class Language:
    """One language of the report: its texts, its numbers and the names of its pages."""

    code: str
    locale: str

    def page(self, stem: str) -> str:
        """The file name of a page: Danish is ``x.html``, the others ``x.en.html``."""
        return f"{stem}.html" if self.code == "da" else f"{stem}.{self.code}.html"

    def pick(self, texts: Texts) -> str:
        return texts.da if self.code == "da" else texts.en

    def text(self, key: str, /, count: int | None = None, **values: object) -> Markup:
        """The text ``section.name`` of ``data/texts.toml`` with its places filled in.

        ``count`` chooses between the forms ``one`` and ``other``. The values are escaped unless they are `Markup`.
        A key that does not exist is a bug and raises KeyError.
        """
        section, name = key.split(".")
        text = _read("texts.toml")[section][name][self.code]
        if not isinstance(text, str):
            if count is None:
                raise KeyError(f"{key} needs a count")
            text = text[Locale.parse(self.locale).plural_form(count)]
        safe = {name: value if hasattr(value, "__html__") else visible(str(value)) for name, value in values.items()}
        return escape(text).format(**safe)

    def word(self, section: str, slug: str | None) -> str:
        """The word for a slug of a closed list; a slug that the list lacks is shown as it is."""
        texts = _read("texts.toml")[section].get("none" if slug is None else slug)
        return str(texts[self.code]) if texts else str(slug)

    def number(self, number: int) -> str:
        return _decimal(number, self.locale)

    def share(self, part: int, whole: int) -> str:
        """A share in per cent with one decimal; a dash where there is nothing to share.

        What is there, but would be rounded to nothing, is less than 0.1 %.
        """
        if not whole:
            return "–"
        share = 100 * part / whole
        little = 0 < share < 0.05
        percent = ("< " if little else "") + format_decimal(0.1 if little else share, "#,##0.0", locale=self.locale)
        return f"{percent}\N{NO-BREAK SPACE}%" if self.code == "da" else f"{percent}%"

    def day(self, day: date, form: str = "long") -> str:
        return str(format_date(day, form, locale=self.locale))

    def clock(self, moment: datetime, timezone: str) -> str:
        return str(format_time(moment, "short", tzinfo=ZoneInfo(timezone), locale=self.locale))


DANISH = Language("da", "da_DK")
ENGLISH = Language("en", "en_GB")
LANGUAGES = (DANISH, ENGLISH)
