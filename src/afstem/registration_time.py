"""Registration times: the text an actor gives in ``registreret``, as an instant.

The truth is `datetime.fromisoformat` of Python 3.11 (SPEC 2.3). The usual spellings are read as columns; every
other text goes to `datetime`, once for each distinct text. A text without an offset is local time of a zone; of
the two instants that the doubled hour of autumn can mean it is the first (PEP 495, fold 0).
"""

import re
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afstem.schema import NO_TIME
from afstem.text_bytes import Bools, Ints, Octets, bytes_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_MINUTE = 60 * _SECOND
_DAY = 86_400 * _SECOND
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_CHANGES = NO_TIME
"""In a table of offsets: the zone's offset changes within this day or minute, or may."""

_DATE = "0000-00-00"
_CLOCKS = ("00:00", "00:00:00", "00:00:00.000", "00:00:00.000000")
_OFFSETS = ("", "Z", "+00:00")
_SPELLINGS = (
    _DATE,
    "00000000T000000",
    *(f"{_DATE}T{clock}{offset}" for clock in _CLOCKS for offset in _OFFSETS),
)
"""The spellings read as columns, no two of the same length; 0 stands for a digit, T for T or blank, + for a sign."""

_SIGNS = {"T": "T ", "+": "+-"}
_LAST_YEAR = 9999


def read_times(texts: pa.StringArray, zone: ZoneInfo) -> tuple[Ints, Bools]:
    """The instant of each text (trimmed before), and where a text is given but is no time.

    Instants are microseconds since 1970 in UTC, `NO_TIME` where the text is null, empty or unreadable. Times
    without an offset are local time in ``zone``. An instant outside the years 1 to 9999 in UTC is no time.
    """
    column = bytes_of(texts)
    times = np.full(len(texts), NO_TIME, np.int64)
    undecided = column.lengths > 0
    for spelling in _SPELLINGS:
        rows = np.flatnonzero(column.lengths == len(spelling))
        if len(rows):
            read, fits = _read_spelling(column.windows(column.starts[rows], len(spelling)), spelling, zone)
            times[rows] = np.where(fits, read, NO_TIME)
            undecided[rows] = ~fits
    unreadable = np.zeros(len(texts), np.bool_)
    odd = np.flatnonzero(undecided)
    if len(odd):
        distinct = texts.take(pa.array(odd)).dictionary_encode()
        answers = np.array([_instant(text, zone) for text in distinct.dictionary.to_pylist()], np.int64)
        times[odd] = answers[distinct.indices.to_numpy()]
        unreadable[odd] = times[odd] == NO_TIME
    return times, unreadable


