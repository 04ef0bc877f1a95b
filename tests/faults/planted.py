"""Faults that `start` plants in a run without any tool: before a call that matters the process dies, or the call fails.

What matters is what the file system and the database are left with: files made, written, brought to disk, renamed and
removed, and SQL statements. With ``serial`` the calls are the same every time.
"""

import errno
import io
import os
import re
import resource
import signal
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

CALLS = ("fsync", "rename", "replace", "unlink", "mkdir", "rmdir", "open")


def count_calls(file: str) -> None:
    """Append one byte to a file for each call."""
    counted = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _before_each_call(lambda name: os.write(counted, b"."))


def die_at(call: int) -> None:
    """Die at the call of this number, which counts from 1."""
    made = 0

    def die(name: str) -> None:
        nonlocal made
        made += 1
        if made == call:
            os.kill(os.getpid(), signal.SIGKILL)

    _before_each_call(die)


def die_before(text: str) -> None:
    """Die at the first call that matches: a function of `CALLS`, ``write PATH``, or a statement."""

    def die(name: str) -> None:
        if re.match(text, name):
            os.kill(os.getpid(), signal.SIGKILL)

    _before_each_call(die)


def log_calls(file: str) -> None:
    """Write each call into a file, a line each."""
    log = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    _before_each_call(lambda name: os.write(log, f"{name!r}\n".encode()))


def fail(text: str, error: str) -> None:
    """Let the calls that match fail like this: ``ENOSPC``."""
    number = getattr(errno, error)

    def refuse(name: str) -> None:
        if re.match(text, name):
            call, path = name.split(" ")[:2]
            told = () if call in ("fsync", "write") else (path,)  # as the system tells it
            raise OSError(number, os.strerror(number), *told)

    _before_each_call(refuse)


def limit_file_size(octets: int) -> None:
    """What `ulimit -f` does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (octets, octets))


def limit_store(pages: int) -> None:
    """Let SQLite's file grow no further than this."""
    connect = sqlite3.connect

    def connect_limited(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    sqlite3.connect = connect_limited  # type: ignore[assignment]


def _before_each_call(happens: Callable[[str], Any]) -> None:
    """Let something happen before each call, which is told as ``fsync PATH`` or as the statement."""
    from afstem import private_files

    def with_it(function: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(function)
        def call(place: Any, *arguments: Any, **options: Any) -> Any:
            places = (place, *arguments[:1]) if name.startswith("re") else (place,)
            happens(" ".join([name, *map(_path_of, places)]))
            return function(place, *arguments, **options)

        return call

    for name in CALLS:
        setattr(os, name, with_it(getattr(os, name), name))

    class Told(io.FileIO):
        def write(self, content: Any) -> int:
            happens(f"write {self.name}")
            return super().write(content)

    private_files._NewFile.__bases__ = (Told,)
    Path.write_text = with_it(Path.write_text, "write")  # type: ignore[method-assign]
    connect = sqlite3.connect

    def connect_and_listen(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection = connect(*arguments, **options)
        connection.set_trace_callback(happens)
        return connection

    sqlite3.connect = connect_and_listen  # type: ignore[assignment]


def _path_of(place: Any) -> str:
    if isinstance(place, int):
        return str(Path(f"/proc/self/fd/{place}").readlink())
    return os.fsdecode(place)


# --- naive variants of the program, in which the same death does harm -------------------------------------------------


def publish_before_the_commit() -> None:
    """The report gets its name when it is built."""
    from afstem.report import publication

    finish, publish = publication.finish, publication.publish

    def finish_and_publish(reports: Path, run_id: str) -> None:
        finish(reports, run_id)
        publish(reports, run_id)

    publication.finish = finish_and_publish


def keep_the_ledger_apart() -> None:
    """What was applied is noted in a transaction of its own, after the changes."""
    from afstem import balance
    from afstem.store import Store, apply
    from afstem.store.connection import writing

    write_extracts, apply_run = apply.write_extracts, Store.apply

    def apply_and_note(store: Store, run: Any, extracts: Any, *rest: Any, **options: Any) -> Any:
        counts = apply_run(store, run, extracts, *rest, **options)
        with writing(store._engine) as connection:
            write_extracts(connection, run.run_id, extracts)
        return counts

    apply.write_extracts = lambda *_: None
    apply.count_history = lambda connection, run_id: apply.AppliedCounts({})
    balance.check_store = lambda *_: None
    Store.apply = apply_and_note  # type: ignore[method-assign]


def bring_nothing_to_disk() -> None:
    """What is renamed and committed may still be in memory alone."""
    from afstem import private_files, pull
    from afstem.report import history, publication

    for module in (private_files, pull, history, publication):
        module.sync = lambda path: None  # type: ignore[attr-defined]


def do_not_wait_for_the_disk() -> None:
    """SQLite hands its log to the system and goes on."""
    from afstem.store import connection

    connection.SQLITE_PRAGMAS = (*connection.SQLITE_PRAGMAS, "PRAGMA synchronous = NORMAL")


def publish_in_place() -> None:
    """The report is built under its own name."""
    from afstem.report import publication

    publication.PREPARING = ""


def write_notes_in_place() -> None:
    """A file is written under its own name."""
    from afstem import private_files, pull

    def write_json(path: Path, content: Any) -> None:
        with private_files.open_private(path) as file:
            file.write(private_files.as_json(content))

    pull.write_json = write_json


NAIVE = {
    "publish before the commit": publish_before_the_commit,
    "keep the ledger apart": keep_the_ledger_apart,
    "write notes in place": write_notes_in_place,
}
