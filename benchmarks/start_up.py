"""How long it takes to be told something at once."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.measure import measure
from benchmarks.nights import Program

ROUNDS = 9


def measure_start_up(programs: Sequence[Program]) -> list[dict[str, Any]]:
    """For each program, by command: seconds of wall clock in each round; programs and commands in turn."""
    taken: list[dict[str, Any]] = [{name: [] for name in _commands(program)} for program in programs]
    for _ in range(ROUNDS):
        for program, walls in zip(programs, taken, strict=True):
            for name, command in _commands(program).items():
                walls[name].append(measure(command, environment=program.environment).wall)
    return taken


def _commands(program: Program) -> dict[str, list[str | Path]]:
    return {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import pandas'": [sys.executable, "-c", "import pandas"],
        "afstem --help": program.command("--help"),
        "afstem explain 9155": program.command("explain", "9155"),
    }
