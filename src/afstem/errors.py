"""What stops a command, and the exit code it stops with.

Three kinds of trouble, never mixed: a *finding* is data and goes to the actor; an `AfstemError` stops the
command with one line; everything else is a bug and rises.

    AfstemError
    ├── UsageError        exit 2   wrong usage, configuration or reference data; nothing was begun
    └── RunError          exit 1   the run failed and changed nothing
        ├── StoreBusy     exit 1   another run or load holds the store
        ├── WorkerDied    exit 1   a worker process was killed, but not by a file that it was reading
        └── InternalError exit 1   a bug
    Unreadable            (no exit) a whole extract cannot be read: becomes the finding 1014, stops nothing
    SourceUnavailable     (no exit) an actor's source cannot be reached: told in the report, tried again
    LoginRefused          (no exit) an actor's source does not let us in: becomes the finding 1012

Messages never hold a record's content: they name files, keys, columns and line numbers.
"""

import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath


class AfstemError(Exception):
    """Stops the command with one line on standard error; the message says what to do."""

    exit_code = 1


class UsageError(AfstemError):
    """Wrong usage, configuration or reference data."""

    exit_code = 2


class RunError(AfstemError):
    """The run failed; its changes are not in the store."""


class StoreBusy(RunError):
    """Another run or reference load holds the store's lock."""


class WorkerDied(RunError):
    """A worker process ended before its work was done, by a signal or (None) in another way."""

    def __init__(self, by: int | None = None) -> None:
        super().__init__("a worker process was killed, perhaps for want of memory: nothing was changed, run again")
        self._by = by

    @property
    def out_of_time(self) -> bool:
        """It used more CPU than the file it was reading may cost (`workers.limited`)."""
        return self._by == signal.SIGPROF

    @property
    def killed_from_outside(self) -> bool:
        """By a person, or by the system for want of memory, but not by what it was doing."""
        return self._by in (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)


class Unreadable(Exception):
    """An extract that is not what its name says (SPEC 4.1, code 1014).

    `reason` is a slug such as ``gzip``, ``header-missing-column`` or ``parquet``; never content of the file.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class SourceUnavailable(Exception):
    """The source cannot be reached (SPEC 4.1): no code, retried next run. `reason` is a slug.

    ``transient``: worth another try within this run; the network may come back, a missing folder will not.
    """

    def __init__(self, reason: str, *, transient: bool) -> None:
        super().__init__(reason)
        self.reason = reason
        self.transient = transient


class LoginRefused(Exception):
    """The source does not let us in (SPEC 4.1, code 1012)."""


class InternalError(RunError):
    """A bug, told without what its exception says: that may hold personal data."""


@contextmanager
def told_without_content() -> Iterator[None]:
    """Turn an unforeseen exception into an `InternalError` that names its kind and its place in the code only."""
    try:
        yield
    except (AfstemError, Unreadable, SourceUnavailable, LoginRefused):
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be told
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in frame.filename][-3:]
        place = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        raise InternalError(f"internal error: {type(error).__name__} at {place}") from None


_OURS = str(PurePath(__file__).parent)