def _read_spelling(characters: Octets, spelling: str, zone: ZoneInfo) -> tuple[Ints, Bools]:
    """The instants of texts of one length, one row a text, and which of them have this spelling.

    A text that does not fit is not unreadable: it is left to `datetime`.
    """
    columns = np.ascontiguousarray(characters.T)
    fits = _take_digits(columns, spelling)

    def number(at: int) -> Octets:
        """The number of two digits at this place; a byte holds it, and bytes are reckoned many at a time."""
        pair: Octets = columns[at] * np.uint8(10) + columns[at + 1]
        return pair

    # Where pairs of digits begin: century, year, month, day, and as much of the clock as there is.
    pairs = [found.start() for found in re.finditer("00", re.split("[.Z+]", spelling)[0])]
    days, is_date = _days(number(pairs[0]) * np.int32(100) + number(pairs[1]), number(pairs[2]), number(pairs[3]))
    fits &= is_date
    seconds = days * np.int64(_DAY // _SECOND)
    for at, unit, limit in zip(pairs[4:], (3600, 60, 1), (23, 59, 59), strict=False):
        value = number(at)
        fits &= value <= limit
        seconds += value * np.int32(unit)
    local = seconds * _SECOND
    if "." in spelling:
        decimals = re.split("[Z+]", spelling.partition(".")[2])[0]
        fraction = np.zeros(len(local), np.int32)
        for digit in columns[spelling.index(".") + 1 :][: len(decimals)]:
            fraction = fraction * np.int32(10) + digit
        local += fraction * np.int64(_SECOND // 10 ** len(decimals))

    if spelling.endswith("Z"):
        return local, fits
    if "+" in spelling:
        at = spelling.index("+")
        hours, minutes = number(at + 1), number(at + 4)
        fits &= (hours <= 23) & (minutes <= 59)
        offset = (hours * np.int64(3600) + minutes * np.int64(60)) * _SECOND
        times = local - np.where(columns[at] == ord("-"), -offset, offset)
    else:
        offset, fixed = _offsets(np.where(fits, local, 0), zone)
        times = local - offset
        fits &= fixed
    return times, fits & (times >= _FIRST) & (times <= _LAST)


def _take_digits(columns: Octets, spelling: str) -> Bools:
    """Which texts (``columns`` has one row a place in them) have the spelling; their digits become numbers in place.

    A text that has not gets the digit 1 everywhere, so that it stays within the calendar.
    """
    fits = np.ones(columns.shape[1], np.bool_)
    for column, sign in zip(columns, spelling, strict=True):
        if sign == "0":
            column -= np.uint8(ord("0"))
            fits &= column <= 9
        else:
            fits &= np.logical_or.reduce([column == ord(taken) for taken in _SIGNS.get(sign, sign)])
    columns[:, ~fits] = 1
    return fits


def _days(year: npt.NDArray[np.int32], month: Octets, day: Octets) -> tuple[npt.NDArray[np.int32], Bools]:
    """The days since 1970 of dates, and which of them are in the calendar; no number is above 9999, 99 and 99."""
    first_days = _first_days()
    months = year * np.int32(12) + month
    days = first_days[months] + (day - np.int32(1))
    is_date = (year >= 1) & (month >= 1) & (month <= 12) & (day >= 1) & (days < first_days[months + 1])
    return days, is_date


@lru_cache(maxsize=1)
def _first_days() -> npt.NDArray[np.int32]:
    """The first day of each month in days since 1970; a month of a year is at ``year * 12 + month``."""
    months = np.arange(_LAST_YEAR * 12 + 101) - (1970 * 12 + 1)
    return months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int32)


def _offsets(local: Ints, zone: ZoneInfo) -> tuple[Ints, Bools]:
    """The zone's offset from UTC at each local time, and where it could be told."""
    if len(local) == 0:
        return local, np.empty(0, np.bool_)
    days = local // _DAY
    first = int(days.min())
    seen = np.zeros(int(days.max()) - first + 1, np.bool_)
    seen[days - first] = True
    table = np.full(len(seen), _CHANGES, np.int64)
    for index in np.flatnonzero(seen).tolist():
        table[index] = _offset_during(first + index, _DAY, zone)
    offsets = table[days - first]
    changing = np.flatnonzero(offsets == _CHANGES)
    if len(changing):
        minutes, places = np.unique(local[changing] // _MINUTE, return_inverse=True)
        table = np.array([_offset_during(minute, _MINUTE, zone) for minute in minutes.tolist()], np.int64)
        offsets[changing] = table[places]
    fixed = offsets != _CHANGES
    return np.where(fixed, offsets, 0), fixed


@lru_cache(maxsize=100_000)
def _offset_during(number: int, length: int, zone: tzinfo) -> int:
    """The offset in microseconds that holds all through a local day or minute, else `_CHANGES`.

    Days and minutes are ``length`` microseconds long and are numbered from 1970.
    """
    start = _EPOCH + timedelta(microseconds=number * length)
    last = start + timedelta(microseconds=length - 1)
    offsets = {moment.replace(tzinfo=zone).utcoffset() for moment in (start, last)}
    offset = offsets.pop()
    if offsets or offset is None:
        return _CHANGES
    return offset // _MICROSECOND


def _instant(text: str, zone: ZoneInfo) -> int:
    """The instant of one text as `datetime.fromisoformat` of Python 3.11 reads it, `NO_TIME` if it does not."""
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return NO_TIME
    if _has_hour_24(text, parsed):
        return NO_TIME
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=zone)
    instant = (parsed - _EPOCH) // _MICROSECOND
    return instant if _FIRST <= instant <= _LAST else NO_TIME


def _has_hour_24(text: str, parsed: datetime) -> bool:
    """Whether a text was read as 24:00, the midnight that ends a day: Python 3.11 refuses it, later ones do not."""
    # The hour follows the separator, and that stands after a date of 7, 8 or 10 characters. The text means
    # 24:00 exactly when the same text with hour 00 means one day earlier.
    for at in (8, 9, 11):
        if text[at : at + 2] == "24":
            try:
                earlier = datetime.fromisoformat(f"{text[:at]}00{text[at + 2 :]}")
            except ValueError:
                continue
            if parsed.replace(tzinfo=None) - earlier.replace(tzinfo=None) == timedelta(days=1):
                return True
    return False
