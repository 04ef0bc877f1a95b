"""Forget: remove landed extracts and reports, receipts with them, when their time is over.

What is personal may be kept no longer than its purpose needs it (GDPR, article 5(1)(e)), and how long that is, is for
the controller to say: nothing is forgotten until somebody asks. The ledger stays, so that what was applied is not
applied again, and so does each report's place in the chain of manifests, so that what was forgotten is not taken for
what was made away with. Contacts and their history are the store's, and are not touched.
"""

import logging
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from afstem import clock
from afstem.decode import is_extract_name
from afstem.private_files import sync
from afstem.pull import MANIFEST_ENDING, first_pulled_at
from afstem.report import publication
from afstem.report.history import run_folders
from afstem.report.seal import manifest_digest, read_manifest
from afstem.settings import load_settings
from afstem.store import ForgottenRun, Store

log = logging.getLogger(__name__)

_FORGETTING = ".forgetting-"

WAIT_FOR_STORE = timedelta(minutes=10)


@dataclass(frozen=True)
class Landed:
    """A landed extract whose time is over."""

    path: Path
    actor: str
    sha256: str

    @property
    def key(self) -> tuple[str, str]:
        return self.actor, self.sha256

    def to_json(self) -> dict[str, Any]:
        return {"actor": self.actor, "sha256": self.sha256, "bytes": self.path.stat().st_size}


def forget(config: Path, days: int, *, dry_run: bool) -> dict[str, Any]:
    """Remove what is older than so many days, or say what that would be.

    Kept whatever their age: held extracts, which may still be released, and the extracts of a run whose report is not
    out. Gives ``before`` (ISO 8601), ``dry_run``, ``runs`` (ids), ``extracts`` and ``kept``.
    """
    settings = load_settings(config)
    store = Store.open(settings.store_url)
    try:
        store.upgrade()
        with store.exclusive(WAIT_FOR_STORE.total_seconds(), _tell_of_waiting):
            now = clock.now()
            before = now - timedelta(days=days)
            needed = store.extracts_still_needed()
            old = sorted(_landed_before(settings.landing, before), key=lambda landed: landed.path)
            extracts = [landed for landed in old if landed.key not in needed]
            kept = [landed for landed in old if landed.key in needed]
            unpublished = store.unpublished_runs()
            old_reports = [path.name for path in run_folders(settings.reports) if began_at(path.name) < before]
            runs = [run_id for run_id in old_reports if run_id not in unpublished]
            told = {
                "before": before.isoformat(timespec="seconds"),
                "dry_run": dry_run,
                "runs": runs,
                "extracts": [landed.to_json() for landed in extracts],
                "kept": [landed.to_json() for landed in kept],
            }
            if not dry_run:
                _forget_reports(settings.reports, runs, store, now)
                _forget_extracts(extracts)
            return told
    finally:
        store.close()


def _tell_of_waiting() -> None:
    log.warning("a run or reference load holds the store; waiting up to %s for it", WAIT_FOR_STORE)


def began_at(run_id: str) -> datetime:
    """When a run began, as its id says: to the second."""
    return datetime.strptime(run_id[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)


def _landed_before(landing: Path, before: datetime) -> Iterator[Landed]:
    """The landed extracts that were first pulled before a moment."""
    for path in landing.glob("[!.]*/*"):
        if is_extract_name(path.name) and first_pulled_at(path) < before:
            yield Landed(path, path.parent.name, path.name.partition(".")[0])


def _forget_extracts(extracts: list[Landed]) -> None:
    """Remove the extracts and their manifests.

    The note of when each was first pulled stays, for that is its creation time (SPEC 5.3).
    """
    for landed in extracts:
        landed.path.unlink()
        landed.path.with_name(landed.sha256 + MANIFEST_ENDING).unlink(missing_ok=True)
    for zone in {landed.path.parent for landed in extracts}:
        sync(zone)


def _forget_reports(reports: Path, runs: list[str], store: Store, now: datetime) -> None:
    """Record first, remove then: what is half removed after a crash is known to be forgotten, and removed next time."""
    known = store.forgotten_runs()
    store.forget_runs([_place_in_chain(reports, run_id, now) for run_id in runs if run_id not in known])
    for run_id in runs:
        (reports / run_id).rename(reports / f"{_FORGETTING}{run_id}")
    for folder in reports.glob(f"{_FORGETTING}*"):
        shutil.rmtree(folder)
    sync(reports)
    publication.list_runs(reports)


def _place_in_chain(reports: Path, run_id: str, now: datetime) -> ForgottenRun:
    report = reports / run_id
    link = read_manifest(report).get("previous") or {}
    return ForgottenRun(run_id, manifest_digest(report), link.get("run_id"), link.get("sha256"), now)
