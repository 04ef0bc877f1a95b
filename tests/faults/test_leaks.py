"""The leak gate: whatever fails, and wherever, no CPR number and no contact value gets out of the places of SPEC 6.

The words of an injected exception are made to look like a driver's DETAIL. A job searches what a command has printed,
every file it has left behind (but for the store, the landing zone and receipts), the names of all files, and what
others can see of its processes. The control is the same program, written naively.
"""

import ctypes
import inspect
import json
import os
import random
import re
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from leak_search import POISONED, Secrets, files_under, has_poison, secrets_of
from test_cli import in_process
from whole_run import AS_OF

from afstem import pipeline, taking_in, under_way
from afstem.discretion import be_discreet
from afstem.sample import write_workspace
from afstem.store.apply import apply_run
from faults.failing import TROUBLES, place_of

FAILING = Path(__file__).with_name("failing.py")

SHARES = 8
"""So many parts the functions of a command are tried in, side by side."""

CANARY = "0741000012", "20999917", "kanariefugl"
"""No CPR number (no month has 41 days), a phone number, and how an address begins."""

COMMANDS = {
    "load": ["reference", "load", "reference", "--json"],
    "run": ["-v", "run", "--as-of", "2026-11-23", "--json"],
    "dry run": ["-v", "--log-format", "json", "run", "--as-of", "2026-11-23", "--dry-run"],
    "show": ["show", "latest"],
    "runs": ["runs", "--json"],
    "check": ["check", "extract.csv"],
    "explain": ["explain", "9155"],
    "verify": ["show", "--verify"],
    "forget": ["forget", "--older-than", "0d", "--json"],
    "doctor": ["doctor", "--json"],
    "upgrade": ["store", "upgrade", "--json"],
    "sign": ["sign", "extract.csv", "--actor", "kommune-a", "--user", "batch", "--key", "signing.pem"],
}


@dataclass(frozen=True)
class World:
    """A workspace that has been run over once, and new extracts in it that have not."""

    folder: Path
    before: dict[str, bytes]
    """Its files, by their path below the folder"""


def words_of(number: int) -> str:
    return f"Key (personnummer, value)=({CANARY[0]}, +45 {CANARY[1]}, {CANARY[2]}{number}@eksempel.dk) already exists."


def canary_of(number: int) -> Secrets:
    return Secrets(frozenset({CANARY[0]}), frozenset({CANARY[1]}), frozenset({f"{CANARY[2]}{number}@eksempel.dk"}))


