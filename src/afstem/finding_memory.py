"""What is remembered of findings from run to run: since when, how many runs in a row, and when they were mended.

Kept by (actor, citizen's token, contact type, code): the token tells that it is the same citizen, never which. A
finding is in a row when it was there, too, in the last run in which something of the same actor was read (applied, or
held). One that was there then and is not there now is resolved: it was mended, or is no longer delivered.

Which of the two is told of records (a citizen's one contact type, for that is how they are recognised), because an
actor mends records: one that was rejected is mended when it comes back and is accepted, also when it comes some nights
later. Of a delivery of a part of them, the rest has not come back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from statistics import median

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

RECORD = ("cpr_token", "contact_type")
KEY = (*RECORD, "code")
NOTED = (*KEY, "crowd")
"""What is noted of a finding."""

MEMORY_SCHEMA = pa.schema(
    [
        ("cpr_token", pa.string()),
        ("contact_type", pa.string()),
        ("code", pa.int32()),
        ("first_seen_run", pa.string()),
        ("last_seen_run", pa.string()),
        ("runs_seen", pa.int64()),
        ("resolved_run", pa.string()),
        ("crowd", pa.int32()),
        ("accepted_run", pa.string()),
    ]
)
"""One actor's memory; ``contact_type`` is "" for a finding of an unknown contact type, ``resolved_run`` is null while
the finding is raised, ``accepted_run`` until its record comes back and is accepted; ``crowd`` is `masking.crowds`."""

RETURNED_SCHEMA = pa.schema([("cpr_token", pa.string()), ("contact_type", pa.string()), ("is_receipt", pa.bool_())])
"""Accepted records of citizens about whom something is remembered; whether one came in a receipt that was sent back."""

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


@dataclass(frozen=True)
class SinceLast:
    """What became of the records that were rejected in the last run in which something of the actor was read.

    ``before`` = ``mended`` + ``still_failing`` + ``not_returned``; those that are rejected now = ``still_failing`` +
    ``new``. ``mended_later`` are records that were rejected in an earlier run, did not come in the last one, and are
    accepted now. Only records that can be recognised are counted.
    """

    before: int
    mended: int
    still_failing: int
    not_returned: int
    new: int
    mended_later: int

    @property
    def all_mended(self) -> int:
        return self.mended + self.mended_later


def waiting(before: pa.Table, previous_run: str | None) -> pa.Table:
    """The remembered findings whose records have not come back mended: those of the last run, and those resolved since
    without a record that was accepted."""
    return before.filter(
        pc.or_(
            _is_in_a_row(before, previous_run),
            pc.and_(pc.is_valid(before["resolved_run"]), pc.is_null(before["accepted_run"])),
        )
    )


def remember(
    findings: Iterable[pa.Table], before: pa.Table, previous_run: str | None, run_id: str, returned: pa.Table
) -> pa.Table:
    """One actor's memory after a run, in `MEMORY_SCHEMA`.

    ``findings`` are batches with the columns of `NOTED` from this run, ``before`` is the memory in the store,
    ``previous_run`` the last run in which an extract of the actor was read, and ``returned`` (in `RETURNED_SCHEMA`)
    what was accepted now of those who are `waiting`. Findings without a token (no CPR number was written) cannot be
    recognised again and are left out.
    """
    batches = [batch.select(NOTED).filter(pc.is_valid(batch["cpr_token"])) for batch in findings]
    noted = pa.concat_tables([MEMORY_SCHEMA.empty_table().select(NOTED), *batches])
    in_order = noted.group_by(list(KEY), use_threads=False)  # in which they were found
    found = in_order.aggregate([("crowd", "max")]).rename_columns(NOTED)
    found = found.set_column(1, "contact_type", pc.fill_null(found["contact_type"], ""))
    mended = _mended(waiting(before, previous_run), found, returned)
    before = _set(before, "accepted_run", pc.and_(_are_in(before, mended), pc.is_null(before["accepted_run"])), run_id)
    in_a_row = before.filter(_is_in_a_row(before, previous_run))
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
            "crowd": found["crowd"],
            "accepted_run": pa.nulls(len(found), pa.string()),
        },
    ).cast(MEMORY_SCHEMA)
    return pa.concat_tables([raised, _resolved(in_a_row, place, before, run_id)])


def _resolved(in_a_row: pa.Table, found: pa.Array, before: pa.Table, run_id: str) -> pa.Table:
    """The findings that were in a row and are not found, and the latest of those that were resolved before."""
    gone = np.ones(len(in_a_row), bool)
    gone[pc.drop_null(found).to_numpy()] = False
    now = _set(in_a_row, "resolved_run", pa.array(gone), run_id).filter(pa.array(gone))
    earlier = before.filter(pc.is_valid(before["resolved_run"])).slice(0, max(0, RESOLVED_KEPT - len(now)))
    return pa.concat_tables([now, earlier])


def _mended(waits: pa.Table, found: pa.Table, returned: pa.Table) -> pa.Table:
    """The records of those who wait that were accepted now, and not rejected beside it.

    In a receipt that was sent back nothing stands but records that were rejected: there one that was accepted as
    another contact type is the same record with its type mended.
    """
    waits = waits.group_by(list(RECORD), use_threads=False).aggregate([])
    waits = waits.filter(pc.invert(_are_in(waits, found)))
    as_it_was = _are_in(waits, returned)
    spare = returned.filter(pc.and_(returned["is_receipt"], pc.invert(_are_in(returned, waits))))
    spare = spare.group_by("cpr_token", use_threads=False).aggregate([([], "count_all")])
    others = waits.filter(pc.invert(as_it_was)).sort_by([(name, "ascending") for name in RECORD])
    of_citizen = pc.index_in(others["cpr_token"], value_set=spare["cpr_token"].combine_chunks())
    accepted = pc.fill_null(spare["count_all"].take(of_citizen), 0).to_numpy()
    runs = pc.run_end_encode(others["cpr_token"].combine_chunks()).run_ends.to_numpy()
    lengths = np.diff(runs, prepend=0)
    place_of_citizen = np.arange(len(others)) - np.repeat(runs - lengths, lengths)
    as_another = others.filter(pa.array(place_of_citizen < accepted, pa.bool_()))
    return pa.concat_tables([waits.filter(as_it_was), as_another])


def _is_in_a_row(before: pa.Table, previous_run: str | None) -> pa.ChunkedArray:
    return pc.fill_null(pc.equal(before["last_seen_run"], pa.scalar(previous_run, pa.string())), False)


def _set(rows: pa.Table, name: str, where: pa.Array | pa.ChunkedArray, text: str) -> pa.Table:
    """The rows with this text in one column where the mask is true."""
    written = pc.if_else(where, text, rows[name])
    return rows.set_column(rows.schema.get_field_index(name), rows.schema.field(name), written)


def _are_in(rows: pa.Table, others: pa.Table) -> pa.Array:
    """Which rows are about a record that one of the others is about."""
    return pc.is_in(_key(rows, RECORD), value_set=_key(others, RECORD))


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


def since_last(memory: pa.Table, run_id: str) -> SinceLast:
    """What an actor's memory after a run says about the records that were rejected before."""
    is_raised = pc.is_null(memory["resolved_run"])
    was_raised = pc.if_else(
        is_raised, pc.not_equal(memory["first_seen_run"], run_id), pc.equal(memory["resolved_run"], run_id)
    )
    is_accepted = pc.fill_null(pc.equal(memory["accepted_run"], run_id), False)
    flags = memory.select(list(RECORD))
    for name, flag in (("was", was_raised), ("is", is_raised), ("accepted", is_accepted)):
        flags = flags.append_column(name, flag)
    records = flags.group_by(list(RECORD)).aggregate([(name, "any") for name in ("was", "is", "accepted")])
    was, now, accepted = (records[f"{name}_any"].to_numpy() for name in ("was", "is", "accepted"))

    def count(which: npt.NDArray[np.bool_]) -> int:
        return int(np.count_nonzero(which))

    return SinceLast(
        before=count(was),
        mended=count(was & accepted),
        still_failing=count(was & now),
        not_returned=count(was & ~now & ~accepted),
        new=count(now & ~was),
        mended_later=count(accepted & ~was),
    )


@cache
def days_between(first_run: str, last_run: str) -> int:
    """The days from one run to another, from the times that their ids begin with, to the nearest day."""
    first, last = (datetime.strptime(run_id.partition("-")[0], "%Y%m%dT%H%M%S%z") for run_id in (first_run, last_run))
    return round((last - first).total_seconds() / 86_400)


def _key(rows: pa.Table, columns: Sequence[str] = KEY) -> pa.Array:
    """One text for these columns; null without a token."""
    token, contact_type, *others = (rows[name] for name in columns)
    texts = [token, pc.fill_null(contact_type, ""), *(other.cast(pa.string()) for other in others)]
    return pc.binary_join_element_wise(*texts, " ").combine_chunks()
