"""A lock that is a file: it belongs to the process, and the kernel releases it when that dies, however it dies.

So nobody ever has to remove one by hand. The file stays; whether it is locked is not a matter of its being there.
"""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from afstem.errors import DiskTrouble, RunError, StoreBusy

SECONDS_BETWEEN_TRIES = 0.1

StillHeld = Callable[[], None]
"""Returns if a lock is still held, raises `RunError` if it was lost."""


@contextmanager
def held_alone(path: Path, wait_seconds: float, on_wait: Callable[[], None], what: str) -> Iterator[StillHeld]:
    """Hold the lock; ``on_wait`` is called once if another process has it. Raises `StoreBusy` as `wait_for` does."""

    def still_held() -> None:
        # Whoever takes the file away by hand lets the next one lock another file of that name.
        if not path.exists() or not os.path.samestat(path.stat(), os.fstat(descriptor)):
            raise RunError(f"{path} was taken away while it was held: nothing was changed, run again")

    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise (DiskTrouble.of(error) or error) from None
    try:

        def try_lock() -> bool:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        wait_for(try_lock, wait_seconds, on_wait, what)
        yield still_held
    finally:
        os.close(descriptor)


def wait_for(attempt: Callable[[], bool], wait_seconds: float, on_wait: Callable[[], None], what: str) -> None:
    """Try until it succeeds; raises `StoreBusy`, which says that ``what`` is held, after ``wait_seconds``."""
    deadline = time.monotonic() + wait_seconds
    if attempt():
        return
    on_wait()
    while not attempt():
        if time.monotonic() >= deadline:
            raise StoreBusy(
                f"another run or reference load holds {what} (waited {wait_seconds:g} s): try again when it is done"
            )
        time.sleep(SECONDS_BETWEEN_TRIES)
