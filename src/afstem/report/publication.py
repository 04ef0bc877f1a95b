"""Publication: a report is built beside its final place and appears by rename, complete or not at all."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from afstem.private_files import naming, read_json, remove_folder, sync
from afstem.report.history import PastRun, keep, newest_first, past_run, past_runs
from afstem.report.seal import MANIFEST, manifest_digest

log = logging.getLogger(__name__)

PREPARING = ".preparing-"
PREPARED = ".prepared-"
HISTORY = ".history-"

SYNCED_AT_ONCE = 8
"""A disk that is asked to write many small files at the same time does it in few strokes."""


def begin(reports: Path, run_id: str) -> None:
    """Make the hidden folder in which a run's report is built; an earlier attempt is thrown away."""
    discard(reports, run_id)
    _unfinished(reports, run_id).mkdir(parents=True)


@contextmanager
def building(reports: Path, run_id: str) -> Iterator[Path]:
    """That folder, to write into; an `OSError` that tells no name tells this one."""
    folder = _unfinished(reports, run_id)
    with naming(folder):
        yield folder


def prepare_history(reports: Path, manifest: Mapping[str, Any]) -> None:
    """Write the list of runs as it is once this one is published: publishing is renaming then, and no more."""
    folder = reports / f"{HISTORY}{manifest['run_id']}"
    folder.mkdir()
    _write_history(folder, newest_first([past_run(manifest), *past_runs(reports)]))


def finish(reports: Path, run_id: str) -> None:
    """Bring a report that is built to disk, so that it lacks nothing but its name."""
    folder = _unfinished(reports, run_id)
    with ThreadPoolExecutor(SYNCED_AT_ONCE) as workers:
        for _ in workers.map(sync, (folder, *folder.rglob("*"))):
            pass
    folder.rename(reports / f"{PREPARED}{run_id}")
    sync(reports)


def exists(reports: Path, run_id: str) -> bool:
    """Whether the report is complete, under its name or about to get it."""
    return any((reports / name).exists() for name in (run_id, f"{PREPARED}{run_id}"))


def digest(reports: Path, run_id: str) -> str:
    """The SHA-256 of the manifest of a run, published or prepared."""
    return manifest_digest(_folder_of(reports, run_id))


def publish(reports: Path, run_id: str) -> Path:
    """Give a prepared report its name and put it into the list of runs; repeating it changes nothing."""
    final = reports / run_id
    if not final.exists():
        (reports / f"{PREPARED}{run_id}").rename(final)
        sync(reports)
    history = reports / f"{HISTORY}{run_id}"
    with _history_can_wait(reports):
        if history.exists():
            for page in sorted(history.iterdir()):
                page.replace(reports / page.name)
        else:
            list_runs(reports)
        for told in reports.glob(f"{HISTORY}*"):  # this one, and those of runs whose list had to wait
            if (reports / told.name.removeprefix(HISTORY)).exists():
                remove_folder(told)
    return final


def list_runs(reports: Path) -> None:
    """Write the list of runs anew."""
    with _history_can_wait(reports):
        _write_history(reports, past_runs(reports))


def _write_history(folder: Path, runs: Sequence[PastRun]) -> None:
    # Here, because only a run that is done needs what makes pages.
    from afstem.report.pages import write_history

    keep(folder, runs)
    write_history(folder, runs)


@contextmanager
def _history_can_wait(reports: Path) -> Iterator[None]:
    """The run is done and its report stands: a page that lists it, and is written anew by every run, can wait."""
    try:
        yield
    except OSError as error:
        log.warning("the history of runs in %s could not be written: %s", reports, error.strerror)


def discard(reports: Path, run_id: str) -> None:
    """Throw away what was built for a run that did not commit."""
    for state in (PREPARING, PREPARED, HISTORY):
        remove_folder(reports / f"{state}{run_id}")


def manifest_of(reports: Path, run_id: str) -> dict[str, Any]:
    """``run.json`` of a run, published or prepared."""
    manifest: dict[str, Any] = read_json(_folder_of(reports, run_id) / MANIFEST)
    return manifest


def _unfinished(reports: Path, run_id: str) -> Path:
    return reports / f"{PREPARING}{run_id}"


def _folder_of(reports: Path, run_id: str) -> Path:
    published = reports / run_id
    return published if published.exists() else reports / f"{PREPARED}{run_id}"
