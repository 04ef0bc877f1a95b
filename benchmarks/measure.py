"""Run a command and say what it took: wall clock, CPU of the whole process tree, and memory in two ways."""

import os
import re
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

SAMPLED_EVERY = 0.05
_PSS = re.compile(rb"^Pss:\s+(\d+) kB", re.MULTILINE)
_PEAK = re.compile(rb"^VmHWM:\s+(\d+) kB", re.MULTILINE)


@dataclass(frozen=True)
class Measured:
    """What a command took and said. Seconds and bytes.

    ``largest`` is the peak of the largest single process; ``together`` the peak of the whole tree, each shared page
    counted once (PSS), and None unless that was asked for.
    """

    wall: float
    cpu: float
    largest: int
    together: int | None
    stdout: str
    stderr: str


class CommandFailed(Exception):
    """With the end of what it wrote to standard error."""


# As a user has it: compiled modules are kept.
_USUAL_ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def measure(
    command: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    environment: Mapping[str, str] | None = None,
    watched: bool = False,
) -> Measured:
    """Run a command to its end. ``watched`` adds up the memory of its tree, which slows it: do not time that run."""
    with tempfile.TemporaryFile() as stdout, tempfile.TemporaryFile() as stderr:
        begun = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd,
            env={**_USUAL_ENVIRONMENT, **(environment or {})},
            stdout=stdout,
            stderr=stderr,
        )
        watch = _Watch(process.pid, together=watched)
        # wait4 tells of the process and of all its children that were waited for.
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begun
        process.returncode = os.waitstatus_to_exitcode(status)
        watch.stop()
        said = [_content(stdout), _content(stderr)]
    if process.returncode != 0:
        raise CommandFailed(f"{' '.join(map(str, command))}: exit code {process.returncode}\n{said[1][-2000:]}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, watch.largest, watch.together if watched else None, *said)


def median(values: Sequence[float]) -> float:
    return float(statistics.median(values))


def _content(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode("utf-8", "replace")


class _Watch(threading.Thread):
    """Samples the memory of a process and its descendants until it is stopped.

    Not `ru_maxrss`: a child begins with the peak of the process that started it, and that is this one.
    """

    def __init__(self, pid: int, *, together: bool) -> None:
        super().__init__(daemon=True)
        self._pid, self._adds_up, self._ended = pid, together, threading.Event()
        self.largest = self.together = 0
        self.start()

    def run(self) -> None:
        while not self._ended.wait(SAMPLED_EVERY):
            pids = list(_tree(self._pid))
            self.largest = max(self.largest, *(_kilobytes(f"/proc/{pid}/status", _PEAK) for pid in pids))
            if self._adds_up:
                self.together = max(self.together, sum(_kilobytes(f"/proc/{pid}/smaps_rollup", _PSS) for pid in pids))

    def stop(self) -> None:
        self._ended.set()
        self.join()


def _tree(pid: int) -> Iterator[int]:
    yield pid
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            for child in children.read_text().split():
                yield from _tree(int(child))
        except OSError:  # the thread has just ended
            continue


def _kilobytes(path: str, pattern: re.Pattern[bytes]) -> int:
    try:
        found = pattern.search(Path(path).read_bytes())
    except OSError:  # the process has just ended
        return 0
    return int(found[1]) * 1024 if found else 0
