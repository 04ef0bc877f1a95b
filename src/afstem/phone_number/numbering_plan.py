"""The numbering plans in the installed phonenumbers metadata, in a form that decides many numbers quickly.

`danish_types` turns Denmark's patterns into a table over the leading digits of a number. `international_verdict`
decides a number of any country on its bare digits, by the library's own patterns in the library's own order, but
without its parsing of free text. Both must agree with the library on every number (SPEC 4.5).
"""

import importlib
import re
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import phonenumbers
from phonenumbers import PhoneMetadata, PhoneNumberType

Verdict = tuple[str, int]
"""A valid number: its E.164 form and its `PhoneNumberType`."""

DANISH_CODE = "45"
DANISH_LENGTH = 8
INTERNATIONAL_PREFIX = "00"
LONGEST_VALUE = 250
"""The library refuses to parse anything longer than so many characters."""

_SHORTEST_NATIONAL_NUMBER = 2
_LONGEST_NATIONAL_NUMBER = 17
_NOTHING = "(?!)"
_ALL_DIGITS = frozenset(range(10))
_LARGEST_TABLE = 6
_NO_TYPE = PhoneNumberType.UNKNOWN
_ORDER_OF_TYPES = (
    ("premium_rate", PhoneNumberType.PREMIUM_RATE),
    ("toll_free", PhoneNumberType.TOLL_FREE),
    ("shared_cost", PhoneNumberType.SHARED_COST),
    ("voip", PhoneNumberType.VOIP),
    ("personal_number", PhoneNumberType.PERSONAL_NUMBER),
    ("pager", PhoneNumberType.PAGER),
    ("uan", PhoneNumberType.UAN),
    ("voicemail", PhoneNumberType.VOICEMAIL),
)
"""The order in which the library tries the types before it comes to fixed and mobile lines."""


# --- Denmark --------------------------------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def danish_types() -> npt.NDArray[np.uint8] | None:
    """The type of every eight-digit Danish number by its leading digits (`PhoneNumberType.UNKNOWN`: not valid).

    The table has a power of ten entries, one for each combination of the leading digits that decide. None if the
    metadata holds something for Denmark that such a table cannot tell: then the library must be asked.
    """
    metadata: Any = PhoneMetadata.metadata_for_region("DK")
    if (
        tuple(phonenumbers.COUNTRY_CODE_TO_REGION_CODE[int(DANISH_CODE)]) != ("DK",)
        or metadata.international_prefix != INTERNATIONAL_PREFIX
        or metadata.national_prefix_for_parsing is not None
        or tuple(metadata.general_desc.possible_length) != (DANISH_LENGTH,)
    ):
        return None
    names = ("general_desc", *(name for name, _ in _ORDER_OF_TYPES), "fixed_line", "mobile")
    expanded = {name: _expand_description(getattr(metadata, name)) for name in names}
    deciding = 0
    for shapes in expanded.values():
        if shapes is None:
            return None
        deciding = max([deciding, *(_deciding_digits(shape) for shape in shapes)])
    if deciding > _LARGEST_TABLE:
        return None
    matches = {}
    for name, shapes in expanded.items():
        matches[name] = np.zeros((10,) * deciding, np.bool_)
        for shape in shapes or ():
            matches[name][np.ix_(*(sorted(digits) for digits in shape[:deciding]))] = True

    fixed = matches["fixed_line"]
    mobile = fixed if metadata.same_mobile_and_fixed_line_pattern else matches["mobile"]
    types = np.select(
        [
            ~matches["general_desc"],
            *(matches[name] for name, _ in _ORDER_OF_TYPES),
            fixed & mobile,
            fixed,
            mobile,
        ],
        [
            _NO_TYPE,
            *(number_type for _, number_type in _ORDER_OF_TYPES),
            PhoneNumberType.FIXED_LINE_OR_MOBILE,
            PhoneNumberType.FIXED_LINE,
            PhoneNumberType.MOBILE,
        ],
        _NO_TYPE,
    )
    return types.reshape(-1).astype(np.uint8)


