"""What is remembered of findings: since when, how often in a row, and when they were mended."""

import pyarrow as pa
import pytest

from afstem.finding_memory import KEY, MEMORY_SCHEMA, RESOLVED_KEPT, Mending, days_between, recall, remember
from afstem.finding_memory import summarise_mending as summarise

NIGHTS = [f"202611{day:02}T030000Z-abc123" for day in range(1, 31)]


def found(*tokens: str | None, code: int = 9156) -> list[pa.Table]:
    """Findings of one code about these citizens, in two batches."""
    rows = [dict(zip(KEY, (token, "mobile", code), strict=True)) for token in tokens]
    schema = pa.schema([MEMORY_SCHEMA.field(name) for name in KEY])
    return [pa.Table.from_pylist(part, schema) for part in (rows[:1], rows[1:])]


def after(*nights: list[pa.Table]) -> pa.Table:
    """An actor's memory after these nights, one after the other."""
    memory, previous = MEMORY_SCHEMA.empty_table(), None
    for night, findings in zip(NIGHTS, nights, strict=False):
        memory = remember(findings, memory, previous, night)
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
