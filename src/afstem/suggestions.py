"""Suggestions: what was probably meant by a text that is refused. Never applied; the actor decides.

For each reason there are a few repairs. One is suggested only if it is the only one after which the text is acceptable,
by the same rule that refused it (or, where the value is one of another contact type, by that type's). No repair
knows anything but the text, so none tells anything about a citizen.

The value of a suggestion is for the actor's receipt alone; its kind is a slug that tells nothing of the record.
"""

import re
import unicodedata
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from afstem import cpr_number
from afstem.email_domains import meant, very_common
from afstem.schema import ContactType
from afstem.value_formats import VALUE_FORMATS, with_country_code_once, with_plus


@dataclass(frozen=True)
class Suggestion:
    """``kind`` is one of `KINDS`; ``value`` is what to write, in the form in which it is stored."""

    kind: str
    value: str


@dataclass(frozen=True)
class Repair:
    """One way to mend a text; ``change`` gives None where it does not fit. ``becomes`` is another contact type."""

    kind: str
    change: Callable[[str], str | None]
    becomes: ContactType | None = None


# --- CPR numbers ----------------------------------------------------------------------------------------------------


def _with_leading_zero(text: str) -> str:
    return "0" + _digits_alone(text)


def _digits_alone(text: str) -> str:
    """The digits, of any script, as 0 to 9."""
    return "".join(str(unicodedata.digit(character)) for character in text if character.isdigit())


_OF_CPR_NUMBERS: Mapping[str, tuple[Repair, ...]] = {
    "lost-leading-zero": (Repair("leading-zero", _with_leading_zero),),
    "misplaced-hyphen": (Repair("digits-alone", _digits_alone),),
    "other-characters": (Repair("digits-alone", _digits_alone),),
    "other-digits": (Repair("digits-alone", _digits_alone),),
}


def for_cpr_numbers(texts: Sequence[str], reasons: Sequence[str]) -> list[Suggestion | None]:
    """A suggestion, or none, for each text that is no CPR number and the reason why."""
    tries = [
        (place, repair.kind, repair.change(text))
        for place, (text, reason) in enumerate(zip(texts, reasons, strict=True))
        for repair in _OF_CPR_NUMBERS.get(reason, ())
    ]
    numbers = cpr_number.read_numbers(pa.array([mended for _, _, mended in tries], pa.string()))
    suggested: list[Suggestion | None] = [None] * len(texts)
    for (place, kind, _), number in zip(tries, numbers.tolist(), strict=True):
        if number > 0:  # 0 is the number of the unknown citizen
            suggested[place] = Suggestion(kind, f"{number:010}")
    return suggested


# --- phone numbers --------------------------------------------------------------------------------------------------

_LETTERS_LIKE_DIGITS = str.maketrans("OoIl", "0011")
_AROUND_A_NUMBER = re.compile(r"[^0-9+]*(\+?[0-9][0-9 \u00a0.\-]*[0-9])[^0-9+]*")


def _with_digits_for_letters(value: str) -> str | None:
    letters = [character for character in value if character.isalpha()]
    # Of a word that is spelt of such letters nothing is left to tell that a number was meant.
    return value.translate(_LETTERS_LIKE_DIGITS) if len(letters) <= 2 else None


def _number_alone(value: str) -> str | None:
    found = _AROUND_A_NUMBER.fullmatch(value)
    return found[1] if found else None


def _visible(value: str) -> str:
    return "".join(character for character in value if unicodedata.category(character) not in ("Cc", "Cf"))


def _same(value: str) -> str:
    return value


def _foreign_with_plus(value: str) -> str | None:
    """With a plus sign, unless it may be a Danish number whose 45 was mistyped."""
    mended = with_plus(value)
    if mended is None or VALUE_FORMATS[ContactType.LANDLINE].normalise(pa.array([mended[3:]]))[0].is_valid:
        return None
    return mended


_AS_LANDLINE = (Repair("is-landline", _same, ContactType.LANDLINE),)
_AS_EMAIL = (Repair("is-email", _same, ContactType.EMAIL),)

_OF_PHONE_NUMBERS: Mapping[str, tuple[Repair, ...]] = {
    "email-address": _AS_EMAIL,
    "letters": (Repair("digits-for-letters", _with_digits_for_letters), Repair("number-alone", _number_alone)),
    "control-character": (Repair("visible-characters", _visible),),
    "country-code-twice": (Repair("country-code-once", with_country_code_once),),
    "country-code-without-plus": (Repair("plus-sign", _foreign_with_plus),),
    "landline-number": _AS_LANDLINE,
    "voip-number": _AS_LANDLINE,
    "personal-number": _AS_LANDLINE,
    "company-number": _AS_LANDLINE,
}

# --- email addresses ------------------------------------------------------------------------------------------------