def _deciding_digits(shape: tuple[frozenset[int], ...]) -> int:
    """How many leading digits of a shape matter: all after them may be any digit."""
    return max((at + 1 for at, digits in enumerate(shape) if digits != _ALL_DIGITS), default=0)


def _expand_description(description: Any) -> list[tuple[frozenset[int], ...]] | None:
    """The eight-digit numbers a description matches, as shapes; None if its pattern is not understood."""
    if description is None or not description.national_number_pattern:
        return []
    if description.possible_length and DANISH_LENGTH not in description.possible_length:
        return []
    shapes = expand_pattern(description.national_number_pattern)
    return None if shapes is None else [shape for shape in shapes if len(shape) == DANISH_LENGTH]


def expand_pattern(pattern: str) -> list[tuple[frozenset[int], ...]] | None:
    """The digit strings that a pattern matches in full, as shapes: for each place the digits it may hold.

    None if the pattern uses anything but digits, classes, alternatives, groups and bounded repeats.
    """
    # The parser of the re module has no public name; typing it would lean on a module that is deprecated.
    parsed = importlib.import_module("re._parser").parse(pattern)
    return _expand(parsed)


def _expand(parsed: Any) -> list[tuple[frozenset[int], ...]] | None:
    shapes: list[tuple[frozenset[int], ...]] = [()]
    for operation, argument in parsed:
        choices = _expand_one(str(operation), argument)
        if choices is None:
            return None
        shapes = [shape + choice for shape in shapes for choice in choices]
    return shapes


def _expand_one(operation: str, argument: Any) -> list[tuple[frozenset[int], ...]] | None:
    if operation in ("LITERAL", "IN"):
        digits = _digits_of([(operation, argument)] if operation == "LITERAL" else argument)
        return None if digits is None else [(digits,)]
    if operation == "SUBPATTERN":
        return _expand(argument[-1])
    if operation == "BRANCH":
        choices = [_expand(branch) for branch in argument[1]]
        known = [shape for choice in choices if choice is not None for shape in choice]
        return None if None in choices else known
    if operation == "MAX_REPEAT":
        least, most, repeated = argument
        once = _expand(repeated)
        if once is None or int(most) > DANISH_LENGTH:
            return None
        repeats: list[tuple[frozenset[int], ...]] = []
        for times in range(int(least), int(most) + 1):
            grown: list[tuple[frozenset[int], ...]] = [()]
            for _ in range(times):
                grown = [shape + choice for shape in grown for choice in once]
            repeats += grown
        return repeats
    return None


def _digits_of(items: Any) -> frozenset[int] | None:
    """The digits of a character class; None if it is negated or holds anything but digits."""
    digits: set[int] = set()
    for operation, argument in items:
        match str(operation):
            case "LITERAL":
                places = [argument]
            case "RANGE":
                places = list(range(argument[0], argument[1] + 1))
            case "CATEGORY" if str(argument) == "CATEGORY_DIGIT":
                places = list(range(ord("0"), ord("9") + 1))
            case _:
                return None
        if not all(ord("0") <= place <= ord("9") for place in places):
            return None
        digits.update(place - ord("0") for place in places)
    return frozenset(digits)


# --- every country --------------------------------------------------------------------------------------------------


def international_verdict(digits: str) -> Verdict | None:
    """The verdict on ``+`` and these ASCII digits; None if that is no valid number."""
    # The library strips the Danish international prefix also after a plus sign that no calling code follows.
    digits = digits.removeprefix(INTERNATIONAL_PREFIX)
    if digits.startswith("0"):
        return None
    for length in (1, 2, 3):
        code = digits[:length]
        if len(code) == length and int(code) in phonenumbers.COUNTRY_CODE_TO_REGION_CODE:
            break
    else:
        return None
    national = digits[length:]
    if len(national) < _SHORTEST_NATIONAL_NUMBER:
        return None
    calling_code = _calling_code(int(code))
    national = calling_code.without_national_prefix(national)
    if len(national) > _LONGEST_NATIONAL_NUMBER:
        return None
    number_type = calling_code.type_of(national)
    return None if number_type == _NO_TYPE else (f"+{code}{national}", number_type)


