"""The control of the proof: fast paths broken on purpose, one rule each, which the comparison must find out.

A mutant that it cannot find out says so in ``redundant``: why breaking that rule changes no answer.
"""

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from unittest.mock import patch

import numpy as np
from phonenumbers import PhoneNumberType

from afstem import cpr_number, email_address, phone_number, registration_time
from afstem.phone_number import numbering_plan
from afstem.schema import ContactType
from afstem.text_bytes import are_eight_digits

MODULES = (phone_number, numbering_plan, email_address, cpr_number, registration_time)


@dataclass(frozen=True)
class Mutant:
    """``swaps`` gives what stands in for names of a module while the mutant lives."""

    kind: str
    name: str
    module: ModuleType
    swaps: Callable[[], dict[str, Any]]
    redundant: str = ""

    @contextmanager
    def alive(self) -> Iterator[None]:
        swaps = self.swaps()
        for name, swap in swaps.items():
            if swap is getattr(self.module, name) or (isinstance(swap, str) and swap == getattr(self.module, name)):
                raise AssertionError(f"{self.name}: {name} is as it was")
        forget()
        with patch.multiple(self.module, **swaps):
            yield
        forget()


def forget() -> None:
    """Clear whatever the fast paths remember, so that no mutant works with the tables of another."""
    for module in MODULES:
        for member in vars(module).values():
            if hasattr(member, "cache_clear"):
                member.cache_clear()


# --- phone numbers --------------------------------------------------------------------------------------------------


def _types_with(leading: str, number_type: int) -> Any:
    """Denmark's table, but with another type for all numbers that begin so."""
    types = numbering_plan.danish_types()
    assert types is not None
    types = types.copy()
    span = len(types) // 10 ** len(leading)
    types[int(leading) * span : (int(leading) + 1) * span] = number_type
    return {"danish_types": lambda: types}


def _spellings_with(*spellings: str) -> dict[str, Any]:
    return {"_SIMPLE_SPELLINGS": (*phone_number._SIMPLE_SPELLINGS, *spellings)}


def _weights_with(signs: str, weight: int = 0) -> dict[str, Any]:
    weights = phone_number._weights().copy()
    weights[[ord(sign) for sign in signs]] = weight
    return {"_weights": lambda: weights}


def _punctuation_with(signs: str) -> dict[str, Any]:
    return {"_OTHER_PUNCTUATION": phone_number._OTHER_PUNCTUATION.replace("[", f"[{signs}", 1)}


def _regions_with(**changes: Any) -> dict[str, Any]:
    class Changed(numbering_plan._Region):
        def __init__(self, metadata: Any) -> None:
            super().__init__(metadata)
            vars(self).update(changes)

    return {"_Region": Changed}


