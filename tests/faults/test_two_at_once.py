"""Two at once over one store: serialised or refused with a clear line, never interleaved; no lock outlives its holder.

Both of a pair are processes, started apart by a random part of a second.
"""

import multiprocessing
import os
import random
import secrets
import shutil
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy import make_url
from whole_run import read_store

from afstem import pipeline
from afstem.arrow_set_up import set_up_memory
from afstem.errors import AfstemError, RunError, StoreBusy, UsageError
from afstem.staging import RunFolder
from afstem.store import Store, connection

from .arrivals import ACTORS, BASE, Extract, Told, Workspace, any_lines
from .postgresql import Server

APART = 0.4
"""Seconds: as long as one of these runs takes."""

PATIENCE = 300

set_up_memory()  # as a command does; the one server of this process is also that of other tests' workers
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["afstem.pipeline", "afstem.report.pages", "psycopg", "sqlalchemy.dialects.postgresql"])


@dataclass(frozen=True)
class Ended:
    """How one of a pair ended: what it gave, or its one line."""

    said: str
    gave: Any = None


def go(job: Callable[[Workspace], Any], workspace: Workspace, wait: float, plant: Any, answer: Any) -> None:
    if plant is not None:
        plant()
    time.sleep(wait)
    try:
        answer.send(Ended("", job(workspace)))
    except AfstemError as error:
        answer.send(Ended(str(error)))


def start(job: Callable[[Workspace], Any], workspace: Workspace, wait: float = 0, plant: Any = None) -> Any:
    """Begin a job in a process of its own; gives the process and a function that waits for how it ended."""
    here, there = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=go, args=(job, workspace, wait, plant, there))
    process.start()
    there.close()

    def ended() -> Ended:
        try:
            assert here.poll(PATIENCE), "it hangs"
            found: Ended = here.recv()
        except EOFError:
            found = Ended("killed")
        process.join()
        here.close()
        process.close()
        return found

    return process, ended


# --- jobs -------------------------------------------------------------------------------------------------------------


def run(workspace: Workspace) -> dict[str, Any]:
    return pipeline.run(pipeline.Request(workspace.config))


def load(workspace: Workspace) -> dict[str, int]:
    return pipeline.load_reference(workspace.config, workspace.reference)


def look(workspace: Workspace) -> int:
    """What `afstem runs` and an analyst do: again and again, as long as a run takes."""
    store = Store.open(workspace.store_url)
    until = time.monotonic() + 2 * APART
    looked = 0
    while time.monotonic() < until:
        looked += len(store.runs()) >= 0
        contacts, history = read_store(workspace.folder)
        assert len(history) == len([row for row in contacts.values() if row[0] is not None])
    return looked


# --- stores -----------------------------------------------------------------------------------------------------------


@dataclass
class Prepared:
    """A store that knows its citizens and holds nothing else, to be copied for every pair."""

    workspace: Workspace
    told: Told
    server: Server | None
    folder: Path
    made: int = 0

    def copy(self) -> Workspace:
        self.made += 1
        folder = self.folder / f"copy-{self.made}"
        shutil.copytree(self.workspace.folder, folder)
        if self.server is None:
            url = f"sqlite:///{folder}/var/afstem.db"
        else:
            template = make_url(self.workspace.store_url).database
            url = self.server.url(self.server.make_database(template))
        config = folder / "afstem.toml"
        config.write_text(config.read_text().replace(self.workspace.store_url, url))
        with sa.create_engine(url, poolclass=sa.NullPool).begin() as opened:  # another store, not the same one again
            opened.execute(sa.text(f"UPDATE settings_kept SET value = '{self.made:064x}' WHERE name = 'token_key'"))
        return Existing(folder, url)

    def drop(self, workspace: Workspace) -> None:
        shutil.rmtree(workspace.folder)
        if self.server is not None:
            self.server.drop(str(make_url(workspace.store_url).database))


