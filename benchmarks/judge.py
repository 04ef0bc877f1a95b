"""One validator over one file on one core: ``python -m benchmarks.judge NAME RECORDS.parquet N VERDICTS.parquet``.

Reading the file and importing the libraries are not timed; judging is. A process of its own for each, so that the peak
memory is its own too. Prints one JSON object.
"""

import importlib
import json
import os
import re
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.baselines.verdicts import Verdicts

AFSTEM = "afstem"
BASELINES = ("loop", "pandas_apply", "pandera_schema", "pointblank_steps", "great_expectations_suite")

JUDGED = ["personnummer", "kontaktdatatype", "kontaktdata"]

Judge = Callable[[], Any]


def prepare_baseline(name: str, path: Path, records: int) -> tuple[Judge, Callable[[Any], Verdicts]]:
    judge = importlib.import_module(f"benchmarks.baselines.{name}").judge
    frame = pd.DataFrame(pq.read_table(path, columns=JUDGED).slice(0, records).to_pandas())
    return lambda: judge(frame), lambda verdicts: verdicts


def prepare_afstem(path: Path, records: int) -> tuple[Judge, Callable[[Any], Verdicts]]:
    """The program's own decoding and judging, without a store: times, references and the codelist are judged too."""
    from afstem import codelist
    from afstem.decode import open_extract
    from afstem.evaluate import Terms, evaluate, latest_time
    from afstem.settings import shipped

    terms = Terms(
        codelist=codelist.load(shipped("kontaktdatatype.toml")),
        zone=ZoneInfo("Europe/Copenhagen"),
        latest_time=latest_time(datetime.now(UTC)),
        knowledge=None,
    )
    batches, left = [], records
    for batch in open_extract(path, path.name, "utf-8").batches():
        if left > 0:
            batches.append(batch.slice(0, left).combine_chunks())
            left -= len(batches[-1])

    def verdicts(judged: list[Any]) -> Verdicts:
        return Verdicts(
            np.concatenate([_at(one.findings, {1001}) for one in judged]),
            np.concatenate([_at(one.findings, {9156, 9157, 9158}) for one in judged]),
            pa.concat_arrays([one.normalised for one in judged]).to_pylist(),
        )

    return lambda: [evaluate(batch, terms) for batch in batches], verdicts


def _at(findings: Any, codes: set[int]) -> np.ndarray[Any, np.dtype[np.bool_]]:
    refused = np.zeros(len(findings.primary), dtype=np.bool_)
    refused[findings.at[np.isin(findings.code, list(codes))]] = True
    return refused


def main() -> None:
    name, source, count, target = sys.argv[1:]
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    pa.set_io_thread_count(1)
    records = min(int(count), pq.read_metadata(source).num_rows)
    prepare = prepare_afstem if name == AFSTEM else lambda *what: prepare_baseline(name, *what)
    judge, verdicts_of = prepare(Path(source), records)
    wall, cpu = time.perf_counter(), time.process_time()
    result = judge()
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    peak = 1024 * int(re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())[0])
    verdicts = verdicts_of(result)
    columns: dict[str, Any] = {"cpr_refused": verdicts.cpr_refused, "value_refused": verdicts.value_refused}
    if verdicts.normalised is not None:
        columns["normalised"] = pa.array(verdicts.normalised, pa.string())
    pq.write_table(pa.table(columns), target)
    print(json.dumps({"records": records, "wall": wall, "cpu": cpu, "peak_rss": peak}))


if __name__ == "__main__":
    main()
