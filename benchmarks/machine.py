"""On what it was measured: machine, load, versions, commit."""

import os
import platform
import re
import subprocess
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

MEASURED_WITH = (
    "afstem",
    "pyarrow",
    "numpy",
    "pandas",
    "sqlalchemy",
    "phonenumbers",
    "email-validator",
    "pandera",
    "pointblank",
    "polars",
    "great-expectations",
)


def circumstances() -> dict[str, Any]:
    """Everything that a reader of a number wants to know beside it."""
    return {
        "measured_at": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "load": [round(load, 2) for load in os.getloadavg()],
        "processor": _first("/proc/cpuinfo", r"model name\s*:\s*(.+)"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first("/proc/meminfo", r"MemTotal:\s*(\d+)")) / 2**20),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "versions": {name: version(name) for name in MEASURED_WITH},
        "commit": _commit(),
    }


def _first(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found[1] if found else "0"


def _commit() -> str:
    here = Path(__file__).parent
    told = subprocess.run(
        ["git", "describe", "--always", "--dirty"], cwd=here, capture_output=True, text=True, check=False
    )
    return told.stdout.strip() or "unknown"
