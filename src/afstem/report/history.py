"""The runs that have a report, as the list of runs at the top of the reports folder tells of them.

A line of that list is made from a run's manifest once, and kept in ``runs.json``: else every night would read the
manifests of all nights before it, tens of kilobytes each. The file can be deleted: the next run makes it anew.
"""

import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any

from afstem.private_files import naming, read_json, sync
from afstem.schema import Outcome

log = logging.getLogger(__name__)

LINES = "runs.json"

_RUN_ID = re.compile("[0-9]{8}T[0-9]{6}Z-[0-9a-f]{6}")


@dataclass(frozen=True)
class PastRun:
    """One line of the history; times and days are ISO 8601, as in the manifest."""

    run_id: str
    started_at: str
    timezone: str
    as_of: str
    dry_run: bool
    status: str
    records: int
    outcomes: Mapping[str, int]
    findings: int
    actors: int
    delivered: int

    @property
    def moment(self) -> datetime:
        return datetime.fromisoformat(self.started_at)

    @property
    def day(self) -> date:
        return date.fromisoformat(self.as_of)


def past_run(manifest: Mapping[str, Any]) -> PastRun:
    deliveries = [actor["delivery"] for actor in manifest["actors"]]
    return PastRun(
        run_id=manifest["run_id"],
        started_at=manifest["started_at"],
        timezone=manifest["timezone"],
        as_of=manifest["as_of"],
        dry_run=manifest["dry_run"],
        status=manifest["status"],
        records=manifest["records"],
        outcomes={outcome.value: manifest["outcomes"].get(outcome.value, 0) for outcome in Outcome},
        findings=sum(manifest["findings"].values()),
        actors=len(deliveries),
        delivered=deliveries.count("delivered"),
    )


def run_folders(reports: Path) -> list[Path]:
    """The folders of the published runs, in the order of their names."""
    return [path for path in sorted(reports.glob("*")) if _RUN_ID.fullmatch(path.name) and path.is_dir()]


def past_runs(reports: Path) -> list[PastRun]:
    """Every published run, newest first."""
    known = _known(reports)
    runs = []
    for path in reports.glob("[0-9]*T*Z-*/run.json"):
        try:
            runs.append(known.get(path.parent.name) or past_run(read_json(path)))
        except ValueError:
            log.warning("%s is damaged; the history of runs goes without it", path)
    return newest_first(runs)


def newest_first(runs: Iterable[PastRun]) -> list[PastRun]:
    return sorted(runs, key=lambda run: (run.moment, run.run_id), reverse=True)


def keep(reports: Path, runs: Iterable[PastRun]) -> None:
    """Write the lines for the nights to come."""
    replace_text(reports / LINES, json.dumps([asdict(run) for run in runs], indent=1) + "\n")


def replace_text(path: Path, text: str) -> None:
    """Write a file in place of the one before; a reader, or a power cut, meets the one or the other."""
    unfinished = path.with_name(f".{path.name}.tmp")
    with naming(unfinished):  # a full disk does not say which file it had no room for
        unfinished.write_text(text, encoding="utf-8", newline="\n")
    sync(unfinished)
    unfinished.replace(path)


def _known(reports: Path) -> dict[str, PastRun]:
    try:
        return {line["run_id"]: PastRun(**line) for line in read_json(reports / LINES)}
    except (OSError, ValueError, TypeError, KeyError):
        return {}  # not there, damaged or of another version: the manifests tell all of it
