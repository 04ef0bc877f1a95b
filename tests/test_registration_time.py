"""Registration times read as columns, against `datetime.fromisoformat` asked about one text at a time."""

# ruff: noqa: DTZ001 (times without a zone are the subject)

import sys
from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies import registreret_texts

from afstem import registration_time
from afstem.schema import NO_TIME

COPENHAGEN = ZoneInfo("Europe/Copenhagen")
ZONES = [COPENHAGEN, *map(ZoneInfo, ("UTC", "America/Nuuk", "Atlantic/Faroe", "Pacific/Apia", "Australia/Lord_Howe"))]
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def slow_time(text: str | None, zone: ZoneInfo) -> tuple[int, bool]:
    """One text as SPEC 2.3 reads it: the instant in microseconds, and whether it is unreadable."""
    if not text:
        return NO_TIME, False
    try:
        parsed = datetime.fromisoformat(text)
        instant = (parsed if parsed.tzinfo else parsed.replace(tzinfo=zone)).astimezone(UTC)
    except (ValueError, OverflowError):
        return NO_TIME, True
    return (instant - EPOCH) // timedelta(microseconds=1), False


def assert_agreement(texts: list[str | None], zone: ZoneInfo) -> None:
    times, unreadable = registration_time.read_times(pa.array(texts, pa.string()), zone)
    expected = [slow_time(text, zone) for text in texts]
    read = list(zip(times.tolist(), unreadable.tolist(), strict=True))
    assert [triple for triple in zip(texts, read, expected, strict=True) if triple[1] != triple[2]] == []


@pytest.mark.parametrize("zone", ZONES, ids=str)
def test_every_hour_around_the_changes_of_the_clock(zone: ZoneInfo) -> None:
    starts = [datetime(year, 1, 1) for year in (1, 1893, 1894, 1916, 1940, 1949, 1980, 2011, 2024, 2026, 9999)]
    moments = [
        start + timedelta(hours=hours, minutes=minutes)
        for start in starts
        for hours in range(0, 24 * 364, 1 if start.year == 2026 else 13)
        for minutes in ((0, 30) if hours % 24 < 4 else (0,))
    ]
    assert_agreement([moment.isoformat() for moment in moments], zone)


def test_every_day_of_two_centuries() -> None:
    days = [date(1880, 1, 1) + timedelta(days=day) for day in range(0, 73_000, 3)]
    assert_agreement([day.isoformat() for day in days], COPENHAGEN)


def test_impossible_dates_and_times() -> None:
    years, months, days = (0, 1, 1900, 2000, 2023, 9999), (0, 1, 2, 4, 12, 13, 99), (0, 1, 28, 29, 30, 31, 32, 99)
    assert_agreement(
        [f"{year:04}-{month:02}-{day:02}" for year in years for month in months for day in days], COPENHAGEN
    )
    clocks = ("00:00", "23:59", "24:00", "23:60", "23:59:59", "23:59:60", "99:99")
    offsets = ("", "Z", "+00:00", "-00:00", "+23:59", "-23:59", "+24:00", "z", "+2359", "+02")
    assert_agreement([f"2026-06-01T{clock}{offset}" for clock in clocks for offset in offsets], COPENHAGEN)


def test_the_first_and_the_last_instant() -> None:
    first = ["0001-01-01", "0001-01-01T00:00Z", "0001-01-01T00:00+00:01", "0000-12-31T23:59-23:59"]
    last = ["9999-12-31", "9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999-00:01"]
    assert_agreement([*first, *last], COPENHAGEN)


@st.composite
def time_like_texts(draw: st.DrawFn) -> str:
    moment = draw(st.datetimes(datetime(1, 1, 1), datetime(9999, 12, 31, 23)))
    if draw(st.booleans()):
        moment = draw(st.datetimes(datetime(2020, 1, 1), datetime(2030, 1, 1)))
    form = draw(st.sampled_from(["auto", "hours", "minutes", "seconds", "milliseconds", "microseconds"]))
    text = moment.isoformat(draw(st.sampled_from("T  t_5")), form)
    text = draw(
        st.sampled_from(
            [text, text, text, text[:10], moment.strftime("%G-W%V-%uT%H:%M"), moment.strftime("%Y%m%dT%H%M%S")]
        )
    )
    text += draw(
        st.sampled_from(
            ["", "", "Z", "+02:00", "-11:30", "+23:59", "+24:00", "+0200", "+02:00:30", "+02:00:00.5", "z", " "]
        )
    )
    if draw(st.integers(0, 2)) == 0:
        place = draw(st.integers(0, len(text) - 1))
        text = (
            text[:place]
            + draw(st.sampled_from(["", "0", "9", "24", ",", ".", "-", "٣", "é", "\0", "🙂"]))
            + text[place + 1 :]
        )
    return text


@settings(max_examples=150, deadline=None)
@given(st.lists(st.none() | time_like_texts(), max_size=12), st.sampled_from(ZONES))
def test_columns_agree_with_the_standard_library(texts: list[str | None], zone: ZoneInfo) -> None:
    assert_agreement(texts, zone)


@settings(max_examples=150, deadline=None)
@given(st.lists(registreret_texts.map(str.strip), max_size=20), st.sampled_from(ZONES))
def test_what_actors_send_is_read_as_the_standard_library_reads_it(texts: list[str], zone: ZoneInfo) -> None:
    assert_agreement(texts, zone)


def test_a_slice_of_a_column_is_read_by_itself() -> None:
    column = pa.array(["x", "2026-01-01", None, "2026-01-02T03:04:05Z"], pa.string()).slice(1)
    times, unreadable = registration_time.read_times(column, ZoneInfo("UTC"))
    assert times.tolist() == [1_767_225_600_000_000, NO_TIME, 1_767_323_045_000_000]
    assert not unreadable.any()


def test_of_the_doubled_hour_the_first_is_meant() -> None:
    times, _ = registration_time.read_times(pa.array(["2026-10-25T02:30:00", "2026-10-25T00:30:00Z"]), COPENHAGEN)
    assert times[0] == times[1]


def test_hour_24_is_refused_also_where_datetime_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    class LaterDatetime(datetime):
        """What `fromisoformat` does with 24:00 from Python 3.14 on."""

        @classmethod
        def fromisoformat(cls, text: str) -> datetime:
            for hour in ("T24", " 24"):
                if hour in text and sys.version_info < (3, 14):
                    return datetime.fromisoformat(text.replace(hour, f"{hour[0]}00")) + timedelta(days=1)
            return datetime.fromisoformat(text)

    monkeypatch.setattr(registration_time, "datetime", LaterDatetime)
    texts = ["2026-01-01T24:00", "20260101T2400", "2026-W01T24:00", "2026W01T24", "2026-02-24T00:00:00.0"]
    times, unreadable = registration_time.read_times(pa.array(texts), ZoneInfo("UTC"))
    assert unreadable.tolist() == [True, True, True, True, False]
    assert times[-1] == slow_time("2026-02-24", ZoneInfo("UTC"))[0]