_BLANKS_AROUND_SIGNS = re.compile(r"\s*([@.])\s*")
_IN_BRACKETS = re.compile(r"[^<>]*<([^<>@]+@[^<>@]+)>[^<>]*")
_AT_IN_OTHER_WORDS = re.compile(r" ?[(\[]at[)\]] ?|\uff20", re.IGNORECASE)


def _without_blanks(value: str) -> str:
    return _BLANKS_AROUND_SIGNS.sub(r"\1", value)


def _address_alone(value: str) -> str | None:
    found = _IN_BRACKETS.fullmatch(value)
    return found[1].strip() if found else None


def _without_scheme(value: str) -> str | None:
    return value[len("mailto:") :] if value.lower().startswith("mailto:") else None


def _in_domain(change: Callable[[str], str | None]) -> Callable[[str], str | None]:
    """The same change of what stands behind the last at-sign."""

    def changed(value: str) -> str | None:
        local, _, domain = value.rpartition("@")
        mended = change(domain)
        return None if mended is None else f"{local}@{mended}"

    return changed


def _common_domain(domain: str) -> str | None:
    """The only very common domain that begins so, or is one slip away."""
    begun = [common for common in very_common() if common.startswith(f"{domain.lower()}.")]
    return begun[0] if len(begun) == 1 else meant(domain.lower())


_NO_PUNCTUATION = Repair("no-punctuation", lambda value: value.rstrip(".,;:"))
_COMMON_DOMAIN = Repair("common-domain", _in_domain(_common_domain))

_OF_EMAIL_ADDRESSES: Mapping[str, tuple[Repair, ...]] = {
    "looks-like-phone-number": (Repair("is-mobile", _same, ContactType.MOBILE),),
    "no-at-sign": (Repair("at-sign", lambda value: _AT_IN_OTHER_WORDS.sub("@", value)),),
    "name-and-address": (Repair("address-alone", _address_alone),),
    "several-at-signs": (Repair("one-at-sign", lambda value: value.replace("@@", "@")),),
    "invisible-character": (Repair("visible-characters", _visible),),
    "whitespace": (Repair("no-blanks", _without_blanks),),
    "dot-at-the-end": (_NO_PUNCTUATION,),
    "misplaced-dot": (Repair("one-dot", _in_domain(lambda domain: domain.replace("..", "."))),),
    "comma-for-dot": (Repair("dot-for-comma", _in_domain(lambda domain: domain.replace(",", "."))),),
    "characters-in-domain": (_NO_PUNCTUATION,),
    "characters-before-at-sign": (Repair("address-alone", _without_scheme),),
    "no-dot-in-domain": (_COMMON_DOMAIN,),
}

_OF_VALUES = {
    ContactType.MOBILE: _OF_PHONE_NUMBERS,
    ContactType.LANDLINE: _OF_PHONE_NUMBERS,
    ContactType.EMAIL: _OF_EMAIL_ADDRESSES,
}

KINDS = frozenset(
    repair.kind for repairs in (_OF_CPR_NUMBERS, *_OF_VALUES.values()) for of in repairs.values() for repair in of
)
"""Every kind of suggestion; each has its words in ``data/texts.toml``."""


def for_values(contact_type: ContactType, values: Sequence[str], reasons: Sequence[str]) -> list[Suggestion | None]:
    """A suggestion, or none, for each (trimmed) value that the contact type does not take and the reason why.

    The repairs of all values are judged as columns, so ask for many at once, and for each value once.
    """
    found: defaultdict[int, dict[tuple[ContactType, str], str]] = defaultdict(dict)
    for becomes, tries in _tried(contact_type, values, reasons).items():
        forms = VALUE_FORMATS[becomes].normalise(pa.array([mended for _, _, mended in tries], pa.string()))
        for (place, kind, _), form in zip(tries, forms.to_pylist(), strict=True):
            if form is not None:
                found[place].setdefault((becomes, form), kind)
    suggested: list[Suggestion | None] = [None] * len(values)
    for place, ways in found.items():
        if len(ways) == 1:
            [((_, form), kind)] = ways.items()
            suggested[place] = Suggestion(kind, form)
    return suggested


def _tried(
    contact_type: ContactType, values: Sequence[str], reasons: Sequence[str]
) -> dict[ContactType, list[tuple[int, str, str]]]:
    """What the repairs make of the values, by the contact type that it shall be: place, kind, mended value."""

    def tries() -> Iterator[tuple[ContactType, tuple[int, str, str]]]:
        repairs = _OF_VALUES[contact_type]
        for place, (value, reason) in enumerate(zip(values, reasons, strict=True)):
            for repair in repairs.get(reason, ()):
                mended = repair.change(value)
                becomes = contact_type if repair.becomes is None else repair.becomes
                if mended is not None and (mended, becomes) != (value, contact_type):
                    yield becomes, (place, repair.kind, mended.strip())

    tried: defaultdict[ContactType, list[tuple[int, str, str]]] = defaultdict(list)
    for becomes, attempt in tries():
        tried[becomes].append(attempt)
    return tried
