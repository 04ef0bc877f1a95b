"""Faults that strace plants: death at, or an error from, the N-th system call of one kind. For soak tests alone."""

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest

from faults.undisturbed import TIMEOUT_SECONDS, Cold, Workspace

CHANGING = (
    *("write", "pwrite64", "sendfile", "ftruncate", "fsync", "fdatasync"),
    *("openat", "rename", "unlink", "unlinkat", "mkdir", "rmdir", "chmod"),
)
"""The system calls by which a run changes what stands on a disk. ``openat`` where it makes a file."""

_CALL = re.compile(r"\d+ +(\w+)\((.*)")


def strace(*options: str) -> list[str]:
    """The beginning of a command that runs the rest of it under strace."""
    if shutil.which("strace") is None:
        pytest.fail("strace is missing: apt-get install strace (soak tests alone need it)", pytrace=False)
    return ["strace", "--follow-forks", "--quiet=all", *options]


def calls_made(command: list[str], environment: Mapping[str, str], log: Path, *options: str) -> list[tuple[str, int]]:
    """Run a command to its end, and tell the changing calls that it makes: (name, which of that name), in order."""
    traced = [*strace("--output", str(log), "--trace", ",".join(CHANGING), *options), *command]
    subprocess.run(traced, env=environment, capture_output=True, timeout=TIMEOUT_SECONDS, check=False)
    made: Counter[str] = Counter()
    points = []
    for line in log.read_text(errors="replace").splitlines():
        found = _CALL.match(line)
        if found is None:
            continue
        made[found[1]] += 1
        if "O_CREAT" in found[2] if found[1] == "openat" else "= -1" not in found[2]:
            points.append((found[1], made[found[1]]))
    return points


def execute(workspace: Workspace, command: list[str], call: str, fault: str) -> "subprocess.CompletedProcess[str]":
    """Run a command, in whose calls of this name strace plants a fault: ``signal=SIGKILL:when=3``."""
    options = ["--output", "/dev/null", "--trace", call, "--inject", f"{call}:{fault}"]
    if isinstance(workspace.starter, Cold):
        return workspace.execute([*strace(*options), *command])
    traced = [*strace(*options), "--attach", str(workspace.begin(command, traced=True))]
    with subprocess.Popen(traced, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL):
        return workspace.end()
