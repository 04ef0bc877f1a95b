"""Validation alone, one core: the program beside a loop over the libraries and the frameworks that wrap one."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from benchmarks.judge import AFSTEM, BASELINES
from benchmarks.measure import measure
from benchmarks.nights import Nights, Size, scaled
from benchmarks.readable_records import write_readable_records

DIRT = (0.0, 0.03, 0.10, 0.30)
TITLES = {
    AFSTEM: "afstem",
    "loop": "straight loop over the libraries",
    "pandas_apply": "pandas `apply`",
    "pandera_schema": "pandera",
    "pointblank_steps": "Pointblank",
    "great_expectations_suite": "Great Expectations",
}


def measure_validation(nights: Nights, size: Size, part: int, rounds: int) -> dict[str, Any]:
    """Everybody over the same file; the baselines over its first ``part``, which is a fair sample of it."""
    records = records_of(nights, size)
    rows = _measure_all(records, [AFSTEM, *BASELINES], part, rounds)
    sensitivity = {}
    smaller = scaled(size, min(size.records, 250_000))
    for dirty in DIRT:
        night = Size(**{**vars(smaller), "dirty": dirty})
        sensitivity[str(dirty)] = _measure_all(records_of(nights, night), [AFSTEM, "loop"], part // 2, rounds)
    return {"rows": rows, "sensitivity": sensitivity}


def records_of(nights: Nights, size: Size) -> Path:
    workspace = nights.night(size, "parquet")
    path = workspace / "readable.parquet"
    if not path.is_file():
        write_readable_records(workspace, path)
    return path


def _measure_all(records: Path, names: Sequence[str], part: int, rounds: int) -> dict[str, Any]:
    """By name: records, seconds of CPU and of wall clock in each round, peak memory, whether it gives the value."""
    verdicts = {name: records.with_name(f"verdicts-{name}.parquet") for name in names}
    results: dict[str, Any] = {name: {"wall": [], "cpu": []} for name in names}
    for _ in range(rounds):
        for name in names:
            count = pq.read_metadata(records).num_rows if name == AFSTEM else part
            command: list[str | Path] = [
                sys.executable,
                "-m",
                "benchmarks.judge",
                name,
                records,
                str(count),
                verdicts[name],
            ]
            said = json.loads(measure(command, cwd=Path(__file__).parents[1]).stdout.splitlines()[-1])
            results[name]["wall"].append(said["wall"])
            results[name]["cpu"].append(said["cpu"])
            results[name] |= {"records": said["records"], "peak_rss": said["peak_rss"]}
            print(f"validation: {name}: {said['records'] / said['cpu']:,.0f} records a second of CPU", flush=True)
    loop = pq.read_table(verdicts["loop"])
    for name in names:
        theirs = pq.read_table(verdicts[name]).slice(0, len(loop))
        same = {column: theirs[column].equals(loop[column].slice(0, len(theirs))) for column in theirs.column_names}
        if not all(same.values()):
            raise AssertionError(f"{name} and the loop judge differently: {same}")
        results[name]["normalises"] = "normalised" in same
    return results