def _codes_with(change: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
    original = numbering_plan._calling_code.__wrapped__

    def calling_code(code: int) -> Any:
        known = original(code)
        return dataclasses.replace(known, **change(known))

    return {"_calling_code": calling_code}


class _NeverStripping(numbering_plan._CallingCode):
    def without_national_prefix(self, national: str) -> str:
        return national


class _AlwaysStripping(numbering_plan._CallingCode):
    def without_national_prefix(self, national: str) -> str:
        found = self.prefix.match(national) if self.prefix is not None else None
        return national[found.end() :] if found else national


def _without_lengths(description: Any) -> str:
    if description is None or not description.national_number_pattern:
        return numbering_plan._NOTHING
    return rf"(?:{description.national_number_pattern})"


def _seven_digits(words: Any) -> Any:
    return are_eight_digits((words & np.uint64(0x00FF_FFFF_FFFF_FFFF)) | np.uint64(0x30 << 56))


def _phone(name: str, swaps: Callable[[], dict[str, Any]], redundant: str = "") -> Mutant:
    return Mutant("phone", name, phone_number, swaps, redundant)


def _plan(name: str, swaps: Callable[[], dict[str, Any]], redundant: str = "") -> Mutant:
    return Mutant("phone", name, numbering_plan, swaps, redundant)


PHONE = (
    _phone("Danish 80 is a mobile number", lambda: _types_with("80", PhoneNumberType.FIXED_LINE_OR_MOBILE)),
    _phone("Danish 901 is a mobile number", lambda: _types_with("901", PhoneNumberType.MOBILE)),
    _phone("Danish 20 is not in use", lambda: _types_with("20", PhoneNumberType.UNKNOWN)),
    _phone("Danish 342 is a free number", lambda: _types_with("342", PhoneNumberType.TOLL_FREE)),
    _phone("a zero before eight digits means nothing", lambda: _spellings_with("0dddddddd")),
    _phone("a plus sign before eight digits means nothing", lambda: _spellings_with("+dddddddd")),
    _phone("two zeros before a code of its own mean nothing", lambda: _spellings_with("00dddddddd")),
    _phone("an x may stand between pairs", lambda: _spellings_with("ddxddxddxdd", "ddxdddddd", "ddddddddx")),
    _phone("a comma may stand between digits", lambda: _spellings_with("dd,dddddd", "dddd,dddd", "dddddddd,")),
    _phone("the last of eight digits may be anything", lambda: {"are_eight_digits": _seven_digits}),
    _phone("no value is too long", lambda: {"LONGEST_VALUE": 10**5}),
    *(
        _phone(f"{sign!r} is punctuation", lambda sign=sign: _weights_with(sign), redundant)  # type: ignore[misc]
        for sign, redundant in (
            *((sign, "") for sign in ",;#:'~_@"),
            ("*", "the library passes over a star between digits as over punctuation"),
            ("[", "it is punctuation to the library too"),
        )
    ),
    _phone("letters are punctuation", lambda: _weights_with("abcdefghijklmnopqrstuvwxyz")),
    _phone("control characters are punctuation", lambda: _weights_with("\t\0\x7f")),
    _phone("'*' is a letter", lambda: _weights_with("*", phone_number._REFUSED)),
    _phone("'#' is a letter", lambda: _weights_with("#", phone_number._REFUSED)),
    _phone("the full-width plus sign is a blank", lambda: _punctuation_with(r"\x{FF0B}")),
    _phone("the Japanese long-vowel mark is a dash", lambda: _punctuation_with(r"\x{30FC}")),
    _phone("a thin space is a blank", lambda: _punctuation_with(r"\x{2009}")),
    _phone("the full-width zero is a blank", lambda: _punctuation_with(r"\x{FF10}")),
    _phone("a plus sign counts anywhere", lambda: {"_starts_with_plus": lambda column: column.lengths >= 0}),
    _phone(
        "a company number is no landline number",
        lambda: {
            "ACCEPTED_TYPES": {
                **phone_number.ACCEPTED_TYPES,
                ContactType.LANDLINE: phone_number.ACCEPTED_TYPES[ContactType.LANDLINE] - {PhoneNumberType.UAN},
            }
        },
    ),
    _plan(
        "leading digits do not tell regions apart",
        lambda: _regions_with(leading=None),
        "not found: in this metadata the patterns of the regions behind a code tell their numbers apart too",
    ),
    _plan(
        "a pattern for fixed and mobile lines is for fixed ones",
        lambda: _regions_with(_mobile_is_fixed=False),
        "the pattern of the mobile lines is then the same, so asking it gives the same answer",
    ),
    _plan("only the main region of a calling code", lambda: _codes_with(lambda code: {"regions": code.regions[:1]})),
    _plan(
        "no number is too short or too long",
        lambda: {"_full": _without_lengths},
        "not found: in this metadata the patterns match numbers of the given lengths only",
    ),
    _plan("a national prefix stays", lambda: {"_CallingCode": _NeverStripping}),
    _plan("whatever looks like a national prefix goes", lambda: {"_CallingCode": _AlwaysStripping}),
    _plan("a national prefix is never rewritten", lambda: _codes_with(lambda _: {"transform": None})),
    _plan(
        "local lengths do not count",
        lambda: _codes_with(lambda _: {"local_lengths": ()}),
        "a length that is possible nationally is not among the local ones",
    ),
    _plan(
        "the types are tried the other way round",
        lambda: {"_ORDER_OF_TYPES": numbering_plan._ORDER_OF_TYPES[::-1]},
        "not found: in this metadata no number is of two of these types",
    ),
    _plan(
        "a national number may have one digit",
        lambda: {"_SHORTEST_NATIONAL_NUMBER": 1},
        "no region has numbers of one digit, so the patterns refuse what the limit would",
    ),
    _plan(
        "a national number may have any length",
        lambda: {"_LONGEST_NATIONAL_NUMBER": 10**5},
        "no region has numbers of more than 17 digits, so the patterns refuse what the limit would",
    ),
)


# --- email addresses ------------------------------------------------------------------------------------------------


def _address_with(old: str, new: str) -> dict[str, Any]:
    return {"_ADDRESS": email_address._ADDRESS.replace(old, new)}


def _email(name: str, swaps: Callable[[], dict[str, Any]], redundant: str = "") -> Mutant:
    return Mutant("email", name, email_address, swaps, redundant)


def _with_any_length(local: str, _: str, validated: Any) -> str:
    return f"{local}@{validated.domain}"


EMAIL = (
    _email(
        "special-use domains are domains", lambda: {"_are_special_use": lambda values: np.zeros(len(values), np.bool_)}
    ),
    _email(
        "one special-use domain is a domain",
        lambda: {"_SPECIAL_USE": email_address._SPECIAL_USE.replace("onion", "oni0n")},
    ),
    _email(
        "special-use domains are told by capitals too",
        lambda: {"_SPECIAL_USE": email_address._SPECIAL_USE.replace("(?i)", "")},
    ),
    _email("no address is too long", lambda: {"_SHORT": 10**5}),
    _email("an address of 68 bytes is short", lambda: {"_SHORT": 68}),
    _email("no address with an odd domain is too long", lambda: {"_with_local": _with_any_length}),
    _email("two hyphens in a row mean nothing", lambda: _address_with("(?:-[a-zA-Z0-9]+)*", "(?:-+[a-zA-Z0-9]+)*")),
    _email("a label may end in a hyphen", lambda: _address_with("(?:-[a-zA-Z0-9]+)*", "(?:-[a-zA-Z0-9]*)*")),
    _email("a label may begin with a hyphen", lambda: _address_with("[a-zA-Z0-9]+(?:-", "-?[a-zA-Z0-9]+(?:-")),
    _email("a label may have an underscore", lambda: _address_with("[a-zA-Z0-9]+(?:-", "[a-zA-Z0-9_]+(?:-")),
    _email("a top-level domain may end in a digit", lambda: _address_with(r"[a-zA-Z]\z", r"[a-zA-Z0-9]\z")),
    _email("a domain needs no dot", lambda: _address_with(r"\.)+", r"\.)*")),
    _email("dots may stand anywhere", lambda: _address_with(r"(?:\.", r"(?:\.*")),
    _email("a quotation mark is an ordinary character", lambda: _address_with("[a-zA-Z0-9_!#", '[a-zA-Z0-9_"!#')),
    _email("a colon is an ordinary character", lambda: _address_with("[a-zA-Z0-9_!#", "[a-zA-Z0-9_:!#")),
    _email("an accent of its own is an ordinary character", lambda: _address_with("À-Ö", r"\x{0300}-\x{036F}À-Ö")),
    _email("a name of RFC 2142 stays as it is", lambda: {"CASE_INSENSITIVE_MAILBOX_NAMES": ["noname"]}),
    _email("a domain keeps its capitals", lambda: {"_with_lower_domains": lambda addresses: addresses}),
    _email("Danish letters may stand nowhere", lambda: {"_NOWHERE": r"[\pZ\p{Cc}\p{Cf}æøå]"}),
    _email("a tilde above may stand nowhere", lambda: {"_NOWHERE": r"[\pZ\p{Cc}\p{Cf}\p{Mn}]"}),
    _email(
        "blanks and invisible characters are not told",
        lambda: {"_NOWHERE": r"[^\x{0}-\x{10FFFF}]"},
        "what is not decided goes to the library, which refuses it",
    ),
)


# --- CPR numbers and times ------------------------------------------------------------------------------------------


def _cpr(name: str, swaps: Callable[[], dict[str, Any]]) -> Mutant:
    return Mutant("cpr", name, cpr_number, swaps)


def _days_with(day_month: int, exists: int) -> dict[str, Any]:
    table = cpr_number._day_table().copy()
    table[day_month] = exists
    return {"_day_table": lambda: table}


def _leap_years_with(change: Callable[[Any], None]) -> dict[str, Any]:
    table = cpr_number._leap_table().copy()
    change(table)
    return {"_leap_table": lambda: table}


CPR = (
    _cpr("every year is a leap year", lambda: _leap_years_with(lambda table: table.fill(True))),
    _cpr("1900 was a leap year", lambda: _leap_years_with(lambda table: table[:4].fill(True))),
    _cpr("2000 was none", lambda: _leap_years_with(lambda table: table[4:10].fill(False))),
    _cpr(
        "36 with a seventh digit of 4 is no leap year",
        lambda: _leap_years_with(lambda table: table[364:365].fill(False)),
    ),
    _cpr(
        "60 with a seventh digit of 5 is no leap year",
        lambda: _leap_years_with(lambda table: table[605:606].fill(False)),
    ),
    _cpr("there is a 31 April", lambda: _days_with(3104, cpr_number._ALWAYS)),
    _cpr("there is no 31 December", lambda: _days_with(3112, cpr_number._NEVER)),
    _cpr("there is always a 29 February", lambda: _days_with(2902, cpr_number._ALWAYS)),
    _cpr("the hyphen stands one place later", lambda: {"_HYPHEN_AT": 7}),
    _cpr("the digits around the hyphen are others", lambda: {"_AROUND_HYPHEN": [0, 1, 2, 3, 4, 5, 6, 8, 9, 10]}),
)


def _time(name: str, swaps: Callable[[], dict[str, Any]], redundant: str = "") -> Mutant:
    return Mutant("time", name, registration_time, swaps, redundant)


def _offset_in_the_middle(number: int, length: int, zone: Any) -> int:
    middle = registration_time._EPOCH + registration_time.timedelta(microseconds=number * length + length // 2)
    offset = middle.replace(tzinfo=zone).utcoffset() or registration_time.timedelta()
    return offset // registration_time._MICROSECOND


def _any_day(year: Any, month: Any, day: Any) -> Any:
    days, _ = registration_time_days(year, month, day)
    return days, (month >= 1) & (month <= 12)


registration_time_days = registration_time._days

TIME = (
    _time("the offset of noon holds all day", lambda: {"_offset_during": _offset_in_the_middle}),
    _time("a month has any number of days", lambda: {"_days": _any_day}),
    _time("a blank may stand before an offset", lambda: {"_SIGNS": {"T": "T ", "+": "+- "}}),
    _time("times have no end", lambda: {"_LAST": registration_time._LAST + 86_400 * 10**6}),
    _time("times have no beginning", lambda: {"_FIRST": registration_time._FIRST - 86_400 * 10**6}),
    _time(
        "24:00 is an hour",
        lambda: {"_has_hour_24": lambda text, parsed: False},
        "before Python 3.13 `datetime` refuses it by itself",
    ),
)

MUTANTS = (*PHONE, *EMAIL, *CPR, *TIME)
