"""What Prefect's UI shows of a run besides its tasks: progress while it runs, then a summary, tables and a link.

Ids, codes and counts only: artifacts stand in Prefect's database. File names are the actors' own words and stay out.
Every key is the same for all runs, so that the UI shows an artifact's history night by night.
"""

import logging
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from prefect.artifacts import (
    create_link_artifact,
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)

from afstem.errors import said
from afstem.explain import explain_code

log = logging.getLogger(__name__)

SECONDS_BETWEEN = 2.0
"""Progress is told no more often: every telling is a call of the API."""


class Teller:
    """Tells the UI of one run. The first call that fails is the last: a run is not slowed down or ended by its UI."""

    def __init__(self, steps: int) -> None:
        self._steps = steps
        self._done = 0
        self._told_at = 0.0
        self._progress: UUID | None = None
        self._is_heard = True
        self.step_done("begun", 0)

    def step_done(self, what: str, count: int = 1) -> None:
        """So many more steps are done; ``what`` says which, in a few words."""
        self._done += count
        is_last = self._done >= self._steps
        if time.monotonic() - self._told_at < SECONDS_BETWEEN and not is_last:
            return
        self._tell(lambda: self._show_progress(f"{what} ({self._done} of {self._steps} steps)"))
        self._told_at = time.monotonic()

    def summarise(self, manifest: Mapping[str, Any], report: Path, reports_url: str | None) -> None:
        """Tell what came of the run whose manifest this is."""
        link = (
            f"{reports_url.rstrip('/')}/{report.name}/index.html" if reports_url else (report / "index.html").as_uri()
        )
        title = f"{manifest['run_id']}, as of {manifest['as_of']}"
        self._tell(lambda: create_markdown_artifact(summary_of(manifest, link), "summary", title))
        self._tell(lambda: create_table_artifact(codes_of(manifest), "codes", f"Findings by code: {title}"))
        self._tell(lambda: create_table_artifact(actors_of(manifest), "actors", f"What came of each actor: {title}"))
        self._tell(lambda: create_link_artifact(link, f"Report of {manifest['run_id']}", "report", title))

    def _show_progress(self, description: str) -> None:
        percent = round(100 * self._done / self._steps, 1)
        if self._progress is None:
            self._progress = create_progress_artifact(percent, "progress", description)  # type: ignore[assignment]
        else:
            update_progress_artifact(self._progress, percent, description)

    def _tell(self, telling: Callable[[], object]) -> None:
        if not self._is_heard:
            return
        try:
            telling()
        except Exception as error:  # noqa: BLE001 - whatever it is, the run goes on
            self._is_heard = False
            log.warning("Prefect's UI is told no more of this run: %s", said(error))


def summary_of(manifest: Mapping[str, Any], link: str) -> str:
    """The page that an operator reads first, in Markdown."""
    findings, outcomes = manifest["findings"], manifest["outcomes"]
    lines = [
        f"# {manifest['run_id']}: {manifest['status']}",
        "",
        "**Dry run: the store is as it was.**" if manifest["dry_run"] else "What was valid is in the store.",
        f"Judged as of {manifest['as_of']}. [The whole report]({link})",
        "",
        "| outcome | records |",
        "|---|---:|",
        *(f"| {outcome} | {count:,} |" for outcome, count in outcomes.items()),
        f"| **all** | **{manifest['records']:,}** |",
        "",
        f"{sum(findings.values()):,} findings, by code in the table *codes*; by actor in the table *actors*.",
    ]
    trouble = troubles_of(manifest)
    if trouble:
        lines += ["", "## What needs a person", "", *(f"- {line}" for line in trouble)]
    return "\n".join(lines)


def troubles_of(manifest: Mapping[str, Any]) -> list[str]:
    """A line for every extract that was refused or is held, and for every actor that could not be reached."""
    lines = [f"**{actor['id']}** was unavailable: {actor['reason']}" for actor in _unavailable(manifest)]
    for extract in manifest["extracts"]:
        if extract["state"] == "refused":
            lines.append(f"**{extract['actor']}**: an extract was refused: {extract['code']}, {extract['reason']}")
        elif extract["state"] == "held":
            reasons = ", ".join(
                f"{excess['reason']} {excess['part']:,} of {excess['whole']:,}" for excess in extract["hold"]
            )
            lines.append(
                f"**{extract['actor']}**: an extract is held ({reasons}). If it is right, run *ad-hoc* with "
                f"`{extract['extract_id']}` under *release*"
            )
    return lines


def codes_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for every code that was found."""
    rows = []
    for code, count in manifest["findings"].items():
        told = explain_code(code)
        rows.append({"code": code, "meaning": told["plain_en"], "whose move": told["whose_move"], "findings": count})
    return rows


def actors_of(manifest: Mapping[str, Any]) -> list[dict[str, Any]]:
    """A row for every actor of the run, the most rejected first."""
    rows = [
        {"actor": actor["id"], "type": actor["type"], "delivery": actor["delivery"], "records": actor["records"]}
        | actor["outcomes"]
        for actor in manifest["actors"]
    ]
    return sorted(rows, key=lambda row: (-row["rejected"], row["actor"]))


def _unavailable(manifest: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [actor for actor in manifest["actors"] if actor["delivery"] == "unavailable"]
