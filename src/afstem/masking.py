"""Masking: what of a record may be shown where its content may not (SPEC 6, "Personal data").

`mask_cpr` and `tokens` stand for a citizen in the rejections, `mask_values` for a submitted value there,
`display_value` for a value in HTML, `tell_file_name` for the name of an extract. A masked text is still hostile
text: whoever writes it escapes it, and escapes after masking, for masking can make markup of what was none.
"""

import hmac
import re
import string
import unicodedata
from functools import lru_cache

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.cpr_number import digit_rows
from afstem.email_domains import very_common
from afstem.text_bytes import Ints, TextBytes, bytes_of, fixed_width_texts

_SHAPE_LENGTH = 32
_VALUE_LENGTH = 320
_LOOKED_AT = 4_096
"""So much of a value is looked at for what may belong to a CPR number that begins in the part that is kept."""
_DISPLAY_LENGTH = 60
_TOKEN_LENGTH = 32
CROWDS = 1_000_003
"""A prime: citizens born on the same days, and numbered alike, come into different crowds."""
_ELLIPSIS = "…"
_CPR_DIGITS = 10
_GAP = 3
"""So many characters that are no letter or digit may stand between two digits of what looks like a CPR number; those
that take no room do not count, for a reader sees the digits side by side."""
_NO_ROOM = ("Cc", "Cf", "Cn", "Mn", "Me")
_NO_LETTERS = "\u115f\u1160\u3164\uffa0"
"""The Hangul fillers: letters to Unicode, nothing to a reader."""

_DAYS = frozenset(f"{day:02}" for day in (*range(1, 32), *range(61, 92)))
"""Days of birth, and those of replacement numbers, which are raised by 60 (DOMAIN 6)."""
_MONTHS = frozenset(f"{month:02}" for month in range(1, 13))
_CPR_IN_FILE_NAME = re.compile(r"(?<!\d)\d{2}(?:[\W_]{0,3}\d{2}){4}(?!\d)")
_KEPT = "-./ "

_NAMES_OF_INVISIBLE = {
    "\0": "NUL",
    "\t": "TAB",
    "\n": "LF",
    "\r": "CR",
    "\x1b": "ESC",
    "\x7f": "DEL",
    "\x85": "NEL",
    "\u00a0": "NBSP",
    "\u00ad": "SHY",
    "\u200b": "ZWSP",
    "\u200c": "ZWNJ",
    "\u200d": "ZWJ",
    "\u200e": "LRM",
    "\u200f": "RLM",
    "\u2028": "LS",
    "\u2029": "PS",
    "\u202a": "LRE",
    "\u202b": "RLE",
    "\u202c": "PDF",
    "\u202d": "LRO",
    "\u202e": "RLO",
    "\u202f": "NNBSP",
    "\u2060": "WJ",
    "\u2066": "LRI",
    "\u2067": "RLI",
    "\u2068": "FSI",
    "\u2069": "PDI",
    "\ufeff": "BOM",
}


