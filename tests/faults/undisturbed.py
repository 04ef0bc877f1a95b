"""What an undisturbed run leaves behind, to the last row and byte, to hold a disturbed one against.

A workspace has two nights: some of its extracts are delivered for the first, the others, and some of the first again,
for the second. Every attempt at a night is a process of its own (`start`) whose clock stands still, so two workspaces
that went through the same committed runs hold the same, but for which attempts those runs were: their ids are the only
thing that `left_behind` evens out. Works on SQLite and PostgreSQL alike.

    workspace = make_workspace(folder)                     # reference data loaded, nothing delivered
    workspace.deliver(1)
    workspace.attempt(1, 0, **fault)                       # is disturbed,
    workspace.complete(1, 1)                               # and completed
    found = left_behind(workspace)
    # One run, if the first attempt did not commit, or two, if the second had only to publish it.
    expected = undisturbed(make_workspace(other_folder), [(1, 1), (1,)][: len(found.runs)])
    assert not differences(expected, found)
"""

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import sqlalchemy as sa

from afstem.packed import unpack
from afstem.sample import write_workspace
from afstem.settings import load_settings
from afstem.store import tables

AS_OF = "2026-11-23"
START = Path(__file__).with_name("start.py")
RUN_ID = re.compile(r"(\d{8}T\d{6}Z)-([0-9a-f]{6})")
DONE = (0, 3)
"""How a run ends that did its work; some extracts of the larger workspaces are refused."""

TIMEOUT_SECONDS = 300


