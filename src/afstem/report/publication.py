"""Publication: a report is built beside its final place and appears by rename, complete or not at all."""

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from afstem.private_files import naming, read_json, remove_folder, sync
from afstem.report.history import keep, past_runs
from afstem.report.seal import MANIFEST, manifest_digest

log = logging.getLogger(__name__)

PREPARING = ".preparing-"
PREPARED = ".prepared-"

SYNCED_AT_ONCE = 8
"""A disk that is asked to write many small files at the same time does it in few strokes."""


def prepare(reports: Path, run_id: str, build: Callable[[Path], None]) -> None:
    """Build a run's report in a hidden folder; an earlier attempt is thrown away."""
    unfinished = reports / f"{PREPARING}{run_id}"
    prepared = reports / f"{PREPARED}{run_id}"
    discard(reports, run_id)
    unfinished.mkdir(parents=True)
    with naming(unfinished):
        build(unfinished)
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as workers:
        for _ in workers.map(sync, (unfinished, *unfinished.rglob("*"))):
            pass
    unfinished.rename(prepared)
    sync(reports)


def exists(reports: Path, run_id: str) -> bool:
    """Whether the report is complete, under its name or about to get it."""
    return any((reports / name).exists() for name in (run_id, f"{PREPARED}{run_id}"))


def digest(reports: Path, run_id: str) -> str:
    """The SHA-256 of the manifest of a run, published or prepared."""
    return manifest_digest(_folder_of(reports, run_id))


def publish(reports: Path, run_id: str) -> Path:
    """Give a prepared report its name and write it into the history of runs; repeating it changes nothing."""
    final = reports / run_id
    if not final.exists():
        (reports / f"{PREPARED}{run_id}").rename(final)
        sync(reports)
    list_runs(reports)
    return final


def list_runs(reports: Path) -> None:
    """Write the history of runs anew."""
    # Here, because only a run that is done needs what makes pages.
    from afstem.report.pages import write_history

    try:
        runs = past_runs(reports)
        keep(reports, runs)
        write_history(reports, runs)
    except OSError as error:
        # The run is done and its report stands: a page that lists it, and is written anew by every run, can wait.
        log.warning("the history of runs in %s could not be written: %s", reports, error.strerror)


def discard(reports: Path, run_id: str) -> None:
    """Throw away what was built for a run that did not commit."""
    for state in (PREPARING, PREPARED):
        remove_folder(reports / f"{state}{run_id}")


def manifest_of(reports: Path, run_id: str) -> dict[str, Any]:
    """``run.json`` of a run, published or prepared."""
    manifest: dict[str, Any] = read_json(_folder_of(reports, run_id) / MANIFEST)
    return manifest


def _folder_of(reports: Path, run_id: str) -> Path:
    published = reports / run_id
    return published if published.exists() else reports / f"{PREPARED}{run_id}"
