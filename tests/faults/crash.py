"""Attempts at a night that die, what they leave once another has completed it, and what that must equal."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from afstem.private_files import private_folder
from faults.undisturbed import Behind, Workspace, copy_of, differences, left_behind


@dataclass(frozen=True)
class Attempt:
    """One attempt: the night it is made in, the nights whose deliveries came right before it, and how it starts."""

    night: int
    delivered: tuple[int, ...] = ()
    start: dict[str, Any] = field(default_factory=dict)


class Baselines:
    """Undisturbed workspaces, made when they are first needed, from one whose reference data are loaded."""

    def __init__(self, prepared: Workspace, folder: Path, **start: Any) -> None:
        """``start`` is how their attempts start."""
        self.prepared = prepared
        self._folder = folder
        self._start = start
        self._known: dict[Any, Behind] = {}

    def fresh(self, name: str) -> Workspace:
        """A workspace in which nothing has run, in place of the one that a trial that failed may have left there."""
        shutil.rmtree(self._folder / name, ignore_errors=True)
        return copy_of(self.prepared, self._folder / name)

    def differences(self, workspace: Workspace, attempts: Sequence[Attempt]) -> list[str]:
        """What a workspace differs in, after these attempts, from one in which only the committed ones were made."""
        found = left_behind(workspace)
        committed = [int(run_id.rpartition("-")[2], 16) for run_id in found.runs]
        nights = []
        delivered: tuple[int, ...] = ()
        for number, attempt in enumerate(attempts):
            delivered += attempt.delivered
            if number in committed:
                nights.append((attempt.night, *delivered))
                delivered = ()
        pulled = _first_pulled(workspace) if len({attempt.night for attempt in attempts}) > 1 else {}
        key = (tuple(nights), tuple(sorted(pulled.items())))
        if key not in self._known:
            self._known[key] = self._undisturbed(nights, pulled)
        return differences(self._known[key], found)

    def _undisturbed(self, nights: list[tuple[int, ...]], pulled: dict[str, str]) -> Behind:
        """After these runs, by extracts that were first pulled at these moments: an attempt that died has its word in
        that (SPEC 5.3), if it was made in another night."""
        workspace = self.fresh(f"undisturbed-{len(self._known)}")
        for name, note in pulled.items():
            path = workspace.folder / "var" / "landing" / name
            private_folder(path.parent)
            path.touch(0o600)
            path.write_text(note)
        for number, (night, *delivered) in enumerate(nights):
            workspace.deliver(*delivered)
            workspace.complete(night, number, **self._start)
        return left_behind(workspace)


def _first_pulled(workspace: Workspace) -> dict[str, str]:
    """The notes of the landing zone; each must tell of a moment at which its file had been delivered."""
    landing = workspace.folder / "var" / "landing"
    notes = {str(path.relative_to(landing)): path.read_text() for path in landing.glob("*/*.json")}
    for note in notes.values():
        assert datetime.fromisoformat(json.loads(note)["first_pulled_at"]).day in (24, 25)
    return notes
