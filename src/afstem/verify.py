"""Verify: whether the reports are those that the runs wrote, none of them changed, missing or out of its order.

The store says what each manifest was when its run was committed; each manifest says what the other files of its report
and the manifest before it were (`report.seal`). What was forgotten in order (`forget`) has left its place in the chain.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afstem.errors import UsageError
from afstem.report.history import run_folders
from afstem.report.seal import MANIFEST, file_digests, manifest_digest, read_manifest
from afstem.settings import load_settings
from afstem.store import ForgottenRun, RunRow, Store


@dataclass(frozen=True)
class Fault:
    """What is wrong with one file of a report; ``file`` is "" where it is about all of the report."""

    run_id: str
    file: str
    fault: str

    def __str__(self) -> str:
        return ": ".join(part for part in (self.run_id, self.file, self.fault) if part)


@dataclass(frozen=True)
class Verification:
    """So many reports were looked at, so many were forgotten before, and what is wrong."""

    reports: int
    forgotten: int
    faults: tuple[Fault, ...]


def verify_reports(config: Path, run_id: str | None = None) -> Verification:
    """Verify one report and its place in the chain, or all of them. Raises `UsageError` where no such run ever was."""
    settings = load_settings(config)
    store = Store.open(settings.store_url)
    try:
        store.upgrade()
        found = {folder.name for folder in run_folders(settings.reports)}
        applied = {run.run_id: run for run in store.runs() if run.report_published}
        # A run that was published since the folders were listed is one of them.
        found |= {name for name in applied if (settings.reports / name).exists()}
        chain = _Chain(settings.reports, found, applied, store.forgotten_runs(), store.token_key())
    finally:
        store.close()
    every = found | applied.keys() | chain.forgotten.keys() | chain.named
    if run_id is not None and run_id not in every:
        raise UsageError(f"no such run: {run_id}; 'afstem runs' lists them")
    faults = (fault for name in sorted(every) for fault in chain.faults(name))
    told = {fault: None for fault in faults if run_id in (None, fault.run_id)}
    chosen = found if run_id is None else found & {run_id}
    return Verification(len(chosen), len(chain.forgotten.keys() - found), tuple(told))


class _Chain:
    """All manifests, and what the store remembers of them; ``named`` are the runs that others came after."""

    def __init__(
        self,
        reports: Path,
        found: set[str],
        applied: Mapping[str, RunRow],
        forgotten: Mapping[str, ForgottenRun],
        token_key: bytes,
    ) -> None:
        self.forgotten = forgotten
        self._reports, self._applied, self._token_key = reports, applied, token_key
        self._digests = {
            name: manifest_digest(reports / name) for name in found if (reports / name / MANIFEST).is_file()
        }
        self._manifests = {name: read_manifest(reports / name) for name in self._digests}
        self._found = found
        links = [manifest.get("previous") for manifest in self._manifests.values()]
        self.named = {link["run_id"] for link in links if isinstance(link, dict) and "run_id" in link}
        self.named |= {run.previous_run_id for run in forgotten.values() if run.previous_run_id}
        self._newest = max(self._manifests, key=self._moment, default=None)

    def faults(self, run_id: str) -> Iterator[Fault]:
        row = self._applied.get(run_id)
        if run_id not in self._found:
            yield from self._faults_of_absent(run_id, row)
            return
        if run_id in self.forgotten:
            yield Fault(run_id, "", "was forgotten, but is still there: forget it again")
        if run_id not in self._digests:
            yield Fault(run_id, MANIFEST, "missing")
            return
        manifest = self._manifests[run_id]
        if manifest.get("run_id") != run_id:
            yield Fault(run_id, MANIFEST, "damaged, or that of another run")
            return
        if row is not None and row.manifest_sha256 != self._digests[run_id]:
            yield Fault(run_id, MANIFEST, "edited: the store remembers another")
        if row is None and not manifest.get("dry_run"):
            yield Fault(run_id, "", "forged: the store knows no such run")
        if row is None and run_id != self._newest and run_id not in self.named:
            yield Fault(run_id, "", "forged: no later run came after it")
        yield from self._faults_of_link(run_id, manifest.get("previous"))
        yield from self._faults_of_files(run_id, manifest.get("files"))

    def _faults_of_absent(self, run_id: str, row: RunRow | None) -> Iterator[Fault]:
        if run_id not in self.forgotten and row is not None:
            yield Fault(run_id, "", "missing: the store remembers it")
        elif row is not None and row.manifest_sha256 != self.forgotten[run_id].manifest_sha256:
            yield Fault(run_id, MANIFEST, "was edited before it was forgotten")

    def _faults_of_link(self, run_id: str, link: Any) -> Iterator[Fault]:
        if link is None:
            earlier = any(self._moment(other) < self._moment(run_id) for other in self._manifests)
            # Of one that is forgotten only the second is known.
            if earlier or any(_second_of(other) < _second_of(run_id) for other in self.forgotten):
                yield Fault(run_id, MANIFEST, "out of order: it names no run before it")
            return
        if not isinstance(link, dict) or not isinstance(link.get("run_id"), str):
            yield Fault(run_id, MANIFEST, "damaged: what it came after")
            return
        previous, sha256 = link["run_id"], link.get("sha256")
        remembered = self.forgotten.get(previous)
        before = remembered.manifest_sha256 if remembered else self._digests.get(previous)
        if before is None:
            yield Fault(previous, "", f"missing: {run_id} came after it")
        elif before != sha256:
            yield Fault(str(previous), MANIFEST, f"edited: {run_id}, which came after it, remembers another")
        if previous in self._manifests and self._moment(previous) >= self._moment(run_id):
            yield Fault(run_id, MANIFEST, f"out of order: it names {previous} as the run before it")

    def _faults_of_files(self, run_id: str, said: Any) -> Iterator[Fault]:
        said = said if isinstance(said, dict) else {}
        found = file_digests(self._reports / run_id, self._token_key)
        for name in sorted(said.keys() | found.keys()):
            if name not in found:
                yield Fault(run_id, name, "missing")
            elif name not in said:
                yield Fault(run_id, name, "added")
            elif said[name] != found[name]:
                yield Fault(run_id, name, "edited")

    def _moment(self, run_id: str) -> str:
        """When a run began, ISO 8601 in UTC; of one that is forgotten, to the second."""
        return str(self._manifests.get(run_id, {}).get("started_at") or _second_of(run_id))


def _second_of(run_id: str) -> str:
    day, time = run_id[:8], run_id[9:15]
    return f"{day[:4]}-{day[4:6]}-{day[6:]}T{time[:2]}:{time[2:4]}:{time[4:]}"
