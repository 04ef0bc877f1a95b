"""Registration times: the text an actor gives in ``registreret``, as an instant.

The truth is `datetime.fromisoformat` of Python 3.11 (SPEC 2.3). The usual spellings are read as columns; every
other text goes to `datetime`, once for each distinct text. A text without an offset is local time of a zone; of
the two instants that the doubled hour of autumn can mean it is the first (PEP 495, fold 0).
"""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from afstem.schema import NO_TIME
from afstem.text_bytes import Bools, Ints, Octets, bytes_of

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SECOND = 1_000_000
_DAY = 86_400 * _SECOND
_FIRST = (datetime(1, 1, 1, tzinfo=UTC) - _EPOCH) // _MICROSECOND
_LAST = (datetime.max.replace(tzinfo=UTC) - _EPOCH) // _MICROSECOND
_CHANGES = NO_TIME
"""In a table of offsets: the zone's offset changes within this day, or may."""

_DATES = "0000-00-00"
_CLOCKS = ("00:00", "00:00:00", "00:00:00.000", "00:00:00.000000")
_OFFSETS = ("", "Z", "+00:00")
_SPELLINGS = (_DATES, *(f"{_DATES}T{clock}{offset}" for clock in _CLOCKS for offset in _OFFSETS))
"""The spellings read as columns, no two of the same length; 0 stands for a digit, T for T or blank, + for a sign."""


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
            times[rows[fits]] = read[fits]
            undecided[rows[fits]] = False
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
    fits = np.ones(len(characters), np.bool_)
    for at, sign in enumerate(spelling):
        if sign == "0":
            fits &= (columns[at] >= ord("0")) & (columns[at] <= ord("9"))
        elif sign in "T+":
            fits &= np.isin(columns[at], [ord(one) for one in ("T ", "+-")[sign == "+"]])
        else:
            fits &= columns[at] == ord(sign)

    def number(at: int, width: int) -> Ints:
        value = np.zeros(len(characters), np.int64)
        for digit in columns[at : at + width]:
            value = value * 10 + (digit.astype(np.int64) - ord("0"))
        # What does not fit must not leave the range of the calendar below.
        return np.where(fits, value, 1)

    year, month, day = number(0, 4), number(5, 2), number(8, 2)
    fits &= (year >= 1) & (month >= 1) & (month <= 12)
    months = np.where(fits, (year - 1970) * 12 + month - 1, 0)
    month_start = months.astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    next_month = (months + 1).astype("datetime64[M]").astype("datetime64[D]").astype(np.int64)
    fits &= (day >= 1) & (day <= next_month - month_start)
    local = (month_start + day - 1) * _DAY
    for at, unit, limit in ((11, 3600, 23), (14, 60, 59), (17, 1, 59)):
        if spelling[at - 1 : at] in ("T", ":"):
            value = number(at, 2)
            fits &= value <= limit
            local += value * (unit * _SECOND)
    if spelling[19:20] == ".":
        decimals = len(spelling[20:]) - len(spelling[20:].lstrip("0"))
        local += number(20, decimals) * 10 ** (6 - decimals)

    if spelling.endswith("Z"):
        return _within_calendar(local, fits)
    if "+" in spelling:
        at = spelling.index("+")
        hours, minutes = number(at + 1, 2), number(at + 4, 2)
        fits &= (hours <= 23) & (minutes <= 59)
        offset = (hours * 3600 + minutes * 60) * _SECOND
        return _within_calendar(local - np.where(columns[at] == ord("-"), -offset, offset), fits)
    offset, fixed = _offsets(np.where(fits, local, 0), zone)
    return _within_calendar(local - offset, fits & fixed)


def _within_calendar(times: Ints, fits: Bools) -> tuple[Ints, Bools]:
    return times, fits & (times >= _FIRST) & (times <= _LAST)


def _offsets(local: Ints, zone: ZoneInfo) -> tuple[Ints, Bools]:
    """The zone's offset from UTC at each local time, and where the whole local day has that one offset."""
    days = local // _DAY
    if len(days) == 0:
        return days, np.empty(0, np.bool_)
    first = int(days.min())
    seen = np.zeros(int(days.max()) - first + 1, np.bool_)
    seen[days - first] = True
    table = np.full(len(seen), _CHANGES, np.int64)
    for index in np.flatnonzero(seen).tolist():
        table[index] = _offset_of_day(first + index, zone)
    offsets = table[days - first]
    fixed = offsets != _CHANGES
    return np.where(fixed, offsets, 0), fixed


@lru_cache(maxsize=100_000)
def _offset_of_day(day: int, zone: tzinfo) -> int:
    """The offset in microseconds that holds all through a local day (days since 1970), else `_CHANGES`."""
    start = (_EPOCH + timedelta(days=day)).replace(tzinfo=zone)
    offsets = {
        moment.utcoffset() for moment in (start, start.replace(hour=23, minute=59, second=59, microsecond=999_999))
    }
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
