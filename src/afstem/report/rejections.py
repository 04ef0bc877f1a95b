"""The rejections: every finding of a run as one Parquet dataset over ``code=`` (SPEC 6)."""

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.finding_memory import MEMORY_SCHEMA, recall
from afstem.intake import FINDING_SCHEMA, ExtractSummary
from afstem.rules import RULES
from afstem.settings import Actor
from afstem.staging import RunFolder, read_batches

REJECTION_SCHEMA = pa.schema(
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
"""The columns of each file. ``code`` is the name of the folder, and only that: pandas refuses a dataset whose files
hold the column of a Hive partition as well."""


def write_rejections(
    folder: Path,
    run_id: str,
    staged: RunFolder,
    actors: Mapping[str, Actor],
    extracts: Iterable[ExtractSummary],
    memory: Mapping[str, pa.Table],
) -> None:
    """Write the dataset into ``folder``, from the staged findings and, per actor, the memory of findings.

    A run without a finding gets one file without rows, so that the dataset can be read every morning.
    """
    with ExitStack() as files:
        writers: dict[int, pq.ParquetWriter] = {}

        def write(code: int, rows: pa.Table) -> None:
            if code not in writers:
                part = folder / f"code={code}"
                part.mkdir(parents=True)
                writers[code] = files.enter_context(
                    pq.ParquetWriter(part / "part-0.parquet", REJECTION_SCHEMA, compression="zstd")
                )
            writers[code].write_table(rows)

        for extract in extracts:
            for findings in _staged_findings(staged, extract):
                rejections = _rejections(findings, run_id, actors[extract.actor], extract, memory)
                codes = findings["code"]
                for code in pc.unique(codes).to_pylist():
                    write(code, rejections.filter(pc.equal(codes, code)))
        if not writers:
            write(RULES[0].code, REJECTION_SCHEMA.empty_table())


def _staged_findings(staged: RunFolder, extract: ExtractSummary) -> Iterable[pa.Table]:
    if extract.state == "read":
        return read_batches(staged.extract(extract.extract_id) / "findings.parquet")
    if extract.state == "refused":
        whole = {"code": extract.code, "is_primary": True, "reason": extract.reason}
        return [pa.Table.from_pylist([whole], FINDING_SCHEMA)]
    return []


def _rejections(
    findings: pa.Table, run_id: str, actor: Actor, extract: ExtractSummary, memory: Mapping[str, pa.Table]
) -> pa.Table:
    first_seen_run, runs_seen = recall(findings, memory.get(actor.id, MEMORY_SCHEMA.empty_table()), run_id)
    constant = {
        "run_id": run_id,
        "actor": actor.id,
        "actor_type": str(actor.type),
        "extract": extract.file,
        "extract_id": extract.extract_id,
    }
    columns = {name: pa.repeat(text, len(findings)) for name, text in constant.items()}
    columns |= {name: findings[name] for name in REJECTION_SCHEMA.names if name in FINDING_SCHEMA.names}
    columns |= {"first_seen_run": first_seen_run, "runs_seen": runs_seen}
    return pa.table(columns).select(REJECTION_SCHEMA.names).cast(REJECTION_SCHEMA)
