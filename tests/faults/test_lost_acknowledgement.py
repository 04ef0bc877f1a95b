"""A COMMIT whose acknowledgement is lost, and a server that crashes under a run: nothing is lost, nothing is doubled.

"Failed and changed nothing" (exit code 1) must be true, or the command says that it does not know.
"""

import random
import subprocess
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from . import undisturbed as u
from .postgresql import Mode, Proxy, Server, own_server

RUN = b"INSERT INTO runs"
"""What only the transaction of a run sends."""

LOAD = b"DELETE FROM reference_columns"

IMPATIENT = {"afstem.store.connection.ANSWER_SECONDS": 3, "afstem.store.committing.RECONNECT_SECONDS": 2}
"""How long it waits for a server that says nothing, and for one that is gone."""

DONE = 0
"""How a run over so small a workspace ends: it has no refused extract."""

Prepared = tuple[u.Workspace, str]


@pytest.fixture(scope="module")
def server(postgresql_server: str) -> Server:
    return Server(postgresql_server)


def prepare(server: Server, folder: Path) -> Prepared:
    """A workspace with its first night delivered, and the database to copy its store from."""
    database = server.make_database()
    workspace = u.make_workspace(folder / "workspace", server.url(database), actors=4)
    workspace.deliver(1)
    return workspace, database


@pytest.fixture(scope="module")
def prepared(server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prepared]:
    workspace, database = prepare(server, tmp_path_factory.mktemp("prepared"))
    yield workspace, database
    server.drop(database)


@pytest.fixture(scope="module")
def expected(server: Server, prepared: Prepared, tmp_path_factory: pytest.TempPathFactory) -> tuple[u.Behind, u.Behind]:
    """What is left behind by one undisturbed run, and by a second one that has nothing to do but for the first."""
    workspace, database = copy(server, prepared, tmp_path_factory.mktemp("expected"))
    complete(workspace, 0)
    once = u.left_behind(workspace)
    complete(workspace, 1)
    twice = u.left_behind(workspace)
    server.drop(database)
    return once, twice


def copy(server: Server, prepared: Prepared, folder: Path) -> Prepared:
    workspace, template = prepared
    database = server.make_database(template)
    return u.copy_of(workspace, folder / "workspace", server.url(database)), database


def complete(workspace: u.Workspace, attempt: int) -> None:
    done = workspace.attempt(1, attempt)
    assert done.returncode == DONE, done.stderr


def what_is_wrong(
    done: "subprocess.CompletedProcess[str]", workspace: u.Workspace, expected: tuple[u.Behind, u.Behind]
) -> list[str]:
    """After one disturbed attempt at a night: whether it told the truth, and whether the next one settles it."""
    committed = len(u.left_behind(workspace).runs)
    wrong = []
    told = done.stderr.strip().splitlines()
    said_unknown = "the next run finds out" in done.stderr
    if done.returncode not in (1, DONE):
        wrong.append(f"exit code {done.returncode}")
    if done.returncode == 1 and committed and not said_unknown and "was applied" not in done.stderr:
        wrong.append("said that nothing was changed, but it was")
    if done.returncode == DONE and not committed:
        wrong.append("said that it was done, but it was not")
    if done.returncode == 1 and not (told[-1].startswith("afstem: the store failed: ") and "Traceback" not in told):
        wrong.append(f"not one clean line: {told[-3:]}")
    if any(word in done.stderr for word in ("psycopg", "sqlalchemy", "OperationalError", "INSERT")):
        wrong.append("the driver's words")
    complete(workspace, 1)
    found = u.left_behind(workspace)
    return wrong + u.differences(expected[len(found.runs) - 1], found)


def lose(server: Server, workspace: u.Workspace, database: str, mode: Mode, **more: Any) -> Any:
    """One attempt whose COMMIT meets the proxy; gives how it ended."""
    stays_away = more.pop("stays_away", False)
    with Proxy(server, mode, RUN, stays_away=stays_away) as proxy:
        through = replace(workspace, store_url=proxy.url(database))
        done = through.attempt(1, 0, tuned=IMPATIENT, **more)
        assert proxy.happened.is_set() == (mode != "pass"), done.stderr
    return done


