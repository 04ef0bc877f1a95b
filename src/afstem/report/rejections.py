"""The rejections: every finding of a run as one Parquet dataset over ``code=`` (SPEC 6)."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.finding_memory import MEMORY_SCHEMA, recall
from afstem.intake import FINDING_SCHEMA, ExtractSummary
from afstem.rules import RULES
from afstem.schema import described
from afstem.settings import Actor
from afstem.staging import RunFolder, read_batches

REJECTION_SCHEMA = described(
    pa.schema(
        [
            ("run_id", pa.string()),
            ("actor", pa.string()),
            ("actor_type", pa.string()),
            ("extract", pa.string()),
            ("extract_id", pa.string()),
            ("record_no", pa.int64()),
            ("reference", pa.string()),
            ("cpr_masked", pa.string()),
            ("cpr_token", pa.string()),
            ("contact_type", pa.string()),
            ("value", pa.string()),
            ("is_primary", pa.bool_()),
            ("reason", pa.string()),
            ("suggestion", pa.string()),
            ("first_seen_run", pa.string()),
            ("runs_seen", pa.int64()),
        ]
    )
)
"""The columns of each file. ``code`` is the name of the folder, and only that: pandas refuses a dataset whose files
hold the column of a Hive partition as well."""

_NEARLY_UNIQUE = ("record_no", "reference", "cpr_masked", "cpr_token", "value")
"""A dictionary of these columns would be as long as they are."""

FINDINGS_AT_ONCE = 131_072
"""So many are gathered before they are written: a row group of three rows takes as long as one of thousands."""


def write_rejections(
    folder: Path, run_id: str, staged: RunFolder, actors: Mapping[str, Actor], extracts: Iterable[ExtractSummary]
) -> None:
    """Write the dataset into ``folder``, from the staged findings and what is remembered of them.

    A run without a finding gets one file without rows, so that the dataset can be read every morning.
    """
    with ExitStack() as files:
        writers: dict[int, pq.ParquetWriter] = {}
        with_dictionary = [name for name in REJECTION_SCHEMA.names if name not in _NEARLY_UNIQUE]

        def write(code: int, rows: pa.Table) -> None:
            if code not in writers:
                part = folder / f"code={code}"
                part.mkdir(parents=True)
                writers[code] = files.enter_context(
                    pq.ParquetWriter(
                        part / "part-0.parquet", REJECTION_SCHEMA, compression="zstd", use_dictionary=with_dictionary
                    )
                )
            writers[code].write_table(rows)

        for by_code in _gathered(_rejections(run_id, staged, actors, extracts)):
            for code, tables in by_code.items():
                write(code, pa.concat_tables(tables).select(REJECTION_SCHEMA.names))
        if not writers:
            write(RULES[0].code, REJECTION_SCHEMA.empty_table())


def _gathered(tables: Iterable[pa.Table]) -> Iterator[dict[int, list[pa.Table]]]:
    """The rows of tables that are sorted by code, in their order, by code and enough of them to be worth writing."""
    by_code: dict[int, list[pa.Table]] = {}
    gathered = 0
    for table in tables:
        begin = 0
        for of_code in pc.value_counts(table["code"]).to_pylist():
            by_code.setdefault(of_code["values"], []).append(table.slice(begin, of_code["counts"]))
            begin += of_code["counts"]
        gathered += len(table)
        if gathered >= FINDINGS_AT_ONCE:
            yield by_code
            by_code, gathered = {}, 0
    yield by_code


def _rejections(
    run_id: str, staged: RunFolder, actors: Mapping[str, Actor], extracts: Iterable[ExtractSummary]
) -> Iterator[pa.Table]:
    """The rows of the dataset, extract by extract, each with its ``code`` and sorted by it."""
    memory_of = lru_cache(maxsize=1)(staged.memory)  # the extracts of an actor stand together
    for extract in extracts:
        constant = {
            "run_id": run_id,
            "actor": extract.actor,
            "actor_type": str(actors[extract.actor].type),
            "extract": extract.file,
            "extract_id": extract.extract_id,
        }
        for unsorted in _staged_findings(staged, extract):
            findings = unsorted.sort_by("code")  # stable: within a code the records keep their order
            memory = memory_of(extract.actor) or MEMORY_SCHEMA.empty_table()
            first_seen_run, runs_seen = recall(findings, memory, run_id)
            columns = {name: pa.repeat(text, len(findings)) for name, text in constant.items()}
            columns |= {name: findings[name] for name in FINDING_SCHEMA.names}
            yield pa.table(columns | {"first_seen_run": first_seen_run, "runs_seen": runs_seen})


def _staged_findings(staged: RunFolder, extract: ExtractSummary) -> Iterable[pa.Table]:
    if extract.was_read:
        return read_batches(staged.extract(extract.extract_id) / "findings.arrow")
    if extract.state == "refused":
        whole = {"code": extract.code, "is_primary": True, "reason": extract.reason}
        return [pa.Table.from_pylist([whole], FINDING_SCHEMA)]
    return []