class Existing(Workspace):
    """One that need not be made."""

    def __post_init__(self) -> None:
        pass


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def prepared(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    folder = tmp_path_factory.mktemp("two")
    server = Server(request.getfixturevalue("postgresql_server")) if request.param == "postgresql" else None
    url = server.url(server.make_database()) if server else f"sqlite:///{folder}/workspace/var/afstem.db"
    workspace = Workspace(folder / "workspace", url)
    chance = random.Random(7)
    new = {}
    for number, actor in enumerate(ACTORS):
        lines = (line for line in any_lines(chance, 60) if line.registered_at)
        # No two actors at one time: there the first pull would decide, and a run that is killed may have pulled some.
        ago = timedelta(days=30, seconds=number)
        earlier = (replace(line, registered_at=line.registered_at - ago) for line in lines)
        extract = Extract(tuple(earlier), "csv", actor)
        workspace.deliver(actor, extract)
        new[actor, actor] = extract
    told = Told()
    told.hear(new, BASE)
    load(workspace)
    yield Prepared(workspace, told, server, folder)
    if server:
        server.drop(str(make_url(url).database))


def what_is_wrong(prepared: Prepared, workspace: Workspace, ended: list[Ended]) -> list[str]:
    """After both have ended: whether each was done or clearly refused, and everything counts once."""
    wrong = [one.said for one in ended if one.said and "holds the store" not in one.said]
    contacts, history = read_store(workspace.folder)
    if contacts != prepared.told.contacts():
        wrong.append("the store is not what was said")
    if len(history) != len([row for row in contacts.values() if row[0] is not None]):
        wrong.append("changes are lost or doubled")
    with sa.create_engine(workspace.store_url, poolclass=sa.NullPool).connect() as opened:
        if opened.execute(sa.text("SELECT count(*) FROM extracts")).scalar_one() != len(ACTORS):
            wrong.append("extracts are lost or doubled")
        if opened.execute(sa.text("SELECT count(*) FROM runs WHERE NOT report_published")).scalar_one():
            wrong.append("a report is missing")
    if RunFolder.all(workspace.folder / "landing") or list((workspace.folder / "reports").glob(".*")):
        wrong.append("something is left lying about")
    return wrong


Job = Callable[[Workspace], Any]
PAIRS: list[tuple[Job, Job]] = [(run, run), (run, load), (run, look)]
NAMES = ["two runs", "a run and a load", "a run and a reader"]


def try_pair(prepared: Prepared, pair: tuple[Job, Job], chance: random.Random, plant: Any = None) -> list[str]:
    workspace = prepared.copy()
    begun = [start(job, workspace, chance.uniform(0, APART), plant) for job in chance.sample(pair, 2)]
    wrong = what_is_wrong(prepared, workspace, [ended() for _, ended in begun])
    prepared.drop(workspace)
    return wrong


@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_two_at_once(pair: tuple[Job, Job], prepared: Prepared) -> None:
    assert try_pair(prepared, pair, random.Random(0)) == []


@pytest.mark.soak
@pytest.mark.parametrize("pair", PAIRS, ids=NAMES)
def test_many_times_two_at_once(pair: tuple[Job, Job], prepared: Prepared) -> None:
    chance = random.Random(1)
    found = [wrong for _ in range(100) if (wrong := try_pair(prepared, pair, chance))]
    assert found == []


def without_locks() -> None:
    """Plant a program that locks nothing."""
    Store.exclusive = lambda *_: nullcontext()  # type: ignore[method-assign,assignment,return-value]
    pipeline._landing_zone = lambda *_: nullcontext()


def test_control_without_locks_they_interleave(prepared: Prepared) -> None:
    chance = random.Random(2)
    assert any(try_pair(prepared, (run, run), chance, without_locks) for _ in range(10))


# --- a holder that is killed ------------------------------------------------------------------------------------------


def kill_and_go_on(prepared: Prepared, chance: random.Random) -> list[str]:
    workspace = prepared.copy()
    process, ended = start(run, workspace)
    time.sleep(chance.uniform(0, 2 * APART))
    os.kill(process.pid, signal.SIGKILL)
    _, other_ended = start(run, workspace)
    ended()
    wrong = what_is_wrong(prepared, workspace, [other_ended()])
    prepared.drop(workspace)
    return wrong


def test_no_lock_outlives_its_holder(prepared: Prepared) -> None:
    assert kill_and_go_on(prepared, random.Random(3)) == []


@pytest.mark.soak
def test_no_lock_outlives_its_holder_however_often(prepared: Prepared) -> None:
    chance = random.Random(4)
    found = [wrong for _ in range(100) if (wrong := kill_and_go_on(prepared, chance))]
    assert found == []


def test_a_transaction_that_outlives_its_session_is_waited_for(prepared: Prepared) -> None:
    """PostgreSQL: the lock's session is gone, but the transaction it protected has not ended yet."""
    if prepared.server is None:
        return  # SQLite's transaction ends with its process
    first, second = (Store.open(prepared.workspace.store_url) for _ in range(2))
    with (
        connection.connected_to_write(first._engine) as opened,
        opened.begin(),
        pytest.raises(StoreBusy),
        second.exclusive(0.3, lambda: None),
    ):
        pass
    with second.exclusive(0, lambda: None):
        pass
    for store in (first, second):
        store.close()  # so that its database can be copied


def test_a_lock_that_is_taken_away_by_hand_is_noticed(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    if prepared.server is not None:
        return  # a session's lock cannot be taken away from it
    workspace = prepared.copy()
    applied = pipeline.apply

    def take_away_and_apply(*arguments: Any) -> None:
        (workspace.folder / "var" / "afstem.db.lock").unlink()
        applied(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "apply", take_away_and_apply)
        with pytest.raises(RunError, match=r"afstem\.db\.lock was taken away while it was held: nothing was changed"):
            run(workspace)
    assert read_store(workspace.folder) == ({}, set())
    prepared.drop(workspace)


# --- others who use the file ------------------------------------------------------------------------------------------


def test_a_reader_that_never_ends_hinders_nobody(prepared: Prepared) -> None:
    """An analyst's transaction sees what it began with, and keeps SQLite's log from being cleared away."""
    workspace = prepared.copy()
    with sa.create_engine(workspace.store_url, poolclass=sa.NullPool).connect() as reader:
        if prepared.server:
            reader = reader.execution_options(isolation_level="REPEATABLE READ")
        else:
            reader.exec_driver_sql("BEGIN")
        count = sa.text("SELECT count(*) FROM contacts")
        assert reader.execute(count).scalar_one() == 0
        _, ended = start(run, workspace)
        assert what_is_wrong(prepared, workspace, [ended()]) == []
        assert reader.execute(count).scalar_one() == 0
    assert run(workspace)["records"] == 0
    prepared.drop(workspace)


def test_a_file_that_somebody_keeps_locked_is_one_clear_line(
    prepared: Prepared, monkeypatch: pytest.MonkeyPatch
) -> None:
    if prepared.server is not None:
        return  # no outsider can lock all of PostgreSQL's database
    monkeypatch.setattr(connection, "BUSY_SECONDS", 1)
    workspace = prepared.copy()
    with sqlite3.connect(workspace.folder / "var" / "afstem.db", isolation_level=None) as outsider:
        outsider.execute("BEGIN IMMEDIATE")
        with pytest.raises(RunError, match=r"^the store failed: SQLITE_BUSY: another program has kept the file locked"):
            run(workspace)
        outsider.execute("COMMIT")
    outsider.close()
    assert read_store(workspace.folder) == ({}, set())
    assert what_is_wrong(prepared, workspace, [Ended("", run(workspace))]) == []
    prepared.drop(workspace)


# --- other ways to the same place -------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["a linked file", "a linked folder", "the driver's name"])
def test_other_ways_to_one_store_meet_the_same_lock(way: str, tmp_path: Path) -> None:
    folder = tmp_path / "var"
    store = Store.open(f"sqlite:///{folder}/afstem.db")
    store.upgrade()
    (tmp_path / "linked.db").symlink_to(folder / "afstem.db")
    (tmp_path / "linked").symlink_to(folder)
    other = Store.open(
        {
            "a linked file": f"sqlite:///{tmp_path}/linked.db",
            "a linked folder": f"sqlite:///{tmp_path}/linked/afstem.db",
            "the driver's name": f"sqlite+pysqlite:///{tmp_path}/linked.db",
        }[way]
    )
    with store.exclusive(0, lambda: None), pytest.raises(StoreBusy), other.exclusive(0, lambda: None):
        pass
    assert sorted(path.name for path in tmp_path.iterdir()) == ["linked", "linked.db", "var"]


def test_a_store_with_two_names_is_refused(tmp_path: Path) -> None:
    """SQLite names its log after the file: two names are two logs, and one of them is lost."""
    store = Store.open(f"sqlite:///{tmp_path}/afstem.db")
    store.upgrade()
    (tmp_path / "other.db").hardlink_to(tmp_path / "afstem.db")
    with pytest.raises(UsageError, match="two names"):
        store.upgrade()
    with pytest.raises(UsageError, match="two names"):
        Store.open(f"sqlite:///{tmp_path}/other.db").upgrade()
    (tmp_path / "other.db").unlink()
    store.upgrade()


def with_own(workspace: Workspace, **paths: str) -> Workspace:
    """The same store by another configuration, which has some folders of its own."""
    name = secrets.token_hex(4)
    other = workspace.folder.with_name(f"{workspace.folder.name}-{name}")
    shutil.copytree(workspace.folder, other)
    text = (other / "afstem.toml").read_text()
    keep = {"landing": workspace.folder / "landing", "reports": workspace.folder / "reports"} | paths
    (other / "afstem.toml").write_text(
        text.partition("[paths]")[0] + "[paths]\n" + "".join(f'{key} = "{path}"\n' for key, path in keep.items())
    )
    return Existing(other, workspace.store_url)


@pytest.mark.parametrize(
    "own",
    [
        {"landing": "landing"},
        pytest.param({"reports": "reports"}, marks=pytest.mark.soak),
        pytest.param({}, marks=pytest.mark.soak),
    ],
    ids=str,
)
def test_two_configurations_of_one_store(own: dict[str, str], prepared: Prepared) -> None:
    workspace = prepared.copy()
    other = with_own(workspace, **own)
    begun = [start(run, where) for where in (workspace, other)]
    wrong = what_is_wrong(prepared, workspace, [ended() for _, ended in begun])
    shutil.rmtree(other.folder)
    prepared.drop(workspace)
    assert wrong == []


def test_two_stores_with_one_landing_zone(prepared: Prepared) -> None:
    """Each takes in and reports all of it; neither clears away what the other has staged."""
    workspace, other = prepared.copy(), prepared.copy()
    config = other.config.read_text()
    other.config.write_text(config.replace('"landing"', f'"{workspace.folder}/landing"'))
    begun = [start(run, where) for where in (workspace, other)]
    ended = [wait() for _, wait in begun]
    for where in (workspace, other):
        assert what_is_wrong(prepared, where, ended) == []
        prepared.drop(where)


def test_a_run_that_died_is_left_to_its_own_store(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its report is published by the next run over its store, though one over another store came in between."""
    workspace, other = prepared.copy(), prepared.copy()
    config = other.config.read_text()
    other.config.write_text(
        config.replace('"landing"', f'"{workspace.folder}/landing"\nreports = "{workspace.folder}/reports"')
    )
    with monkeypatch.context() as patched:
        patched.setattr(pipeline, "publish", die)
        with pytest.raises(KilledError):
            run(workspace)
    assert run(other)["outcomes"]["applied"] > 0
    run(workspace)
    assert what_is_wrong(prepared, workspace, []) == []
    for where in (workspace, other):
        prepared.drop(where)


class KilledError(BaseException):
    """Stands for SIGKILL."""


def die(*_: object) -> None:
    raise KilledError


def test_a_landing_zone_that_is_held_is_one_clear_line(prepared: Prepared, monkeypatch: pytest.MonkeyPatch) -> None:
    workspace, other = prepared.copy(), prepared.copy()
    other.config.write_text(other.config.read_text().replace('"landing"', f'"{workspace.folder}/landing"'))
    monkeypatch.setattr(pipeline, "WAIT_FOR_STORE", timedelta(seconds=0.3))
    with (
        pipeline.begin(pipeline.Request(workspace.config), pipeline.Workers()),
        pytest.raises(StoreBusy, match=r"holds the landing zone .*: try again when it is done"),
    ):
        run(other)
    for where in (workspace, other):
        prepared.drop(where)
