"""What is remembered of findings from run to run: since when, how many runs in a row, and when they were mended.

Kept by (actor, citizen's token, contact type, code): the token tells that it is the same citizen, never which. A
finding is in a row when it was there, too, in the last run in which something of the same actor was read (applied, or
held). One that was there then and is not there now is resolved: it was mended, or is no longer delivered.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from statistics import median

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

KEY = ("cpr_token", "contact_type", "code")

MEMORY_SCHEMA = pa.schema(
    [
        ("cpr_token", pa.string()),
        ("contact_type", pa.string()),
        ("code", pa.int32()),
        ("first_seen_run", pa.string()),
        ("last_seen_run", pa.string()),
        ("runs_seen", pa.int64()),
        ("resolved_run", pa.string()),
    ]
)
"""One actor's memory; ``contact_type`` is "" for a finding of an unknown contact type, ``resolved_run`` is null while
the finding is raised."""

RESOLVED_KEPT = 2_000
"""So many resolved findings of an actor are kept, the latest: a memory must not grow with the nights behind it."""


@dataclass(frozen=True)
class Mending:
    """How an actor mends: findings of a run that are new in it, that were there before, and that are there no more.

    ``oldest_run`` is the run in which the oldest of those that are raised was raised first, ``oldest_code`` its code.
    ``mended_days`` is the median of the days that the resolved findings (`RESOLVED_KEPT`) were raised for.
    """

    new: int
    recurring: int
    resolved: int
    oldest_run: str | None
    oldest_code: int | None
    mended_days: float | None


def remember(findings: Iterable[pa.Table], before: pa.Table, previous_run: str | None, run_id: str) -> pa.Table:
    """One actor's memory after a run, in `MEMORY_SCHEMA`.

    ``findings`` are batches with the columns of `KEY` from this run, ``before`` is the memory in the store, and
    ``previous_run`` the last run in which an extract of the actor was read. Findings without a token (no CPR number
    was written) cannot be recognised again and are left out.
    """
    batches = [batch.select(KEY).filter(pc.is_valid(batch["cpr_token"])) for batch in findings]
    found = (
        pa.concat_tables([MEMORY_SCHEMA.empty_table().select(KEY), *batches])
        .group_by(list(KEY), use_threads=False)
        .aggregate([])
    )  # in the order in which they were found
    found = found.set_column(1, "contact_type", pc.fill_null(found["contact_type"], ""))
    in_a_row = before.filter(pc.equal(before["last_seen_run"], pa.scalar(previous_run, pa.string())))
    place = pc.index_in(_key(found), value_set=_key(in_a_row))
    raised = pa.table(
        {
            "cpr_token": found["cpr_token"],
            "contact_type": found["contact_type"],
            "code": found["code"],
            "first_seen_run": pc.fill_null(in_a_row["first_seen_run"].take(place), run_id),
            "last_seen_run": pa.repeat(run_id, len(found)),
            "runs_seen": pc.add(pc.fill_null(in_a_row["runs_seen"].take(place), 0), 1),
            "resolved_run": pa.nulls(len(found), pa.string()),
        },
    ).cast(MEMORY_SCHEMA)
    return pa.concat_tables([raised, _resolved(in_a_row, place, before, run_id)])


def _resolved(in_a_row: pa.Table, found: pa.Array, before: pa.Table, run_id: str) -> pa.Table:
    """The findings that were in a row and are not found, and the latest of those that were resolved before."""
    gone = np.ones(len(in_a_row), bool)
    gone[pc.drop_null(found).to_numpy()] = False
    now = in_a_row.filter(pa.array(gone))
    now = now.set_column(now.column_names.index("resolved_run"), "resolved_run", pa.repeat(run_id, len(now)))
    earlier = before.filter(pc.is_valid(before["resolved_run"]))
    return pa.concat_tables([now.cast(MEMORY_SCHEMA), earlier]).slice(0, RESOLVED_KEPT)


def recall(findings: pa.Table, memory: pa.Table, run_id: str) -> tuple[pa.Array, pa.Array]:
    """For each finding of this run: the run it was first seen in, and how many runs in a row it has been seen."""
    memory = memory.filter(pc.is_null(memory["resolved_run"]))
    place = pc.index_in(_key(findings), value_set=_key(memory))
    return (
        pc.fill_null(memory["first_seen_run"].take(place), run_id),
        pc.fill_null(memory["runs_seen"].take(place), np.int64(1)),
    )


def summarise_mending(memory: pa.Table, run_id: str) -> Mending:
    """What an actor's memory after a run says about how it mends."""
    is_resolved = pc.is_valid(memory["resolved_run"])
    raised, resolved = memory.filter(pc.invert(is_resolved)), memory.filter(is_resolved)
    new = int(pc.sum(pc.equal(raised["first_seen_run"], run_id)).as_py() or 0)
    # A run's id begins with its time, so the least is the oldest.
    oldest_run = pc.min(raised["first_seen_run"]).as_py()
    oldest = raised.filter(pc.equal(raised["first_seen_run"], pa.scalar(oldest_run, pa.string())))
    days = [
        days_between(first, last)
        for first, last in zip(
            resolved["first_seen_run"].to_pylist(), resolved["resolved_run"].to_pylist(), strict=True
        )
    ]
    return Mending(
        new=new,
        recurring=len(raised) - new,
        resolved=int(pc.sum(pc.equal(resolved["resolved_run"], run_id)).as_py() or 0),
        oldest_run=oldest_run,
        oldest_code=pc.mode(oldest["code"])[0]["mode"].as_py() if len(oldest) else None,
        mended_days=median(days) if days else None,
    )


@cache
def days_between(first_run: str, last_run: str) -> int:
    """The days from one run to another, from the times that their ids begin with, to the nearest day."""
    first, last = (datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S%z") for run_id in (first_run, last_run))
    return round((last - first).total_seconds() / 86_400)


def _key(rows: pa.Table) -> pa.Array:
    """One text for the columns of `KEY`; null without a token."""
    key = pc.binary_join_element_wise(
        rows["cpr_token"], pc.fill_null(rows["contact_type"], ""), rows["code"].cast(pa.string()), " "
    )
    return key.combine_chunks()