class _Region:
    """One region's numbers, decided by its types in the order in which the library tries them.

    Patterns are compiled when the first number comes: a calling code may have two dozen regions, and each takes
    milliseconds.
    """

    def __init__(self, metadata: Any) -> None:
        self._metadata = metadata
        self._mobile_is_fixed = bool(metadata.same_mobile_and_fixed_line_pattern)
        self.leading = None if metadata.leading_digits is None else re.compile(metadata.leading_digits)

    @cached_property
    def _types(self) -> re.Pattern[str]:
        """A group for each type."""
        types = [*_ORDER_OF_TYPES, ("fixed_line", PhoneNumberType.FIXED_LINE)]
        if not self._mobile_is_fixed:
            types.append(("mobile", PhoneNumberType.MOBILE))
        groups = "|".join(
            f"(?P<type_{number_type}>{_full(getattr(self._metadata, name))})" for name, number_type in types
        )
        return re.compile(rf"(?={_full(self._metadata.general_desc)}\Z)(?:{groups})")

    @cached_property
    def _mobile(self) -> re.Pattern[str]:
        return re.compile(_full(self._metadata.mobile))

    def type_of(self, national: str) -> int:
        found = self._types.fullmatch(national)
        if found is None or found.lastgroup is None:
            return _NO_TYPE
        number_type = int(found.lastgroup.removeprefix("type_"))
        if number_type == PhoneNumberType.FIXED_LINE and (self._mobile_is_fixed or self._mobile.fullmatch(national)):
            return PhoneNumberType.FIXED_LINE_OR_MOBILE
        return number_type


@dataclass(frozen=True)
class _CallingCode:
    """The regions behind one calling code, and how its main region writes a national prefix before a number."""

    prefix: re.Pattern[str] | None
    transform: str | None
    general: re.Pattern[str]
    lengths: tuple[int, ...]
    local_lengths: tuple[int, ...]
    regions: tuple[_Region, ...]

    def without_national_prefix(self, national: str) -> str:
        """The number without what the library takes for a national prefix, as in +46 (0)70."""
        found = self.prefix.match(national) if self.prefix is not None else None
        if self.prefix is None or found is None:
            return national
        if self.transform and found.groups()[-1] is not None:
            stripped = self.prefix.sub(self.transform, national, count=1)
        else:
            stripped = national[found.end() :]
        if self.general.fullmatch(national) and not self.general.fullmatch(stripped):
            return national
        # A rest that is too short for the country is taken for a number that merely begins like the prefix; one
        # that is too long is not.
        possible = len(stripped) in self.lengths or len(stripped) > self.lengths[-1]
        return stripped if possible and len(stripped) not in self.local_lengths else national

    def type_of(self, national: str) -> int:
        if len(self.regions) == 1:
            return self.regions[0].type_of(national)
        for region in self.regions:
            if region.leading is not None:
                if region.leading.match(national):
                    return region.type_of(national)
            elif (number_type := region.type_of(national)) != _NO_TYPE:
                return number_type
        return _NO_TYPE


@lru_cache(maxsize=1_000)
def _calling_code(code: int) -> _CallingCode:
    names = phonenumbers.COUNTRY_CODE_TO_REGION_CODE[code]
    metadata: list[Any] = [PhoneMetadata.metadata_for_region_or_calling_code(code, name) for name in names]
    # The library parses with the metadata of the code's main region, which stands first.
    main = metadata[0]
    return _CallingCode(
        prefix=re.compile(main.national_prefix_for_parsing) if main.national_prefix_for_parsing else None,
        transform=main.national_prefix_transform_rule,
        general=re.compile(main.general_desc.national_number_pattern),
        lengths=tuple(main.general_desc.possible_length),
        local_lengths=tuple(main.general_desc.possible_length_local_only),
        regions=tuple(map(_Region, metadata)),
    )


def _full(description: Any) -> str:
    """The pattern of a description with its lengths; for use where it must match to the end."""
    if description is None or not description.national_number_pattern:
        return _NOTHING
    lengths = "|".join(rf"\d{{{length}}}" for length in description.possible_length)
    ahead = rf"(?=(?:{lengths})\Z)" if lengths else ""
    return rf"{ahead}(?:{description.national_number_pattern})"
