"""How long it takes to be told something at once."""

import sys
from pathlib import Path
from typing import Any

from benchmarks.measure import measure
from benchmarks.nights import Program

ROUNDS = 9


def measure_start_up(program: Program) -> dict[str, Any]:
    """By command: seconds of wall clock in each round, the commands in turn."""
    commands: dict[str, list[str | Path]] = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import pandas'": [sys.executable, "-c", "import pandas"],
        "afstem --help": program.command("--help"),
        "afstem explain 9155": program.command("explain", "9155"),
    }
    taken: dict[str, Any] = {name: [] for name in commands}
    for _ in range(ROUNDS):
        for name, command in commands.items():
            taken[name].append(measure(command, environment=program.environment).wall)
    return taken
