"""The list of runs that have a report, at the top of the reports folder; made from their manifests alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from pathlib import Path
from typing import Any

from afstem.report.build import outcome_counts
from afstem.report.language import LANGUAGES
from afstem.report.markup import moment_in, render
from afstem.schema import Outcome


@dataclass(frozen=True)
class PastRun:
    """One line of the history."""

    run_id: str
    started_at: datetime
    timezone: str
    as_of: date
    dry_run: bool
    status: str
    records: int
    outcomes: Mapping[Outcome, int]
    findings: int
    actors: int
    delivered: int


def write_history(reports_folder: Path, manifests: Iterable[Mapping[str, Any]]) -> None:
    """Write ``index.html`` and ``index.en.html`` of the reports folder; the manifests come newest first.

    Each page is replaced whole: whoever reads it meanwhile sees the old one or the new one.
    """
    runs = [_past_run(manifest) for manifest in manifests]
    for language in LANGUAGES:
        page = render("history.html.j2", language, "index", runs=runs, moment_in=partial(moment_in, language))
        unfinished = reports_folder / f".{language.page('index')}.tmp"
        unfinished.write_text(page, encoding="utf-8", newline="\n")
        unfinished.replace(reports_folder / language.page("index"))


def _past_run(manifest: Mapping[str, Any]) -> PastRun:
    deliveries = [actor["delivery"] for actor in manifest["actors"]]
    return PastRun(
        run_id=manifest["run_id"],
        started_at=datetime.fromisoformat(manifest["started_at"]),
        timezone=manifest["timezone"],
        as_of=date.fromisoformat(manifest["as_of"]),
        dry_run=manifest["dry_run"],
        status=manifest["status"],
        records=manifest["records"],
        outcomes=outcome_counts(manifest["outcomes"]),
        findings=sum(manifest["findings"].values()),
        actors=len(deliveries),
        delivered=deliveries.count("delivered"),
    )
