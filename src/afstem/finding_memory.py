"""What is remembered of findings from run to run: since when, and how many runs in a row.

Kept by (actor, citizen's token, contact type, code): the token tells that it is the same citizen, never which. A
finding is in a row when it was there, too, in the last run in which an extract of the same actor was read.
"""

from collections.abc import Iterable

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
    ]
)
"""One actor's memory; ``contact_type`` is "" for a finding of an unknown contact type."""


def remember(findings: Iterable[pa.Table], before: pa.Table, previous_run: str | None, run_id: str) -> pa.Table:
    """One actor's memory after a run, in `MEMORY_SCHEMA`.

    ``findings`` are batches with the columns of `KEY` from this run, ``before`` is the memory in the store, and
    ``previous_run`` the last run in which an extract of the actor was read. Findings without a token (no CPR number
    was written) cannot be recognised again and are left out.
    """
    batches = [batch.select(KEY).filter(pc.is_valid(batch["cpr_token"])) for batch in findings]
    if not batches:
        return MEMORY_SCHEMA.empty_table()
    found = pa.concat_tables(batches).group_by(list(KEY)).aggregate([])
    found = found.set_column(1, "contact_type", pc.fill_null(found["contact_type"], ""))
    in_a_row = before.filter(pc.equal(before["last_seen_run"], pa.scalar(previous_run, pa.string())))
    place = pc.index_in(_key(found), value_set=_key(in_a_row))
    return pa.table(
        {
            "cpr_token": found["cpr_token"],
            "contact_type": found["contact_type"],
            "code": found["code"],
            "first_seen_run": pc.fill_null(in_a_row["first_seen_run"].take(place), run_id),
            "last_seen_run": pa.repeat(run_id, len(found)),
            "runs_seen": pc.add(pc.fill_null(in_a_row["runs_seen"].take(place), 0), 1),
        },
    ).cast(MEMORY_SCHEMA)


def recall(findings: pa.Table, memory: pa.Table, run_id: str) -> tuple[pa.Array, pa.Array]:
    """For each finding of this run: the run it was first seen in, and how many runs in a row it has been seen."""
    place = pc.index_in(_key(findings), value_set=_key(memory))
    return (
        pc.fill_null(memory["first_seen_run"].take(place), run_id),
        pc.fill_null(memory["runs_seen"].take(place), np.int64(1)),
    )


def _key(rows: pa.Table) -> pa.Array:
    """One text for the columns of `KEY`; null without a token."""
    key = pc.binary_join_element_wise(
        rows["cpr_token"], pc.fill_null(rows["contact_type"], ""), rows["code"].cast(pa.string()), " "
    )
    return key.combine_chunks()
