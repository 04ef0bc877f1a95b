"""Runs commands of the program, each in a forked process of its own, and has one function of it fail on the way.

    python failing.py [naive | flow]

reads one job a line on standard input, as JSON, and answers each with a line: the exit code of the command.

A job names the ``words`` of the command, the ``folder`` to run in, and where ``stdout``, ``stderr`` and temporary files
go. ``functions`` is a file that gets a line for each function of the program that is called, and another where it is
called again. ``fail`` says which of them fails: ``place`` (a line of that file), ``nth`` (at which of its calls),
``kind`` (a key of `TROUBLES`) and ``words``, which stand wherever an exception can hold words.

With ``flow`` the jobs run one after the other in this process, as runs of the Prefect flow with Prefect's own temporary
API; a job without a folder is a flow that simply fails. With ``naive`` the program is as one would write it first: what
goes wrong is logged, what nobody catches is printed.
"""

import json
import os
import sqlite3
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

OURS = str(Path(__file__).parents[2] / "src" / "afstem")
FLOW = str(Path(__file__).parents[2] / "flows")


def place_of(code: CodeType) -> str:
    return f"{Path(code.co_filename).name}:{code.co_firstlineno}:{code.co_qualname}"


# --- what can go wrong ------------------------------------------------------------------------------------------------


def chained(words: str) -> BaseException:
    try:
        try:
            raise ValueError(words)
        except ValueError as error:
            raise KeyError(words) from error
    except KeyError as error:
        error.add_note(words)
        return error


def group(words: str) -> BaseException:
    return ExceptionGroup(words, [ValueError(words), ExceptionGroup(words, [chained(words)])])


def pydantic_error(words: str) -> BaseException:
    from pydantic import TypeAdapter, ValidationError

    try:
        TypeAdapter(dict[str, int]).validate_python({words: words})
    except ValidationError as error:
        return error
    raise AssertionError("pydantic took it")


def statement_error(words: str) -> BaseException:
    from sqlalchemy.exc import IntegrityError

    return IntegrityError(
        f"INSERT INTO contact_rows VALUES ('{words}')", {"value": words}, sqlite3.IntegrityError(words)
    )


def postgresql_error(words: str) -> BaseException:
    from psycopg.errors import UniqueViolation

    return UniqueViolation(f'duplicate key value violates unique constraint "pk_contact_rows"\nDETAIL:  {words}')


def adbc_error(words: str) -> BaseException:
    from adbc_driver_manager import AdbcStatusCode, OperationalError

    return OperationalError(words, status_code=AdbcStatusCode.INTERNAL, sqlstate="XX000")


def arrow_error(words: str) -> BaseException:
    import pyarrow as pa

    return pa.ArrowInvalid(f"In CSV column #2: CSV conversion error to int64: invalid value '{words}'")


class WithWordsEverywhere(Exception):
    def __init__(self, words: str) -> None:
        super().__init__(words)
        self.words = words

    def __str__(self) -> str:
        return self.words

    __repr__ = __str__


class Deleted:
    """Raises where nobody can catch it."""

    def __init__(self, words: str) -> None:
        self.words = words

    def __del__(self) -> None:
        raise ValueError(self.words)


def in_del(words: str) -> None:
    Deleted(words)


def in_a_thread(words: str) -> None:
    def fail() -> None:
        raise ValueError(words)

    thread = threading.Thread(target=fail)
    thread.start()
    thread.join()


def warning(words: str) -> None:
    warnings.warn(words, stacklevel=2)


def logged_by_a_library(words: str) -> None:
    import logging

    try:
        raise ValueError(words)
    except ValueError as error:
        logging.getLogger("sqlalchemy.pool").error("Exception terminating connection %r", error, exc_info=True)
        logging.getLogger("concurrent.futures").critical(error, exc_info=error)


TROUBLES: dict[str, Callable[[str], BaseException | None]] = {
    "chained": chained,
    "group": group,
    "its own": WithWordsEverywhere,
    "pydantic": pydantic_error,
    "sqlalchemy": statement_error,
    "sqlite": sqlite3.IntegrityError,
    "postgresql": postgresql_error,
    "adbc": adbc_error,
    "arrow": arrow_error,
    "encoding": lambda words: UnicodeDecodeError("utf-8", words.encode(), 0, 1, words),
    "no such file": lambda words: FileNotFoundError(2, "No such file or directory", words),
    "not allowed": lambda words: PermissionError(13, "Permission denied", words),
    "memory": MemoryError,
    "recursion": RecursionError,
    "assertion": AssertionError,
    "interrupt": KeyboardInterrupt,
    "in __del__": in_del,
    "in a thread": in_a_thread,
    "a warning": warning,
    "logged by a library": logged_by_a_library,
}
"""What makes an exception that holds words, or tells it where nobody catches it and gives none."""


