"""Discretion: of an exception that nobody foresaw, its kind and its place in the code are told, never its words.

Its words may be personal data: a driver quotes the row that it refuses, `int` the text that is none, pydantic the value
that it was given. `errors.told_without_content` keeps them from whoever called a step; this room keeps them out of
whatever tells of exceptions that nobody catches, and of those that a library catches and logs.
"""

import logging
import re
import resource
import sys
import threading
import traceback
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import Any

from afstem.errors import said


def be_discreet() -> None:
    """Have this process, and those that it forks, tell of no exception but its kind and its place.

    Covers exceptions that reach the top of the process or of a thread, those in ``__del__`` and other callbacks,
    warnings, exceptions handed to any logger, and what a killed process leaves behind.
    """
    # A core holds all that was in memory. Programs that the kernel pipes a core to are told this limit and keep to it.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    sys.excepthook = _tell_uncaught
    sys.unraisablehook = lambda raised: _tell("ignored", raised.exc_value, raised.exc_traceback)
    threading.excepthook = lambda raised: _tell("in a thread", raised.exc_value, raised.exc_traceback)
    warnings.showwarning = _tell_warning
    # Else a log line that cannot be written is told with all that should have stood in it.
    logging.raiseExceptions = False
    logging.setLogRecordFactory(DiscreetRecord)


def print_to_stderr(text: str) -> None:
    if sys.stderr is not None:
        print(text, file=sys.stderr)  # noqa: T201 - the last resort of a process


speak: Callable[[str], None] = print_to_stderr
"""What tells of exceptions that nobody has caught, and of warnings; `logs` puts JSON in its place."""


class DiscreetRecord(logging.LogRecord):
    """A log record in which exceptions, as what is told or as what it is told with, are told without their words."""

    def __init__(
        self, name: str, level: int, pathname: str, lineno: int, msg: object, args: Any, exc_info: Any, *rest: Any,
        **named: Any,
    ) -> None:  # fmt: skip
        if isinstance(args, dict):
            args = {key: _discreet(value) for key, value in args.items()}
        elif isinstance(args, tuple):
            args = tuple(map(_discreet, args))
        super().__init__(name, level, pathname, lineno, _discreet(msg), args, None, *rest, **named)
        error = exc_info[1] if isinstance(exc_info, tuple) else None
        if error is not None:
            self.exc_text = told(error, error.__traceback__)


def told(error: BaseException, trace: TracebackType | None) -> str:
    """The place and the kind of an exception, as Python prints them but for its words and for what it came from."""
    return "".join(traceback.format_tb(trace)) + said(error)


def without_login(url: str) -> str:
    """A URL as it may be told: with nobody's name or password in it, nor what stands behind a question mark."""
    return re.sub("//[^/]*@", "//...@", url.partition("?")[0])


def _discreet(value: Any) -> Any:
    return said(value) if isinstance(value, BaseException) else value


def _tell(where: str, error: BaseException | None, trace: TracebackType | None) -> None:
    if error is not None:
        speak(f"afstem: {where}: {told(error, trace)}")


def _tell_uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    _tell("uncaught", error, trace)


def _tell_warning(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    text = f"{filename}:{lineno}: {category.__name__}"
    if file is None:
        speak(text)
    else:
        print(text, file=file)