class Cold:
    """Starts commands, one at a time, each in an interpreter and a session of its own."""

    def begin(self, command: list[str], environment: Mapping[str, str], *, traced: bool = False) -> int:
        """Start a command; its process id, which is that of its group as well."""
        self._process = subprocess.Popen(
            command,
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        return self._process.pid

    def end(self) -> "subprocess.CompletedProcess[str]":
        """Wait until it ends."""
        with self._process as process:
            _, told = process.communicate(timeout=TIMEOUT_SECONDS)
        return subprocess.CompletedProcess([], process.returncode, "", told)


class Warm:
    """Starts commands from a process that has everything imported (`start.serve`): a third of the time."""

    def __init__(self, output: Path) -> None:
        self._output = output
        self._process = subprocess.Popen(
            [sys.executable, str(START), "warm"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def begin(self, command: list[str], environment: Mapping[str, str], *, traced: bool = False) -> int:
        """The same; a traced command does nothing before somebody traces it."""
        wanted = {
            "arguments": command[2:],
            "environment": dict(environment),
            "output": str(self._output),
            "traced": traced,
        }
        assert self._process.stdin
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        return self._told()

    def end(self) -> "subprocess.CompletedProcess[str]":
        return subprocess.CompletedProcess([], self._told(), "", self._output.read_text())

    def _told(self) -> int:
        assert self._process.stdout
        return int(self._process.stdout.readline())

    def close(self) -> None:
        self._process.communicate(timeout=TIMEOUT_SECONDS)


@dataclass(frozen=True)
class Workspace:
    """A workspace whose reference data are loaded. ``store_url`` is None for SQLite beside it."""

    folder: Path
    store_url: str | None = None
    more_environment: Mapping[str, str] = field(default_factory=dict)
    starter: Cold | Warm = field(default_factory=Cold)
    """What starts its commands."""

    @property
    def config(self) -> Path:
        return self.folder / "afstem.toml"

    @property
    def environment(self) -> dict[str, str]:
        """The environment its commands run in."""
        own = {} if self.store_url is None else {"AFSTEM_STORE__URL": self.store_url}
        return os.environ | own | self.more_environment

    def deliver(self, *nights: int) -> None:
        """Let the actors deliver what is due on these nights."""
        for night in nights:
            shutil.copytree(self.folder / f"night-{night}", self.folder / "extracts", dirs_exist_ok=True)

    def command(self, night: int, attempt: int = 0, program: str = "run", **start: Any) -> list[str]:
        """The command of one attempt at a night; ``start`` is what `start` is told besides."""
        asked = {"now": f"2026-11-{23 + night}T02:00:00+00:00", "attempt": attempt} | start
        options = ["--config", str(self.config), "--as-of", AS_OF]
        return [sys.executable, str(START), json.dumps(asked), program, *options]

    def attempt(self, night: int, attempt: int = 0, **start: Any) -> "subprocess.CompletedProcess[str]":
        """Make one attempt at a night, however it ends."""
        return self.execute(self.command(night, attempt, **start))

    def execute(self, command: list[str]) -> "subprocess.CompletedProcess[str]":
        """Run a command in the workspace's environment, however it ends."""
        self.begin(command)
        return self.end()

    def begin(self, command: list[str], *, traced: bool = False) -> int:
        """Start a command; its process id."""
        return self.starter.begin(command, self.environment, traced=traced)

    def end(self) -> "subprocess.CompletedProcess[str]":
        """Wait until the command that was begun last ends."""
        return self.starter.end()

    def complete(self, night: int, attempt: int = 0, **start: Any) -> None:
        """Make one attempt at a night that must succeed, whatever was done to the ones before it."""
        done = self.attempt(night, attempt, **start)
        assert done.returncode in DONE, done.stderr

    def load_command(self, **start: Any) -> list[str]:
        """The command that loads the reference data."""
        asked = json.dumps({"now": "2026-11-23T12:00:00+00:00"} | start)
        reference = str(self.folder / "reference")
        return [sys.executable, str(START), asked, "reference", "load", reference, "--config", str(self.config)]

    def load(self) -> None:
        """Load the reference data, and make the key of the tokens the same in every workspace."""
        done = self.execute(self.load_command())
        assert done.returncode == 0, done.stderr
        with connected(self) as connection:
            token_key = sa.update(tables.settings_kept).where(tables.settings_kept.c.name == "token_key")
            connection.execute(token_key.values(value="00" * 32))
            connection.commit()


def make_workspace(folder: Path, store_url: str | None = None, actors: int = 12) -> Workspace:
    """A small workspace with everything that the sample knows, its store made and its reference data loaded.

    Made twice it is the same to the last byte, the key of the tokens included; with fewer actors it has less.
    """
    write_workspace(folder, citizens=5 * actors, actors=actors, dirty=0.3, seed=4)
    (folder / "extracts").rename(folder / "all")
    files = sorted(path for path in (folder / "all").rglob("*") if path.is_file())
    for place, path in enumerate(path for path in files if path.suffix != ".jwt"):
        inside = path.relative_to(folder / "all")
        for night in (1, 2):
            (folder / f"night-{night}" / inside.parent).mkdir(parents=True, exist_ok=True)
            (folder / "extracts" / inside.parent).mkdir(parents=True, exist_ok=True)
        content = path.read_bytes()
        delivered = folder / f"night-{1 + place % 3 // 2}" / inside
        delivered.write_bytes(content)
        if (manifest := path.with_name(f"{path.name}.jwt")).exists():
            shutil.copyfile(manifest, delivered.with_name(manifest.name))
        if place % 3 == 0 and inside.name.endswith((".csv", ".jsonl")) and content:
            # The same records in another file: a full extract repeats itself.
            (folder / "night-2" / inside).with_name(f"again-{inside.name}").write_bytes(content + b"\n")
    shutil.rmtree(folder / "all")
    workspace = Workspace(folder, store_url)
    workspace.load()
    return workspace


def copy_of(workspace: Workspace, folder: Path, store_url: str | None = None) -> Workspace:
    """A copy of a workspace; on PostgreSQL the caller gives the URL of a copy of its database."""
    shutil.copytree(workspace.folder, folder)
    return replace(workspace, folder=folder, store_url=store_url)


def undisturbed(workspace: Workspace, runs: Iterable[Sequence[int]]) -> "Behind":
    """What undisturbed runs leave behind in a workspace just made.

    Each is told by the night it belongs to and the nights whose deliveries come right before it: ``(2, 1, 2)`` is the
    run of the second night, until which nothing had been delivered.
    """
    for attempt, (night, *delivered) in enumerate(runs):
        workspace.deliver(*delivered)
        workspace.complete(night, attempt)
    return left_behind(workspace)


def connected(workspace: Workspace) -> sa.Connection:
    """A connection to the workspace's store, as anybody's."""
    url = workspace.store_url or load_settings(workspace.config).store_url
    return sa.create_engine(url, poolclass=sa.NullPool).connect()


# --- what is left behind --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Behind:
    """All that runs have left behind: ``files`` and ``rows`` by the name of a path or table, in comparable texts."""

    runs: tuple[str, ...]
    """The ids of the committed runs, the oldest first."""
    files: dict[str, list[str]]
    rows: dict[str, list[str]]


def left_behind(workspace: Workspace) -> Behind:
    """Everything in the store, the landing zone (staging and unfinished files too) and the reports folder.

    Ids of committed runs are evened out: the first of a night is ``…-000000``, whichever attempt it was.
    """
    files = dict(_files(workspace))  # first: SQLite clears its log away when the store is read
    with connected(workspace) as connection:
        runs = tuple(sorted(connection.execute(sa.select(tables.runs.c.run_id)).scalars()))
        rows = {table.name: list(_rows(connection, table)) for table in (*tables.metadata.sorted_tables, *VIEWS)}
    return Behind(runs, _evened_out(files, runs), _evened_out(rows, runs))


def differences(expected: Behind, found: Behind) -> list[str]:
    """What was lost, what is there twice and what was left lying about: one line each, none if they are the same."""
    lines = []
    for kind in ("rows", "files"):
        before, after = getattr(expected, kind), getattr(found, kind)
        for name in sorted(before.keys() | after.keys()):
            if name not in after:
                lines.append(f"{name}: lost")
            elif name not in before:
                lines.append(f"{name}: left over")
            elif Counter(before[name]) != Counter(after[name]):
                lost = list((Counter(before[name]) - Counter(after[name])).elements())
                more = list((Counter(after[name]) - Counter(before[name])).elements())
                lines.append(f"{name}: {len(lost)} lost {lost[:1]}, {len(more)} too many {more[:1]}")
            elif before[name] != after[name] and name not in {view.name for view in VIEWS}:
                lines.append(f"{name}: in another order")
    return lines


VIEWS = (sa.table("contacts"), sa.table("contact_history"))
"""What SPEC 5.2 promises to others, beside the tables that it is made of; in no order."""


def _evened_out(content: dict[str, list[str]], runs: tuple[str, ...]) -> dict[str, list[str]]:
    of_night: Counter[str] = Counter()
    evened = {}
    for run_id in runs:
        night = run_id.partition("-")[0]
        evened[run_id] = f"{night}-{of_night[night]:06x}"
        of_night[night] += 1

    def even(text: str) -> str:
        return RUN_ID.sub(lambda found: evened.get(found[0], f"{found[0]} (never committed)"), text)

    return {even(name): [even(line) for line in lines] for name, lines in content.items()}


def _rows(connection: sa.Connection, table: sa.TableClause) -> Iterable[str]:
    """The rows of a table; what is packed is unpacked, and the order of the history stands for its numbers."""
    chosen = sa.select(sa.text("*")).select_from(table)
    key = [column.name for column in getattr(table, "primary_key", ())]
    for found in connection.execute(chosen.order_by(*map(sa.text, key))).mappings():
        # A sequence of PostgreSQL leaves out the numbers of what was rolled back.
        # The digest of a manifest is that of the ids and times in it: `verify` holds it against the report.
        row = {name: _unpacked(value) for name, value in found.items() if name not in ("history_no", "manifest_sha256")}
        yield repr(row)


def _unpacked(value: Any) -> Any:
    return unpack(bytes(value)).to_pylist() if isinstance(value, bytes | memoryview) else value


def _files(workspace: Workspace) -> Iterable[tuple[str, list[str]]]:
    """Every file and folder: its mode, and its content in lines."""
    reports = load_settings(workspace.config).reports
    store = workspace.folder / "var" / "afstem.db"
    for root in (workspace.folder / "var", reports):
        for path in sorted(root.rglob("*")):
            name = str(path.relative_to(workspace.folder))
            mode = stat.filemode(path.stat().st_mode)
            if path.is_dir() or path == store:
                yield name, [mode]
            elif path.suffix == ".parquet" and root == reports:
                table = pq.ParquetFile(path).read()
                yield name, [mode, str(table.schema), *map(repr, table.to_pylist())]
            elif path.name == "run.json":
                yield name, [mode, json.dumps(_without_digests(json.loads(path.read_bytes())), indent=1)]
            else:
                yield name, [mode, *path.read_bytes().decode("latin-1").split("\n")]


def _without_digests(manifest: dict[str, Any]) -> dict[str, Any]:
    """A manifest without the digests of what holds ids and times itself: the report's files, and the one before."""
    previous = manifest["previous"] and manifest["previous"]["run_id"]
    return manifest | {"files": sorted(manifest["files"]), "previous": previous}