def mask_cpr(texts: pa.StringArray, numbers: Ints) -> pa.StringArray:
    """``010190-xxxx`` where ``numbers`` has a CPR number, else the `shape` of the text; null where that is null."""
    is_number = numbers >= 0
    rows = np.full((int(is_number.sum()), len("DDMMYY-xxxx")), ord("x"), np.uint8)
    rows[:, :6] = digit_rows(numbers[is_number] // 10_000, 6)
    rows[:, 6] = ord("-")
    masked = fixed_width_texts(rows, is_number)
    others = ~is_number
    if not others.any():
        return masked
    distinct = texts.filter(pa.array(others)).dictionary_encode()
    shapes = pa.array([shape(text) for text in distinct.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(masked, pa.array(others), shapes.take(distinct.indices))


def shape(text: str) -> str:
    """What a text looks like, without its content: at most 32 characters of ``#`` ``a`` ``A`` ``-./ `` and ``?``."""
    shown = "".join(map(_shape_of, text[:_SHAPE_LENGTH]))
    return shown + _ELLIPSIS if len(text) > _SHAPE_LENGTH else shown


def _shape_of(character: str) -> str:
    if unicodedata.category(character).startswith("N"):
        return "#"
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return character if character in _KEPT else "?"


def mask_cpr_like(text: str) -> str:
    """The text with the digits of anything like a CPR number in it replaced by ``#``.

    Like a CPR number are ten digits of any script, the first four a day and a month, at any offset and also
    where they overlap, with at most three characters that are no letters or digits between two of them (and any
    number of those that take no room).
    """
    places: list[int] = []
    digits: list[str] = []
    gap = 0
    hidden: set[int] = set()
    for place, character in enumerate(text):
        value = unicodedata.digit(character, None)
        if value is None:
            if character.isalnum() and character not in _NO_LETTERS:
                places, digits = [], []
            elif character not in _NO_LETTERS and unicodedata.category(character) not in _NO_ROOM:
                gap += 1
            continue
        if gap > _GAP:
            places, digits = [], []
        gap = 0
        places.append(place)
        digits.append(str(value))
        del places[:-_CPR_DIGITS], digits[:-_CPR_DIGITS]
        ten = "".join(digits)
        if len(ten) == _CPR_DIGITS and ten[:2] in _DAYS and ten[2:4] in _MONTHS:
            hidden.update(places)
    if not hidden:
        return text
    return "".join("#" if place in hidden else character for place, character in enumerate(text))


def mask_values(values: pa.StringArray) -> pa.StringArray:
    """Each value as `mask_cpr_like` leaves it, of at most 320 characters and then ``…``; null stays null."""
    suspects = _may_hold_cpr(bytes_of(values))
    suspects |= pc.fill_null(pc.greater(pc.utf8_length(values), _VALUE_LENGTH), False).to_numpy(zero_copy_only=False)
    if not suspects.any():
        return values
    distinct = values.filter(pa.array(suspects)).dictionary_encode()
    masked = pa.array([_mask_value(value) for value in distinct.dictionary.to_pylist()], pa.string())
    return pc.replace_with_mask(values, pa.array(suspects), masked.take(distinct.indices))


def hold_cpr_alone(values: pa.StringArray) -> npt.NDArray[np.bool_]:
    """Which values hold ten digits that look like a CPR number and stand alone, as in a file name; none is null.

    `mask_cpr_like` looks at every ten digits in a row, which is right for hiding, but suspects too many.
    """
    column = bytes_of(values)
    suspects = np.union1d(_with_ten_digits(column), _with_digits_of_other_scripts(values, column))
    holds = np.zeros(len(values), np.bool_)
    if len(suspects):
        distinct = values.take(pa.array(suspects)).dictionary_encode()
        alone = np.array([_mask_in_file_name(value) != value for value in distinct.dictionary.to_pylist()], np.bool_)
        holds[suspects] = alone[distinct.indices.to_numpy()]
    return holds


def _with_ten_digits(column: TextBytes) -> Ints:
    """The texts in which ten ASCII digits stand no further apart than ASCII signs between their pairs can set them."""
    digits = np.flatnonzero(column.octets - np.uint8(ord("0")) < _CPR_DIGITS)
    first, last = digits[: 1 - _CPR_DIGITS], digits[_CPR_DIGITS - 1 :]
    near = np.flatnonzero(last - first < _CPR_DIGITS + _GAP * (_CPR_DIGITS // 2 - 1))
    rows = np.searchsorted(column.starts, first[near], side="right") - 1
    return np.unique(rows[last[near] < column.starts[rows] + column.lengths[rows]])


def _with_digits_of_other_scripts(values: pa.StringArray, column: TextBytes) -> Ints:
    """The texts with a byte that a digit, or a sign between digits, outside ASCII may begin with, and ten that may be
    digits; ``column`` has their bytes."""
    places = np.flatnonzero(column.octets >= 0xC0)
    rows = np.unique(np.searchsorted(column.starts, places, side="right") - 1)
    totals = bytes_of(values.take(pa.array(rows))).sums(_digit_weights())
    return rows[(totals & 0xFFFF_FFFF) + (totals >> 32) >= _CPR_DIGITS]


def _mask_value(value: str) -> str:
    masked = mask_cpr_like(value[:_LOOKED_AT])
    return masked[:_VALUE_LENGTH] + _ELLIPSIS if len(masked) > _VALUE_LENGTH else masked


def _may_hold_cpr(column: TextBytes) -> npt.NDArray[np.bool_]:
    """Which texts may hold something like a CPR number; errs on the side of yes, and only where it looks alike."""
    totals = column.sums(_digit_weights())
    # A digit of another script starts with a byte of its own, so each such byte may be one.
    count, others = totals & 0xFFFF_FFFF, totals >> 32
    digits = column.octets[(column.octets >= ord("0")) & (column.octets <= ord("9"))].astype(np.int64) - ord("0")
    # How many places before each digit begin with a day and a month; a window of ten never asks beyond them.
    likely = np.zeros(len(digits) + 1, np.int64)
    if len(digits) >= 4:
        leading = digits[:-3] * 1_000 + digits[1:-2] * 100 + digits[2:-1] * 10 + digits[3:]
        np.cumsum(_birthdays()[leading], out=likely[1:-3])
    ends = np.cumsum(count)
    last_window = np.maximum(ends - _CPR_DIGITS + 1, ends - count)
    has_window = likely[last_window] > likely[ends - count]
    suspects: npt.NDArray[np.bool_] = (count + others >= _CPR_DIGITS) & ((others > 0) | has_window)
    return suspects


@lru_cache(maxsize=1)
def _digit_weights() -> Ints:
    weights = np.zeros(256, np.int64)
    weights[ord("0") : ord("9") + 1] = 1
    weights[0xC0:] = 1 << 32
    return weights


@lru_cache(maxsize=1)
def _birthdays() -> npt.NDArray[np.bool_]:
    """For each number DDMM (0 to 9999) whether it can begin something like a CPR number."""
    table = np.zeros(10_000, np.bool_)
    table[[int(day + month) for day in _DAYS for month in _MONTHS]] = True
    return table


def tell_file_name(name: str) -> str:
    """The name of an extract as reports, logs and terminals may have it.

    The digits of a CPR number in it are replaced by ``#``; other numbers stay. Dates and run numbers are common in
    file names, so only ten digits standing alone count, in pairs with at most three signs between them. What cannot be
    printed, such as a line break, a terminal's control codes, a sign that turns the direction of writing, or bytes that
    are not UTF-8, is written with a backslash: ``\\n``, ``\\xe6``.
    """
    masked = _mask_in_file_name(name)
    told = "".join(character if character.isprintable() else _escaped(character) for character in masked)
    return _mask_in_file_name(told)  # what is written with a backslash may end in digits


def _mask_in_file_name(name: str) -> str:
    return _CPR_IN_FILE_NAME.sub(lambda found: mask_cpr_like(found.group()), name)


def _escaped(character: str) -> str:
    octet = character.encode("utf-8", "surrogateescape")
    return f"\\x{octet[0]:02x}" if len(octet) == 1 and octet[0] >= 0x80 else ascii(character)[1:-1]


def display_value(text: str) -> str:
    """A value as HTML may show it: a shape that tells what is wrong with it, never its content (REPORT 6).

    Letters and digits are hidden, ASCII punctuation stays, invisible characters become tokens such as
    ``[NBSP]``, all else ``?``. What is written as a phone number keeps a leading plus sign with two digits, and
    its last two; an address keeps a very common domain. At most 60 characters; never five digits in a row.
    """
    digits = [place for place, character in enumerate(text) if character.isdigit()]
    shown: frozenset[int] = frozenset()
    digit_sign = "#"
    known_domain = ""
    if len(digits) >= 8 and not any(map(str.isalpha, text)) and mask_cpr_like(text) == text:
        leading = {1, 2} if text.startswith("+") else set()
        shown = frozenset(place for place in leading | set(digits[-2:]) if text[place].isascii())
        digit_sign = "•"
    elif text.count("@") == 1 and text.partition("@")[2].lower() in very_common():
        text, at_sign, domain = text.partition("@")
        known_domain = at_sign + domain.lower()
    room = _DISPLAY_LENGTH - len(known_domain)
    pieces: list[str] = []
    for place, character in enumerate(text):
        piece = character if place in shown else _display_of(character, digit_sign)
        if len(piece) > room - (place + 1 < len(text)):
            pieces.append(_ELLIPSIS)
            break
        pieces.append(piece)
        room -= len(piece)
    return "".join(pieces) + known_domain


def display_accepted(value: str) -> str:
    """An accepted value as anything but the store and its actor may show it: no letter and no digit of it but those of
    a very common domain."""
    return display_value(value) if "@" in value else "+" + "•" * (len(value) - 1)


def _display_of(character: str, digit_sign: str) -> str:
    if character in string.punctuation or character == " ":
        return character
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Zs", "Zl", "Zp"):
        if character in _NAMES_OF_INVISIBLE:
            return f"[{_NAMES_OF_INVISIBLE[character]}]"
        # Beyond four places a code point could be five digits in a row.
        return f"[U+{ord(character):04X}]" if ord(character) <= 0xFFFF else "[?]"
    if category.startswith("N"):
        return digit_sign
    if character.isalpha():
        return "A" if character.isupper() else "a"
    return "?"


def tokens(texts: list[str], key: bytes) -> list[str]:
    """For each text its HMAC-SHA256 under the key, 32 hexadecimal characters: the same citizen, the same token.

    A plain or salted hash would be no mask: there are only about 370 million CPR numbers.
    """
    return [hmac.digest(key, text.encode(), "sha256").hex()[:_TOKEN_LENGTH] for text in texts]


def crowds(numbers: Ints) -> pa.Array:
    """The crowd of some hundreds that the citizen of each CPR number is one of; null where there is no number.

    It tells of whom it is worth to make a token: few of the millions that a night is about. Kept with the tokens in the
    store alone, where the numbers stand too.
    """
    return pa.array(np.maximum(numbers, 0) % CROWDS, pa.int32(), mask=numbers < 0)