MODES: list[Mode] = ["cut before", "cut after", "mute before", "mute after", "delay"]
HAS_COMMITTED = {"cut before": False, "cut after": True, "mute before": False, "mute after": True, "delay": True}


def test_a_lost_acknowledgement_is_looked_for(
    server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    try_mode("cut after", server, prepared, expected, tmp_path)


@pytest.mark.soak
@pytest.mark.parametrize("time_", range(20))
@pytest.mark.parametrize("mode", MODES)
def test_many_lost_acknowledgements(
    mode: Mode,
    time_: int,
    server: Server,
    prepared: Prepared,
    expected: tuple[u.Behind, u.Behind],
    tmp_path: Path,
) -> None:
    try_mode(mode, server, prepared, expected, tmp_path)


def try_mode(mode: Mode, server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], folder: Path) -> None:
    workspace, database = copy(server, prepared, folder)
    done = lose(server, workspace, database, mode)
    assert done.returncode == (DONE if HAS_COMMITTED[mode] else 1), done.stderr
    assert what_is_wrong(done, workspace, expected) == []
    server.drop(database)


@pytest.mark.soak
@pytest.mark.parametrize("mode", MODES[:4])
def test_a_server_that_stays_away_is_not_guessed_about(
    mode: Mode, server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    workspace, database = copy(server, prepared, tmp_path)
    done = lose(server, workspace, database, mode, stays_away=True)
    assert done.returncode == 1
    assert "the next run finds out whether this one counts" in done.stderr.splitlines()[-1]
    assert what_is_wrong(done, workspace, expected) == []
    server.drop(database)


@pytest.mark.parametrize("mode", [pytest.param("cut before", marks=pytest.mark.soak), "cut after"])
def test_a_lost_acknowledgement_of_a_load(mode: Mode, server: Server, prepared: Prepared, tmp_path: Path) -> None:
    workspace, database = copy(server, prepared, tmp_path)
    before = u.left_behind(workspace)
    with Proxy(server, mode, LOAD) as proxy:
        through = replace(workspace, store_url=proxy.url(database))
        command = through.command(1, now="2026-11-24T12:00:00+00:00")[:-5]
        command += ["reference", "load", str(workspace.folder / "reference"), "--config", str(workspace.config)]
        done = subprocess.run(command, env=through.environment, capture_output=True, text=True, check=False)
        assert proxy.happened.is_set(), done.stderr
    changed = u.differences(before, u.left_behind(workspace))
    if mode == "cut after":
        assert done.returncode == 0, done.stderr
        assert changed  # when it was loaded, if nothing else
    else:
        assert done.returncode == 1
        assert done.stderr.startswith("afstem: the store failed: PostgreSQL cannot be reached, or the connection")
        assert changed == []
    server.drop(database)


# --- a connection that is lost before that ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "sent",
    [
        pytest.param(b"pg_try_advisory_lock", marks=pytest.mark.soak),
        pytest.param(b"FROM contact_sources", marks=pytest.mark.soak),
        pytest.param(b"FROM contact_rows", marks=pytest.mark.soak),
        b"COPY ",
    ],
)
def test_a_connection_that_is_lost_is_one_clear_line(
    sent: bytes, server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    workspace, database = copy(server, prepared, tmp_path)
    with Proxy(server, "cut at marker", sent) as proxy:
        done = replace(workspace, store_url=proxy.url(database)).attempt(1, 0)
        assert proxy.happened.is_set(), done.stderr
    assert done.returncode == 1
    assert "afstem: the store failed: PostgreSQL cannot be reached, or the connection was lost" in done.stderr
    assert u.left_behind(workspace).runs == ()
    assert what_is_wrong(done, workspace, expected) == []
    server.drop(database)


def test_a_connection_that_is_lost_when_all_is_done_is_no_failure(
    server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    workspace, database = copy(server, prepared, tmp_path)
    with Proxy(server, "cut at marker", b"UPDATE runs SET report_published", stays_away=True) as proxy:
        done = replace(workspace, store_url=proxy.url(database)).attempt(1, 0)
        assert proxy.happened.is_set(), done.stderr
    assert done.returncode == DONE
    assert "is applied and published; the next run clears up after it" in done.stderr
    assert what_is_wrong(done, workspace, expected) == []
    assert len(u.left_behind(workspace).runs) == 2
    server.drop(database)


# --- crash ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def crashing(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, Prepared]]:
    with own_server() as server:
        yield server, prepare(server, tmp_path_factory.mktemp("crashing"))


def crash(
    crashing: tuple[Server, Prepared], expected: tuple[u.Behind, u.Behind], folder: Path, moment: float, kill: bool
) -> list[str]:
    """Stop the server at once, ``moment`` seconds into a run, kill the run too or not, and start it again."""
    server, prepared = crashing
    workspace, database = copy(server, prepared, folder)
    with subprocess.Popen(
        workspace.command(1, 0), env=workspace.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as run:
        time.sleep(moment)
        if kill:
            run.kill()
        server.crash()
        server.restart()
        _, said = run.communicate(timeout=u.TIMEOUT_SECONDS)
    if kill:
        complete(workspace, 1)
        found = u.left_behind(workspace)
        wrong = u.differences(expected[len(found.runs) - 1], found)
    else:
        done = subprocess.CompletedProcess(run.args, run.returncode, "", said)
        wrong = what_is_wrong(done, workspace, expected)
    server.drop(database)
    return wrong


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(60))
def test_many_crashes(
    seed: int, crashing: tuple[Server, Prepared], expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    chance = random.Random(seed)
    assert crash(crashing, expected, tmp_path, chance.uniform(0.3, 4), kill=seed % 2 == 0) == []


# --- control ----------------------------------------------------------------------------------------------------------


def test_control_without_a_ledger_row_every_record_is_doubled(server: Server) -> None:
    """What one would write first: what fails is tried again."""
    database = server.make_database()
    with psycopg.connect(server.url(database).replace("+psycopg", ""), autocommit=True) as connection:
        connection.execute("CREATE TABLE naive (attempt integer, record integer)")
    modes: list[tuple[Mode, int]] = [("cut after", 2), ("cut before", 1)]
    for mode, times in modes:
        for attempt in range(10):
            with Proxy(server, mode, b"INSERT INTO naive") as proxy:
                append_until_it_works(proxy.url(database).replace("+psycopg", ""), attempt)
            with psycopg.connect(server.url(database).replace("+psycopg", "")) as connection:
                counted = "SELECT count(*) FROM naive WHERE attempt = %s GROUP BY record"
                assert {count for (count,) in connection.execute(counted, [attempt])} == {times}
        with psycopg.connect(server.url(database).replace("+psycopg", ""), autocommit=True) as connection:
            connection.execute("TRUNCATE naive")
    server.drop(database)


def append_until_it_works(url: str, attempt: int) -> None:
    while True:
        try:
            with psycopg.connect(url) as connection:
                for record in range(5):
                    connection.execute("INSERT INTO naive VALUES (%s, %s)", [attempt, record])
            return
        except psycopg.OperationalError:
            continue


def believe_that_it_failed() -> None:
    """Plant a program that takes a COMMIT without an answer for one that failed."""
    from afstem.store import committing

    committing._found = lambda *_: False


@pytest.mark.soak
def test_control_a_commit_without_an_answer_is_not_one_that_failed(
    server: Server, prepared: Prepared, expected: tuple[u.Behind, u.Behind], tmp_path: Path
) -> None:
    workspace, database = copy(server, prepared, tmp_path)
    plant = [["test_lost_acknowledgement:believe_that_it_failed", {}]]
    done = lose(server, workspace, database, "cut after", plant=plant)
    assert "said that nothing was changed, but it was" in what_is_wrong(done, workspace, expected)
    server.drop(database)
