"""What is remembered of findings: since when, how often in a row, and when they were mended."""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afstem.finding_memory import (
    MEMORY_SCHEMA,
    NOTED,
    RESOLVED_KEPT,
    RETURNED_SCHEMA,
    Mending,
    SinceLast,
    days_between,
    recall,
    remember,
    since_last,
    waiting,
)
from afstem.finding_memory import summarise_mending as summarise

NIGHTS = [f"202611{day:02}T030000Z-abc123" for day in range(1, 31)]


def found(*tokens: str | None, code: int = 9156) -> list[pa.Table]:
    """Findings of one code about these citizens, in two batches."""
    return noted([(token, "mobile", code) for token in tokens])


def noted(findings: Sequence[tuple[str | None, str | None, int]]) -> list[pa.Table]:
    rows = [dict(zip(NOTED, (*finding, 7), strict=True)) for finding in findings]
    schema = pa.schema([MEMORY_SCHEMA.field(name) for name in NOTED])
    return [pa.Table.from_pylist(part, schema) for part in (rows[:1], rows[1:])]


def after(*nights: list[pa.Table]) -> pa.Table:
    """An actor's memory after these nights, one after the other."""
    memory, previous = MEMORY_SCHEMA.empty_table(), None
    for night, findings in zip(NIGHTS, nights, strict=False):
        memory = remember(findings, memory, previous, night, RETURNED_SCHEMA.empty_table())
        previous = night
    return memory


def resolved(memory: pa.Table) -> dict[str, str]:
    return {row["cpr_token"]: row["resolved_run"] for row in memory.to_pylist() if row["resolved_run"]}


def test_what_is_there_no_more_is_resolved_once() -> None:
    memory = after(found("a", "b"), found("a"), found("a"))
    assert resolved(memory) == {"b": NIGHTS[1]}
    assert summarise(memory, NIGHTS[2]) == Mending(0, 1, 0, NIGHTS[0], 9156, 1)
    assert summarise(after(found("a", "b"), found("a")), NIGHTS[1]) == Mending(0, 1, 1, NIGHTS[0], 9156, 1)


def test_what_comes_back_begins_anew() -> None:
    memory = after(found("a", "b"), found("a"), found("a", "b"))
    assert resolved(memory) == {"b": NIGHTS[1]}
    first_seen, runs_seen = recall(pa.concat_tables(found("b", "a")), memory, NIGHTS[2])
    assert first_seen.to_pylist() == [NIGHTS[2], NIGHTS[0]]
    assert runs_seen.to_pylist() == [1, 3]


def test_a_night_that_mends_everything_is_remembered() -> None:
    assert summarise(after(found("a", "b"), []), NIGHTS[1]) == Mending(0, 0, 2, None, None, 1)


def test_a_finding_without_a_citizen_is_not_recognised() -> None:
    assert summarise(after(found(None, "a")), NIGHTS[0]) == Mending(1, 0, 0, NIGHTS[0], 9156, None)


def test_another_code_is_another_finding() -> None:
    assert summarise(after(found("a"), found("a", code=9158)), NIGHTS[1]) == Mending(1, 0, 1, NIGHTS[1], 9158, 1)


def test_the_median_is_over_the_days_that_findings_were_raised() -> None:
    memory = after(found("a", "b", "c"), found("b", "c"), found("b", "c"), found("b", "c"), found("c"), found("c"))
    assert summarise(memory, NIGHTS[5]).mended_days == 2.5  # one day, and four


