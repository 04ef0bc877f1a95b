"""The notices: what was accepted and looks wrong, as a Parquet dataset over ``code=`` beside the rejections (SPEC 4.6).

Of an extract so many of each notice are kept as its row in `rules.NOTICES` says; the manifest counts all.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from afstem.errors import RunError
from afstem.intake import ExtractSummary, were_read
from afstem.notices import NOTICE_SCHEMA
from afstem.report import sampling
from afstem.rules import NOTICES, Notice
from afstem.schema import described
from afstem.settings import Actor
from afstem.sharing import SHARED_SCHEMA
from afstem.staging import RunFolder, read_batches

_OF_EXTRACT = ("run_id", "actor", "actor_type", "extract", "extract_id")

DATASET_SCHEMA = described(
    pa.schema(
        [*((name, pa.string()) for name in _OF_EXTRACT), *(field for field in NOTICE_SCHEMA if field.name != "code")]
    )
)
"""The columns of each file; ``code`` is the name of the folder, and only that, as in the rejections."""

GATHERED_SCHEMA = DATASET_SCHEMA.append(pa.field("code", pa.string()))

SAMPLES = 50
"""So many records of a notice are shown as examples."""


def gather_notices(
    staged: RunFolder, run_id: str, actors: Mapping[str, Actor], extracts: Iterable[ExtractSummary]
) -> dict[str, pa.Table]:
    """The kept notices of a run by the ids of the extracts, in `GATHERED_SCHEMA`, each by code and by record within it.

    An extract without any is left out.
    """
    shared = pa.concat_tables(
        [SHARED_SCHEMA.empty_table(), *(read_batches(staged.shared) if staged.shared.exists() else [])]
    )
    gathered = {}
    for extract in were_read(extracts):
        own = shared.filter(pc.equal(shared["extract_id"], extract.extract_id)).drop(["extract_id"])
        batches = read_batches(staged.extract(extract.extract_id) / "notices.arrow")
        rows = pa.concat_tables([*batches, own]).sort_by([("code", "ascending"), ("record_no", "ascending")])
        told = (run_id, extract.actor, str(actors[extract.actor].type), extract.file, extract.extract_id)
        columns = dict(zip(_OF_EXTRACT, (pa.repeat(text, len(rows)) for text in told), strict=True))
        if len(rows):
            columns |= {name: rows[name] for name in rows.column_names}
            gathered[extract.extract_id] = pa.table([columns[name] for name in GATHERED_SCHEMA.names], GATHERED_SCHEMA)
    return gathered


def write_notices(folder: Path, gathered: Iterable[pa.Table]) -> None:
    """Write the dataset into ``folder``: a file of each notice that was found.

    A run without any gets one file without rows, so that the dataset can be read every morning.
    """
    rows = pa.concat_tables([GATHERED_SCHEMA.empty_table(), *gathered])
    for code in rows["code"].unique().to_pylist() or [NOTICES[0].code]:
        part = folder / f"code={code}"
        part.mkdir(parents=True)
        of_code = rows.filter(pc.equal(rows["code"], code)).drop(["code"]).cast(DATASET_SCHEMA)
        pq.write_table(of_code, part / "part-0.parquet", compression="zstd")


# --- what the pages show --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class NoticeSample:
    """One accepted record that looks wrong, shown as an example; everything in it is masked."""

    actor: str
    extract: str
    record_no: int
    cpr_masked: str
    contact_type: str
    value: str | None
    citizens: int | None
    suggestion: str | None


@dataclass(frozen=True)
class NoticeReport:
    """What the page of one notice shows: records in all and by actor, most first."""

    code: str
    records: int
    actors: Mapping[str, int]
    samples: tuple[NoticeSample, ...]


def report_notices(manifest: Mapping[str, Any], folder: Path) -> dict[str, NoticeReport]:
    """What the pages of the notices show, from the manifest and the dataset.

    Raises `RunError` where these disagree.
    """
    return {notice.code: _report(notice, manifest, folder) for notice in NOTICES}


def _report(notice: Notice, manifest: Mapping[str, Any], notices: Path) -> NoticeReport:
    part = notices / f"code={notice.code}"
    rows = pa.concat_tables(
        [pq.read_table(file, partitioning=None) for file in sorted(part.glob("*.parquet"))]
        or [DATASET_SCHEMA.empty_table()]
    )
    kept = Counter(rows["extract_id"].to_pylist())
    counted = [(extract["extract_id"], extract["notices"].get(notice.code, 0)) for extract in manifest["extracts"]]
    if kept != {extract_id: min(count, notice.rows_kept) for extract_id, count in counted if count}:
        raise RunError(f"the report disagrees with the notices: {notice.code}")
    by_actor = {actor["id"]: actor["notices"].get(notice.code, 0) for actor in manifest["actors"]}
    records = manifest["notices"].get(notice.code, 0)
    if not records == sum(count for _, count in counted) == sum(by_actor.values()):
        raise RunError(f"the report disagrees with itself: {notice.code}")
    shown = sampling.first_of_each(rows, "actor", SAMPLES).select([field.name for field in fields(NoticeSample)])
    return NoticeReport(
        code=notice.code,
        records=records,
        actors=dict(
            sorted(((actor, count) for actor, count in by_actor.items() if count), key=lambda of: (-of[1], of[0]))
        ),
        samples=tuple(NoticeSample(**row) for row in shown.to_pylist()),
    )
