"""Settlement: reconcile a whole run, one range of citizens at a time, so that memory follows the range, not the run.

A range of citizens is a range of CPR numbers cut at days of birth: the leading two digits spread evenly over the
country, and a range is one stretch of the store's primary key.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.intake import CONTACT_TYPE_SLUGS
from afstem.reconcile import CANDIDATE_SCHEMA, OUTCOMES, Settlement, Standing, settle
from afstem.schema import Outcome
from afstem.staging import PrivateParquet, RunFolder, read_batches
from afstem.store import Store

Ints = npt.NDArray[np.int64]

RECORDS_PER_RANGE = 1_000_000
"""Accepted records that are reconciled at once: some 200 MB with what the sorting needs."""

NUMBERS_PER_DAY = 10**8
"""CPR numbers that begin with the same day of birth."""

OUTCOME_SCHEMA = pa.schema(
    [
        ("actor", pa.string()),
        ("extract_id", pa.string()),
        ("record_no", pa.int64()),
        ("contact_type", pa.string()),
        ("outcome", pa.string()),
        ("primary_code", pa.int32()),
    ]
)


@dataclass(frozen=True)
class NumberedExtract:
    """An extract of this run whose records were read, with the number the store will know it by."""

    extract_no: int
    extract_id: str
    actor: str
    sha256: str
    created_at: int
    priority: int


def settle_run(folder: RunFolder, store: Store, extracts: list[NumberedExtract]) -> None:
    """Write the outcome of every record and the change set of the store into the staging folder.

    ``extracts`` are numbered one after the other.
    """
    standing = _standing(store.known_extracts(), extracts)
    for number, (low, high) in enumerate(_ranges(folder, extracts)):
        candidates = _candidates(folder, extracts, low, high)
        settlement = settle(candidates, store.stored_contacts(low, high), standing)
        with PrivateParquet(folder.changes / f"{number:04}.parquet", settlement.changes.schema) as file:
            file.write(settlement.changes)
        with PrivateParquet(folder.outcomes / f"accepted-{number:04}.parquet", OUTCOME_SCHEMA, "zstd") as file:
            file.write(_accepted_outcomes(candidates, settlement, extracts))
    for extract in extracts:
        with PrivateParquet(folder.outcomes / f"rejected-{extract.extract_id}.parquet", OUTCOME_SCHEMA, "zstd") as file:
            for batch in read_batches(
                folder.extract(extract.extract_id) / "rejected.parquet", ["record_no", "contact_type", "codes"]
            ):
                file.write(_rejected_outcomes(batch, extract))


def read_changes(folder: RunFolder) -> Iterator[pa.Table]:
    """The change set of a settled run, in the order of the store's primary key."""
    for path in sorted(folder.changes.glob("*.parquet")):
        yield from read_batches(path)


def _standing(known: pa.Table, extracts: list[NumberedExtract]) -> Standing:
    """Rank the extracts of this run among those that stored contacts came from."""
    columns = ("extract_no", "actor", "sha256", "created_at", "priority")
    every = known.select(columns).to_pylist() + [
        {name: getattr(extract, name) for name in columns} for extract in extracts
    ]
    seniority = _ranks([(row["created_at"], -row["priority"], row["actor"]) for row in every])
    digest = _ranks([row["sha256"] for row in every])
    places = np.array([row["extract_no"] for row in every], np.int64)
    size = max(places, default=-1) + 1
    standing = Standing(np.zeros(size, np.int64), np.zeros(size, np.int64))
    standing.seniority[places] = seniority
    standing.digest[places] = digest
    return standing


def _ranks(keys: list[Any]) -> Ints:
    rank = {key: place for place, key in enumerate(sorted(set(keys)))}
    return np.array([rank[key] for key in keys], np.int64)


def _ranges(folder: RunFolder, extracts: list[NumberedExtract]) -> list[tuple[int, int]]:
    """Ranges of CPR numbers, low <= number < high, that hold every accepted record and not too many each."""
    accepted = sum(
        pq.read_metadata(folder.extract(extract.extract_id) / "accepted.parquet").num_rows for extract in extracts
    )
    if not accepted:
        return []
    days = np.linspace(0, 32, min(31, -(-accepted // RECORDS_PER_RANGE)) + 1).astype(np.int64)
    edges = days * NUMBERS_PER_DAY
    return list(zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True))


def _candidates(folder: RunFolder, extracts: list[NumberedExtract], low: int, high: int) -> pa.Table:
    parts = []
    for extract in extracts:
        part = pq.read_table(
            folder.extract(extract.extract_id) / "accepted.parquet",
            filters=(pc.field("number") >= low) & (pc.field("number") < high),
            partitioning=None,
        )
        parts.append(part.append_column("extract_no", pa.array(np.full(len(part), extract.extract_no))))
    return pa.concat_tables(parts).select(CANDIDATE_SCHEMA.names)


def _accepted_outcomes(candidates: pa.Table, settlement: Settlement, extracts: list[NumberedExtract]) -> pa.Table:
    at = pa.array(candidates["extract_no"].to_numpy() - extracts[0].extract_no)
    return pa.table(
        {
            "actor": pa.array([extract.actor for extract in extracts]).take(at),
            "extract_id": pa.array([extract.extract_id for extract in extracts]).take(at),
            "record_no": candidates["record_no"],
            "contact_type": CONTACT_TYPE_SLUGS.take(candidates["contact_type"].combine_chunks()),
            "outcome": pa.array([str(outcome) for outcome in OUTCOMES]).take(pa.array(settlement.outcome)),
            "primary_code": pa.nulls(len(candidates), pa.int32()),
        }
    )


def _rejected_outcomes(rejected: pa.Table, extract: NumberedExtract) -> pa.Table:
    return pa.table(
        {
            "actor": pa.repeat(extract.actor, len(rejected)),
            "extract_id": pa.repeat(extract.extract_id, len(rejected)),
            "record_no": rejected["record_no"],
            "contact_type": rejected["contact_type"],
            "outcome": pa.repeat(str(Outcome.REJECTED), len(rejected)),
            "primary_code": pc.list_element(rejected["codes"], 0),
        }
    )
