"""Everything that stands in ``reports/<run_id>/`` (SPEC 6), built in a folder that nobody sees yet.

In two parts, which can be written side by side; the seal comes when both are there (`seal`)."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from afstem.decode import Header
from afstem.finding_memory import SinceLast, since_last, summarise_mending
from afstem.intake import ExtractSummary, were_read
from afstem.report.notices import gather_notices, write_notices
from afstem.report.outcomes import publish_outcomes
from afstem.report.receipts import write_receipts
from afstem.report.rejections import write_rejections
from afstem.settings import Actor
from afstem.staging import RunFolder, read_batches


def write_findings(
    folder: Path,
    manifest: Mapping[str, Any],
    staged: RunFolder,
    actors: Mapping[str, Actor],
    extracts: Sequence[ExtractSummary],
    deadline: str | None = None,
) -> None:
    """Write what was found in a settled run into ``folder``, which lies among the reports: Parquet and pages."""
    # Here, because only a run that is settled needs what makes pages.
    from afstem.report.build import build_report
    from afstem.report.nights import read_nights, write_night
    from afstem.report.pages import write_pages

    write_rejections(folder / "rejections", manifest["run_id"], staged, actors, extracts)
    write_notices(folder / "notices", gather_notices(staged, manifest["run_id"], actors, extracts).values())
    memories = {actor: memory for actor in actors if (memory := staged.memory(actor)) is not None}
    data = build_report(
        manifest,
        folder / "rejections",
        folder / "notices",
        read_nights(folder.parent, manifest["run_id"], manifest["timezone"]),
        {actor: summarise_mending(memory, manifest["run_id"]) for actor, memory in memories.items()},
        deadline,
        _since_last(staged, manifest["run_id"], actors),
    )
    if not data.dry_run:
        write_night(folder, data.night)
    write_pages(folder, data)


def write_records(
    folder: Path,
    manifest: Mapping[str, Any],
    staged: RunFolder,
    actors: Mapping[str, Actor],
    extracts: Sequence[ExtractSummary],
) -> None:
    """Write what became of each record, into the same folder: outcomes, and the receipts with what was rejected."""
    publish_outcomes(staged.outcomes, folder / "outcomes", manifest)
    by_id = {extract.extract_id: extract for extract in were_read(extracts)}

    def rejected(extract_id: str) -> Iterator[pa.Table]:
        return read_batches(staged.extract(extract_id) / "rejected.arrow")

    def header(extract_id: str) -> Header:
        return Header(by_id[extract_id].header, by_id[extract_id].columns)

    notices = gather_notices(staged, manifest["run_id"], actors, extracts)
    encodings = {actor.id: actor.encoding for actor in actors.values()}
    told = _since_last(staged, manifest["run_id"], actors)
    write_receipts(folder, manifest, rejected, notices, header, encodings, told)


def _since_last(staged: RunFolder, run_id: str, actors: Iterable[str]) -> dict[str, SinceLast]:
    """What became of the records that were rejected before, by actor; without those of which nothing was read."""
    memories = {actor: staged.memory(actor) for actor in actors}
    return {actor: since_last(memory, run_id) for actor, memory in memories.items() if memory is not None}