class Runner:
    """The process of `failing`, and a folder for each of its jobs."""

    def __init__(self, world: World, folder: Path, *how: str) -> None:
        self._world, self._folder = world, folder
        self._process = subprocess.Popen(
            [sys.executable, FAILING, *how], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self._jobs = 0

    def functions(self, command: str) -> dict[str, int]:
        """The functions of the program that a command calls, in the order in which it comes to them: 1 for those that
        it calls once, more for the others.

        Not those that keep words in: before they are called, nothing has been read that could be told.
        """
        job = self._begin(command)
        self._run(job | {"functions": str(self._folder / "functions")})
        lines = (self._folder / "functions").read_text().splitlines()
        (self._folder / "functions").unlink()
        shutil.rmtree(job["folder"])
        assert lines, f"{command} calls nothing of the program beside these tests"
        keepers = (":console", ":be_discreet", ":told_without_content")
        return {place: calls for place, calls in Counter(lines).items() if not place.endswith(keepers)}

    def leaks(self, command: str, place: str, nth: int, kind: str) -> set[tuple[str, str]]:
        """Where a command told what it should not when one of its functions failed, and what."""
        job = self._begin(command)
        fail = {"place": place, "nth": nth, "kind": kind, "words": words_of(self._jobs)}
        self._run(job | {"fail": fail})
        found = set()
        folder = Path(job["folder"])
        for name, content in files_under(folder):
            own = name.removeprefix(f"{folder}/")
            if self._world.before.get(own) == content:
                continue
            searched = canary_of(self._jobs)
            found |= {(own, secret) for secret in searched.found_in(own.encode())}
            if not own.startswith(("var/", "extracts/", "reference/")) and "/receipts/" not in own:
                found |= {(own, secret) for secret in searched.found_in(content)}
            elif CANARY[2].encode() in content:
                found.add((own, CANARY[2]))
        shutil.rmtree(folder)
        return found

    def _begin(self, command: str) -> dict[str, Any]:
        self._jobs += 1
        folder = self._folder / str(self._jobs)
        shutil.copytree(self._world.folder, folder)
        (folder / "temporary").mkdir()
        job = {name: str(folder / name) for name in ("stdout", "stderr", "temporary")}
        return job | {"folder": str(folder), "words": COMMANDS[command]}

    def _run(self, job: dict[str, Any]) -> None:
        self._process.stdin.write(json.dumps(job) + "\n")
        answer = self._process.stdout.readline()
        assert answer, "the process that runs the jobs has ended"
        assert int(answer) in (0, 1, 2, 3), f"{job}: exit code {answer}"

    def close(self) -> None:
        self._process.stdin.close()
        assert self._process.wait(timeout=120) == 0
        self._process.stdout.close()


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    folder = tmp_path_factory.mktemp("leaks") / "workspace"
    write_workspace(folder, citizens=40, actors=7, dirty=0.25, seed=11)
    pipeline.load_reference(folder / "afstem.toml", folder / "reference")
    shutil.copyfile(next(folder.glob("extracts/*/*.csv")), folder / "extract.csv")
    (folder / "signing.pem").write_bytes(
        Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    )
    pipeline.run(pipeline.Request(folder / "afstem.toml", as_of=AS_OF))
    for extract in folder.glob("extracts/*/*.csv"):
        extract.write_bytes(extract.read_bytes() + b"\r\n")  # the same records, to be judged anew
    return World(folder, {name.removeprefix(f"{folder}/"): content for name, content in files_under(folder)})


@pytest.fixture
def runner(world: World, tmp_path: Path) -> Iterator[Runner]:
    opened = Runner(world, tmp_path)
    yield opened
    opened.close()


@pytest.fixture
def naive_runner(world: World, tmp_path: Path) -> Iterator[Runner]:
    opened = Runner(world, tmp_path, "naive")
    yield opened
    opened.close()


def test_whatever_fails_nothing_is_told(runner: Runner) -> None:
    """A sample of the functions, and every kind of trouble; all functions: `make leak-check`."""
    kinds = list(TROUBLES)
    for command, jobs in (("check", len(kinds)), ("run", 2)):
        places = runner.functions(command)
        for number, place in enumerate(random.Random(1).sample(list(places), jobs)):
            assert runner.leaks(command, place, 1, kinds[number % len(kinds)]) == set(), (command, place)


def test_the_control_is_found(naive_runner: Runner) -> None:
    place = place_of(inspect.unwrap(taking_in.judge).__code__)
    assert {"stderr"} == {file for file, _ in naive_runner.leaks("run", place, 1, "sqlalchemy")}


@pytest.mark.soak
@pytest.mark.parametrize("share", range(SHARES))
@pytest.mark.parametrize("command", COMMANDS)
def test_every_function_fails_in_turn(command: str, share: int, runner: Runner) -> None:
    found = {}
    tried = 0
    kinds = list(TROUBLES)
    for number, (place, calls) in enumerate(runner.functions(command).items()):
        if number % SHARES == share:
            for nth in range(1, min(calls, 2) + 1):
                tried += 1
                if leaks := runner.leaks(command, place, nth, kinds[(number // SHARES + nth) % len(kinds)]):
                    found[place, nth] = leaks
    print(f"{command}: {tried} calls failed, {len(found)} told something")
    assert found == {}


# --- Prefect ----------------------------------------------------------------------------------------------------------


class Flows:
    """One process that runs the flow again and again, with Prefect's own temporary API, each time over a new folder."""

    def __init__(self, world: World, folder: Path) -> None:
        self._world, self._folder, self._runs = world, folder, 0
        (folder / "temporary").mkdir(parents=True)
        self._home = folder / "prefect"
        environment = {"PREFECT_HOME": str(self._home), "TMPDIR": str(folder / "temporary")}
        self._process = subprocess.Popen(
            [sys.executable, FAILING, "flow"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
            text=True, env=os.environ | environment,
        )  # fmt: skip
        self._printed = ""

    def functions(self) -> list[str]:
        self._run(functions=str(self._folder / "functions"))
        lines = (self._folder / "functions").read_text().splitlines()
        # Nothing keeps in what these raise before their first line: they keep in the rest.
        keepers = (":reconcile_contacts", ":told_without_content")
        return [line for line in dict.fromkeys(lines) if not line.endswith(keepers)]

    def fail(self, place: str, kind: str, nth: int = 1) -> str:
        """How a run ended in which a function failed."""
        fail = {"place": place, "nth": nth, "kind": kind, "words": words_of(self._runs + 1)}
        return self._run(fail=fail)

    def fail_naively(self) -> None:
        self._answer({"naive": words_of(0)})

    def _run(self, **more: Any) -> str:
        self._runs += 1
        folder = self._folder / str(self._runs)
        shutil.copytree(self._world.folder, folder)
        return self._answer({"folder": str(folder), "as_of": AS_OF.isoformat()} | more)

    def _answer(self, job: dict[str, Any]) -> str:
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith("done: "):
                return line.removeprefix("done: ").strip()
            self._printed += line
        raise AssertionError(f"the process that runs the flows has ended: {self._printed}")

    def leaks(self) -> set[str]:
        """End the process, and search what it printed, what Prefect has kept, and the public files of all runs."""
        self._process.stdin.close()
        self._printed += self._process.stdout.read()
        assert self._process.wait(timeout=300) == 0
        assert (self._home / "prefect.db").stat().st_size > 100_000
        searched = Secrets(
            frozenset({CANARY[0]}),
            frozenset({CANARY[1]}),
            frozenset(f"{CANARY[2]}{number}@eksempel.dk" for number in range(self._runs + 1)),
        )
        reports = self._folder.glob("*/reports")
        files = files_under(self._home, self._folder / "temporary", *reports)
        left = (octets for name, content in files for octets in (name.encode(), content))
        return searched.found_in(self._printed.encode(), *left)

    def close(self) -> None:
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.fixture
def flows(world: World, tmp_path: Path) -> Iterator[Flows]:
    opened = Flows(world, tmp_path)
    yield opened
    opened.close()


@pytest.mark.soak
def test_a_flow_in_which_something_fails_ends_as_it_should(flows: Flows) -> None:
    """A few functions, each at another depth."""
    ended = [
        flows.fail(place_of(inspect.unwrap(function).__code__), kind)
        for function, kind in (
            (be_discreet, "its own"),
            (taking_in.judge, "postgresql"),
            (under_way.open_run, "chained"),
            (apply_run, "sqlalchemy"),
        )
    ]
    assert ended == ["InternalError", "completed", "completed", "InternalError"]
    assert flows.leaks() == set()


@pytest.mark.soak
@pytest.mark.parametrize("share", range(SHARES))
def test_every_function_of_the_flow_fails_in_turn(share: int, flows: Flows) -> None:
    kinds = [kind for kind in TROUBLES if kind != "interrupt"]
    chosen = list(enumerate(flows.functions()))[share::SHARES]
    for number, place in chosen:
        flows.fail(place, kinds[number % len(kinds)])
    found = flows.leaks()
    print(f"the flow: {len(chosen)} calls failed, told {found}")
    assert found == set()


@pytest.mark.soak
def test_the_control_of_the_flow_is_found(flows: Flows) -> None:
    flows.fail_naively()
    assert flows.leaks() == {CANARY[0], CANARY[1], f"{CANARY[2]}0@eksempel.dk"}


# --- a run in which nothing fails -------------------------------------------------------------------------------------


class Watch(threading.Thread):
    """Looks, while commands run, at what others can see of their processes, and at what comes into a folder."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.seen: set[bytes] = set()
        self.limits: set[bytes] = set()
        self._done = threading.Event()
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._changes = self._libc.inotify_init1(os.O_NONBLOCK)
        created_or_moved_here = 0x100 | 0x80
        assert self._libc.inotify_add_watch(self._changes, os.fsencode(folder), created_or_moved_here) > 0

    def run(self) -> None:
        while not self._done.wait(0.01):
            for process in descendants(os.getpid()):
                with suppress(OSError):
                    self.look_at(Path(f"/proc/{process}"))

    def look_at(self, process: Path) -> None:
        command, *others, limits = ((process / name).read_bytes() for name in ("cmdline", "comm", "environ", "limits"))
        self.seen.update((command, *others))
        if b"\0afstem\0" in command:
            self.limits.update(re.findall(rb"Max core file size +(\w+ +\w+)", limits))

    def end(self) -> bytes:
        """The names of what came into the folder."""
        self._done.set()
        self.join()
        with suppress(BlockingIOError):
            return os.read(self._changes, 1 << 20)
        return b""


def descendants(parent: int) -> list[int]:
    children = Path(f"/proc/{parent}/task").glob("*/children")
    found = []
    for path in children:
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                found += [child, *descendants(child)]
    return found


def afstem(workspace: Path, *words: str, **environment: str) -> tuple[int, bytes]:
    """The exit code of a command, and all that it printed."""
    command = [sys.executable, "-m", "afstem", *words]
    done = subprocess.run(
        command, cwd=workspace, env=os.environ | environment, capture_output=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


@dataclass(frozen=True)
class Night:
    """A workspace after the commands of some nights: all that they printed, and what was seen meanwhile."""

    workspace: Path
    printed: bytes
    watch: Watch
    came: bytes
    """The names of what came into the folder for temporary files"""


@pytest.fixture(scope="module")
def night(tmp_path_factory: pytest.TempPathFactory) -> Night:
    folder = tmp_path_factory.mktemp("night")
    workspace, temporary = folder / "workspace", folder / "temporary"
    temporary.mkdir()
    write_workspace(workspace, citizens=60, actors=8, dirty=0.25, seed=12)
    for extract in workspace.glob("extracts/*/*.csv"):
        number = (workspace / "reference" / "citizens.csv").read_text().splitlines()[7].partition(";")[0]
        extract.rename(extract.with_name(f"{number}-{extract.name}"))
    watch = Watch(temporary)
    watch.start()
    printed = b""
    mask = os.umask(0)
    try:
        for words in (
            ["-v", "reference", "load", "reference"],
            ["-v", "run", "--as-of", "2026-11-23", "--dry-run", "--json"],
            ["-v", "run", "--as-of", "2026-11-23", "--json"],
            ["show", "--verify"],
        ):
            where = {"TMPDIR": str(temporary), "SQLITE_TMPDIR": str(temporary)}
            code, output = afstem(workspace, *words, **where, **POISONED)
            assert code in (0, 3), output
            printed += output
    finally:
        os.umask(mask)
        came = watch.end()
    return Night(workspace, printed, watch, came)


def test_no_secret_leaves_its_three_places(night: Night) -> None:
    workspace = night.workspace
    secrets = secrets_of(workspace)
    assert len(secrets.numbers) > 40
    assert len(secrets.phones) > 20
    assert len(secrets.emails) > 20
    assert secrets.found_in(night.printed) == set()
    assert secrets.found_in(b"\n".join(night.watch.seen)) == set()
    assert any(b"afstem" in seen for seen in night.watch.seen)
    assert night.came == b"", "something was written into the folder for temporary files"
    assert any(limits.split() == [b"0", b"0"] for limits in night.watch.limits)
    of_actors = {path.name: secrets_in(path, secrets) for path in workspace.glob("extracts/*")}
    found, found_in_receipts = {}, 0
    for name, content in files_under(workspace / "reports", workspace / "var"):
        own = Path(name).relative_to(workspace)
        assert secrets.found_in(str(own).encode()) == set()
        if own.parts[0] == "var":
            continue
        told = secrets.found_in(content)
        if "receipts" in own.parts:
            found_in_receipts += len(told)
            told -= of_actors[own.parts[3]] if len(own.parts) > 3 else set()
        if told:
            found[str(own)] = told
    assert found == {}
    assert found_in_receipts > 50, "the search finds nothing even where it should"


def test_no_memory_is_written_that_nobody_has_filled(night: Night) -> None:
    """A page of Parquet once held what the memory had held before: contacts, one morning in many."""
    files = [*files_under(night.workspace / "reports")]
    assert len(files) > 100
    assert [name for name, content in files if has_poison(content)] == []


TWICE = """
import sys
import pyarrow as pa
import pyarrow.parquet as pq

names = pa.DictionaryArray.from_arrays(pa.array([0, 1] * 9, pa.int32()), pa.array(["a long name of an actor"] * 2))
pq.write_table(pa.table({"actor": names}), sys.argv[1], compression="zstd", store_schema=False)
"""


def test_memory_that_nobody_has_filled_is_found(tmp_path: Path) -> None:
    """What pyarrow makes of a dictionary that holds a text twice."""
    path = tmp_path / "twice.parquet"
    subprocess.run([sys.executable, "-c", TWICE, path], env=os.environ | POISONED, check=True, timeout=60)
    assert has_poison(path.read_bytes())


def secrets_in(folder: Path, secrets: Secrets) -> set[str]:
    return set().union(*(secrets.found_in(content) for _, content in files_under(folder)))


def test_only_their_owner_can_read_the_three_places(night: Night) -> None:
    """The commands ran with umask 000."""
    workspace = night.workspace
    places = [workspace / "var", *workspace.glob("reports/2*/receipts")]
    private = [*places, *(path for place in places for path in place.rglob("*"))]
    assert len(private) > 60
    for path in private:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


# --- troubles from outside --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.soak)])
def test_an_interrupted_run_tells_nothing(number: signal.Signals, night: Night, tmp_path: Path) -> None:
    """In the middle: when the workers are at it."""
    workspace = tmp_path / "workspace"
    shutil.copytree(night.workspace, workspace)
    for extract in workspace.glob("extracts/*/*.csv"):
        extract.write_bytes(extract.read_bytes() * 30)
    command = [sys.executable, "-m", "afstem", "-v", "run", "--json"]
    with subprocess.Popen(command, cwd=workspace, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        while not list(workspace.glob("var/landing/.runs/*/attempts/*/accepted.arrow")):
            assert process.poll() is None
            time.sleep(0.005)
        process.send_signal(number)
        printed, _ = process.communicate(timeout=300)
    assert process.returncode == (1 if number == signal.SIGINT else -number)
    assert secrets_of(workspace).found_in(printed) == set()
    assert b"Traceback" not in printed
    assert number == signal.SIGTERM or b"interrupted" in printed


PASSWORD = "hemmeligtkodeord"

STORES = {
    "nobody there": f"postgresql+psycopg://afstem:{PASSWORD}@127.0.0.1:1/afstem?connect_timeout=5",
    "no such host": f"postgresql+psycopg://afstem:{PASSWORD}@nowhere.invalid/afstem",
    "no port": f"postgresql+psycopg://afstem:{PASSWORD}@127.0.0.1:port/afstem",
    "no URL": f"postgresql+psycopg//afstem:{PASSWORD}@[::1/db",
    "a wrong option": f"postgresql+psycopg://afstem:{PASSWORD}@127.0.0.1/db?nonsense={PASSWORD}",
    "another database": f"mysql://afstem:{PASSWORD}@127.0.0.1/db",
    "SQLite with a host": f"sqlite://afstem:{PASSWORD}@127.0.0.1/db",
}


@pytest.mark.parametrize("trouble", STORES)
def test_a_password_of_the_store_is_never_printed(
    trouble: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "afstem.toml").write_text(f'[store]\nurl = "{STORES[trouble]}"\n')
    (tmp_path / "actors.toml").write_text("")
    code, *printed = in_process("-v", "run", "--json", cwd=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    assert code in (1, 2)
    assert PASSWORD not in "".join(printed)
    assert "Traceback" not in "".join(printed)


@pytest.mark.parametrize("key", ["AFSTEM_HOLD__MIN_RECORDS", "AFSTEM_STORE__COLOUR", "AFSTEM_RUN__TIMEZONE"])
def test_a_wrong_value_of_the_environment_is_not_printed(
    key: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "afstem.toml").write_text("")
    monkeypatch.setenv(key, words_of(0))
    code, *printed = in_process("run", cwd=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert canary_of(0).found_in("".join(printed).encode()) == set()


BROKEN = {
    "citizens": "personnummer;status\n{number};{words}\n",
    "relations": "personnummer;actor;kind;valid_from;valid_to\n{number};{words};own;{words};\n",
    "subscriptions": "personnummer;channel;type;valid_from;valid_to\n{number};{words};1;2026-01-01;\n",
    "contacts": "personnummer;kontaktdatatype;kontaktdata;registreret;actor\n{number};{words};x;{words};{words}\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_reference_file_is_refused_without_its_words(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "afstem.toml").write_text("")
    (tmp_path / f"{name}.csv").write_text(BROKEN[name].format(number=CANARY[0], words=words_of(0).replace(";", ",")))
    words = ("-v", "reference", "load", str(tmp_path), "--json")
    code, *printed = in_process(*words, cwd=tmp_path, capsys=capsys, monkeypatch=monkeypatch)
    assert code == 2
    assert f"{name}.csv: line " in "".join(printed)
    assert canary_of(0).found_in("".join(printed).encode()) == set()
