"""The words of report and receipts, in Danish and English.

The texts stand in ``data/texts.toml`` and ``data/reasons.toml``, both languages side by side, so that a text
cannot be added in one of them only. The texts of the error codes are the rules' own (`afstem.rules`).
"""

import tomllib
import unicodedata
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from afstem.rules import NOTICE_OF_CODE, RULE_OF_CODE, Notice, Rule, Texts, WhoseMove

_HIDDEN = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
"""Unicode categories that a reader cannot see, or that change how their neighbours are read."""


@cache
def read_texts(name: str) -> Mapping[str, Any]:
    """A file of texts in ``data/``: sections of names, and for each both languages."""
    with files("afstem").joinpath("data", name).open("rb") as file:
        return tomllib.load(file)


def reason_texts(code: int | None, slug: str) -> Texts:
    """What a reason of an error code says; of an unavailable actor, where there is no code.

    A slug without a text is its own text, so that it is shown all the same.
    """
    text = read_texts("reasons.toml").get(_reason_section(code), {}).get(slug)
    return Texts(text["da"], text["en"]) if text else Texts(slug, slug)


def known_reasons(code: int | None) -> frozenset[str]:
    """The reason slugs of an error code that have a text."""
    return frozenset(read_texts("reasons.toml").get(_reason_section(code), {}))


def _reason_section(code: int | None) -> str:
    if code is None:
        return "unavailable"
    return "phone" if code in (9156, 9157) else str(code)


def _in_catalogue(code: int | str) -> Rule | Notice | None:
    return NOTICE_OF_CODE.get(code) if isinstance(code, str) else RULE_OF_CODE.get(code)


def plain_texts(code: int | str) -> Texts:
    """What an error code or a notice says in plain words; an unknown code says that it is unknown."""
    if known := _in_catalogue(code):
        return known.plain
    text = read_texts("texts.toml")["unknown_code"]["plain"]
    return Texts(text["da"], text["en"])


def fix_texts(code: int | str) -> Texts:
    """How the findings of an error code, or the records of a notice, are mended."""
    if known := _in_catalogue(code):
        return known.fix
    text = read_texts("texts.toml")["unknown_code"]["fix"]
    return Texts(text["da"], text["en"])


def suggestion_texts(kind: str, value: str) -> Texts:
    """What a suggestion of this kind and value says; the value is the actor's own, so this is for its receipt alone."""
    text = read_texts("texts.toml")["suggestion"][kind]
    return Texts(text["da"].replace("{value}", value), text["en"].replace("{value}", value))


def whose_move(code: int | str) -> WhoseMove | None:
    """Who can mend the findings of an error code, or the records of a notice; None for an unknown code."""
    known = _in_catalogue(code)
    return known.whose_move if known else None


def whose_move_texts(code: int | str) -> Texts:
    """`whose_move`, in words."""
    move = whose_move(code)
    text = read_texts("texts.toml")["whose_move"]["unknown" if move is None else move.value]
    return Texts(text["da"], text["en"])


def visible(text: str) -> str:
    """The text with every character that cannot be seen written as ``[U+202E]``.

    A right-to-left override would turn the page's own words around, and HTML has no NUL.
    """
    if text.isprintable():
        return text
    return "".join(f"[U+{ord(c):04X}]" if unicodedata.category(c) in _HIDDEN else c for c in text)