def test_the_resolved_do_not_pile_up() -> None:
    nights = [found(*(f"{night}-{n}" for n in range(RESOLVED_KEPT * 2 // 3))) for night in range(6)]
    memory = after(*nights)
    latest = resolved(memory)
    assert len(latest) == RESOLVED_KEPT
    assert {NIGHTS[5], NIGHTS[4]} <= set(latest.values())
    assert NIGHTS[2] not in latest.values()


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("20261101T030000Z-abc123", "20261101T050000Z-abc123", 0),
        ("20261101T230000Z-abc123", "20261102T210000Z-abc123", 1),
        ("20261024T010000Z-abc123", "20261026T020000Z-abc123", 2),
        ("20251231T030000Z-abc123", "20261231T030000Z-abc123", 365),
    ],
)
def test_days_are_counted_from_run_to_run(first: str, last: str, days: int) -> None:
    assert days_between(first, last) == days


# --- the records that come back ---------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Delivered:
    """What came in one night: accepted records, those of them in a receipt, and findings."""

    accepted: Sequence[tuple[str, str]] = ()
    of_receipt: Sequence[tuple[str, str]] = ()
    findings: Sequence[tuple[str, str | None, int]] = ()


def told(*nights: Delivered) -> list[SinceLast]:
    """What is told after each of these nights."""
    memory, previous, every = MEMORY_SCHEMA.empty_table(), None, []
    for run_id, night in zip(NIGHTS, nights, strict=False):
        tokens = set(waiting(memory, previous)["cpr_token"].to_pylist())
        rows = [(*record, False) for record in night.accepted] + [(*record, True) for record in night.of_receipt]
        accepted = [dict(zip(RETURNED_SCHEMA.names, row, strict=True)) for row in rows if row[0] in tokens]
        returned = pa.Table.from_pylist(accepted, RETURNED_SCHEMA)
        memory = remember(noted(night.findings), memory, previous, run_id, returned)
        previous = run_id
        every.append(since_last(memory, run_id))
    return every


BAD = Delivered(findings=[("a", "mobile", 9156), ("b", "email", 9158), ("c", "email", 9158), ("c", "email", 4405)])


def test_a_first_night_has_new_records_only() -> None:
    assert told(BAD) == [SinceLast(before=0, mended=0, still_failing=0, not_returned=0, new=3, mended_later=0)]


def test_of_a_partial_delivery_the_rest_has_not_returned() -> None:
    second = Delivered(
        accepted=[("a", "mobile"), ("x", "email")], findings=[("b", "email", 9158), ("d", "email", 9158)]
    )
    assert told(BAD, second)[1] == SinceLast(3, mended=1, still_failing=1, not_returned=1, new=1, mended_later=0)


def test_what_returns_some_nights_later_is_mended_once() -> None:
    accepted = Delivered(accepted=[("a", "mobile"), ("c", "email")])
    nights = told(BAD, Delivered(findings=[("d", "email", 9158)]), accepted, accepted)
    assert nights[1] == SinceLast(3, mended=0, still_failing=0, not_returned=3, new=1, mended_later=0)
    assert nights[2] == SinceLast(1, mended=0, still_failing=0, not_returned=1, new=0, mended_later=2)
    assert nights[3] == SinceLast(0, 0, 0, 0, 0, 0)


def test_a_record_with_another_finding_is_still_failing() -> None:
    second = Delivered(findings=[("c", "email", 9155)], accepted=[("a", "mobile"), ("b", "email")])
    assert told(BAD, second)[1] == SinceLast(3, mended=2, still_failing=1, not_returned=0, new=0, mended_later=0)


def test_one_that_is_accepted_and_rejected_in_one_night_is_still_failing() -> None:
    second = Delivered(accepted=[("a", "mobile")], findings=[("a", "mobile", 9156)])
    assert told(BAD, second)[1] == SinceLast(3, mended=0, still_failing=1, not_returned=2, new=0, mended_later=0)


@pytest.mark.parametrize(("is_receipt", "mended"), [(True, 2), (False, 0)])
def test_in_a_receipt_a_mended_contact_type_is_the_same_record(is_receipt: bool, mended: int) -> None:
    first = Delivered(findings=[("a", "mobile", 9156), ("a", None, 9153), ("a", "email", 9158), ("b", None, 9153)])
    records = [("a", "landline"), ("b", "mobile")]
    second = Delivered(of_receipt=records) if is_receipt else Delivered(accepted=records)
    assert told(first, second)[1] == SinceLast(4, mended, 0, 4 - mended, 0, 0)


def test_in_a_receipt_a_record_mended_as_it_was_stands_for_no_other() -> None:
    first = Delivered(findings=[("a", "mobile", 9156), ("a", "email", 9158)])
    second = Delivered(of_receipt=[("a", "email")])
    assert told(first, second)[1] == SinceLast(2, mended=1, still_failing=0, not_returned=1, new=0, mended_later=0)


def test_a_night_that_resolves_more_than_is_kept_tells_all() -> None:
    many = [(f"{n}", "mobile", 9156) for n in range(RESOLVED_KEPT + 50)]
    assert told(Delivered(findings=many), Delivered(accepted=[(token, kind) for token, kind, _ in many[10:]]))[1] == (
        SinceLast(len(many), mended=len(many) - 10, still_failing=0, not_returned=10, new=0, mended_later=0)
    )


def test_a_memory_of_before_there_were_crowds_waits_for_nobody_in_vain() -> None:
    before = remember(
        noted([("a", "mobile", 9156)]), MEMORY_SCHEMA.empty_table(), None, NIGHTS[0], RETURNED_SCHEMA.empty_table()
    )
    before = before.set_column(before.schema.get_field_index("crowd"), "crowd", pa.nulls(1, pa.int32()))
    assert waiting(before, NIGHTS[0])["crowd"].to_pylist() == [None]
    memory = remember([], before, NIGHTS[0], NIGHTS[1], RETURNED_SCHEMA.empty_table())
    assert since_last(memory, NIGHTS[1]) == SinceLast(1, 0, 0, 1, 0, 0)


RECORDS = st.tuples(st.sampled_from("abc"), st.sampled_from(["mobile", "email"]))


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(st.sets(RECORDS), st.dictionaries(RECORDS, st.sets(st.sampled_from([9156, 9158, 4405]), min_size=1))),
        max_size=6,
    )
)
def test_it_is_as_counted_by_hand(nights: list[tuple[set[tuple[str, str]], dict[tuple[str, str], set[int]]]]) -> None:
    last: set[tuple[str, str]] = set()
    away: set[tuple[str, str]] = set()
    expected = []
    for accepted, rejected in nights:
        now = set(rejected)
        mended = accepted - now
        expected.append(
            SinceLast(
                before=len(last),
                mended=len(last & mended),
                still_failing=len(last & now),
                not_returned=len(last - now - mended),
                new=len(now - last),
                mended_later=len((away - last) & mended),
            )
        )
        away = (away | last) - mended
        last = now
    delivered = [
        Delivered(sorted(accepted), findings=[(*record, code) for record, codes in rejected.items() for code in codes])
        for accepted, rejected in nights
    ]
    assert told(*delivered) == expected
