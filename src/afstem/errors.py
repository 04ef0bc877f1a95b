"""What stops a command, and the exit code it stops with.

Three kinds of trouble, never mixed: a *finding* is data and goes to the actor; an `AfstemError` stops the
command with one line; everything else is a bug and rises.

    AfstemError
    ├── UsageError        exit 2   wrong usage, configuration or reference data; nothing was begun
    └── RunError          exit 1   the run failed and changed nothing
        ├── StoreBusy     exit 1   another run or load holds the store
        ├── StoreFailed   exit 1   the database refuses, fails or cannot be reached
        ├── WorkerDied    exit 1   a worker process was killed, but not by a file that it was reading
        ├── ClusterFailed exit 1  the cluster cannot be reached, is not as it should be, or lost its workers
        ├── DiskTrouble   exit 1   a disk is full, read-only or broken, or a folder not ours to write into
        └── InternalError exit 1   a bug
    Unreadable            (no exit) a whole extract cannot be read: becomes the finding 1014, stops nothing
    SourceUnavailable     (no exit) an actor's source cannot be reached: told in the report, tried again
    LoginRefused          (no exit) an actor's source does not let us in: becomes the finding 1012
    ManifestRefused       (no exit) a manifest does not prove that an extract may be read: becomes its finding

Messages never hold a record's content: they name files, keys, columns and line numbers.
"""

import errno
import os
import signal
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import PurePath

DONE, DONE_WITH_REFUSALS = 0, 3
"""The exit codes of a command that nothing stops (SPEC 7)."""


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


class StoreFailed(RunError):
    """The database refused, failed or could not be reached; nothing of what its driver says about content."""


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


class ClusterFailed(RunError):
    """The cluster cannot be reached, is not set up as it should be, or its workers were lost."""


class DiskTrouble(RunError):
    """A disk does not take what is written to it; the message names the folder and what to do."""

    def __init__(self, folder: str, number: int) -> None:
        super().__init__(folder, number)
        self._folder, self._number = folder, number

    def __str__(self) -> str:
        return f"{self._folder}: {os.strerror(self._number)}: {_REMEDIES[self._number]}, and run again"

    @classmethod
    def of(cls, error: OSError) -> "DiskTrouble | None":
        """What a disk has refused; None for an `OSError` of another kind."""
        if error.errno not in _REMEDIES:
            return None
        if not error.filename:
            return cls("a disk", error.errno)
        path = os.fsdecode(error.filename)
        is_folder = os.path.isdir(path)  # noqa: PTH112 - Path.is_dir raises where it may not look
        return cls(path if is_folder else str(PurePath(path).parent), error.errno)

    @staticmethod
    def remedy(error: OSError) -> str | None:
        """What to do about what a disk has refused; None as `of`."""
        return _REMEDIES.get(error.errno or 0)


_REMEDIES = {
    errno.ENOSPC: "make room there (df tells whether blocks or, with -i, inodes are used up)",
    errno.EDQUOT: "make room there, or raise the quota",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f, LimitFSIZE=)",
    errno.EROFS: "make it writable, or name another folder in the configuration",
    errno.EACCES: "let the user that runs afstem write there",
    errno.EPERM: "let the user that runs afstem write there",
    errno.EIO: "look into the system's log, for the disk may be broken",
    errno.EMFILE: "raise the limit on open files (ulimit -n, LimitNOFILE=)",
    errno.ENFILE: "raise the system's limit on open files (fs.file-max)",
}


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


class ManifestRefused(Exception):
    """A manifest that does not prove what it should (SPEC 2.4): 1012, 1013 or 1014, with the slug of a reason."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason


class InternalError(RunError):
    """A bug, told without what its exception says: that may hold personal data."""


OURS = (AfstemError, Unreadable, SourceUnavailable, LoginRefused, ManifestRefused)
"""What this program raises on purpose, in words of its own."""


def said(error: BaseException) -> str:
    """What may be told of an exception: all that one of ours says, of any other no more than its kind."""
    return str(error) if isinstance(error, OURS) else type(error).__name__


@contextmanager
def told_without_content() -> Iterator[None]:
    """Turn an unforeseen exception into an `InternalError` that names its kind and its place in the code only.

    What a disk has refused becomes `DiskTrouble`.
    """
    try:
        yield
    except OURS:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, it must not be told
        if isinstance(error, OSError) and (trouble := DiskTrouble.of(error)):
            raise trouble from None
        frames = [frame for frame in traceback.extract_tb(error.__traceback__) if _OURS in frame.filename][-3:]
        place = " < ".join(f"{PurePath(frame.filename).name}:{frame.lineno}" for frame in reversed(frames))
        raise InternalError(f"internal error: {type(error).__name__} at {place}") from None


_OURS = str(PurePath(__file__).parent)