# --- watching functions -----------------------------------------------------------------------------------------------

Watcher = Callable[[FrameType, str, Any], None]
"""What is called at each call of a function, and watches nothing within it; it may raise."""


class Recorder:
    """Writes down every function of the program at its first and its second call, in all threads and forked
    processes."""

    def __init__(self, file: Path) -> None:
        self._descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._calls: Counter[CodeType] = Counter()

    def __call__(self, frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if self._calls[code] < 2:
            self._calls[code] += 1
            if code.co_filename.startswith((OURS, FLOW)):
                os.write(self._descriptor, place_of(code).encode() + b"\n")


def failing(place: str, nth: int, kind: str, words: str) -> Watcher:
    """What raises at one call of one function."""
    left = nth
    others: dict[int, CodeType] = {}
    """By their identity, for a code object is hashed with all that is in it, and some are called a million times."""

    def watch_call(frame: FrameType, event: str, _: Any) -> None:
        nonlocal left
        code = frame.f_code
        if id(code) in others:
            return
        if not (code.co_filename.startswith((OURS, FLOW)) and place_of(code) == place):
            others[id(code)] = code
            return
        left -= 1
        if left == 0 and (trouble := TROUBLES[kind](words)) is not None:
            raise trouble

    return watch_call


def watch(job: dict[str, Any]) -> None:
    """From here on, in this thread and those that it starts, at each call of a function."""
    watcher: Watcher | None = None
    if "fail" in job:
        watcher = failing(**job["fail"])
    elif "functions" in job:
        watcher = Recorder(Path(job["functions"]))
    threading.settrace(watcher)
    sys.settrace(watcher)


# --- running ----------------------------------------------------------------------------------------------------------


def be_naive() -> None:
    """Before anything else is imported: log what goes wrong, as everybody does."""
    import logging

    from afstem import discretion, errors

    @contextmanager
    def told() -> Iterator[None]:
        try:
            yield
        except Exception as error:
            logging.getLogger("naive").exception("failed: %s", error)
            raise

    errors.told_without_content = told
    discretion.be_discreet = lambda: None


def run(job: dict[str, Any], is_naive: bool) -> None:
    from afstem import cli, taking_in

    os.chdir(job["folder"])
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(job[name], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), descriptor)
    os.environ["TMPDIR"] = tempfile.tempdir = job["temporary"]
    sys.argv = ["afstem", *job["words"]]
    taking_in.WORTH_A_WORKER = 0
    watch(job)
    start = cli.commands if is_naive else cli.console
    start()


def run_flows() -> None:
    sys.path.insert(0, FLOW)
    import reconcile
    from prefect import flow
    from prefect.settings import temporary_settings

    @flow
    def naive(words: str) -> None:
        raise ValueError(words)

    with temporary_settings(reconcile.WITHOUT_A_SERVER):
        for line in sys.stdin:
            job = json.loads(line)
            watch(job)
            try:
                if "folder" in job:
                    reconcile.reconcile_contacts(f"{job['folder']}/afstem.toml", job["as_of"])
                else:
                    naive(job["naive"])
                told = "completed"
            except BaseException as error:  # noqa: BLE001 - whatever was injected
                told = type(error).__name__
            finally:
                sys.settrace(None)
                threading.settrace(None)
            print(f"done: {told}", flush=True)


def main() -> None:
    if sys.argv[1:] == ["flow"]:
        run_flows()
        return
    is_naive = sys.argv[1:] == ["naive"]
    if is_naive:
        be_naive()
    # What every command imports: imported once, and not by each.
    from afstem import check, cli, explain, pipeline, progress  # noqa: F401
    from afstem.report import build, pages, publication, receipts, rejections  # noqa: F401

    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            run(json.loads(line), is_naive)
        _, status = os.waitpid(process, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


if __name__ == "__main__":
    main()
