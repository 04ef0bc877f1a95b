"""Judge a file as `afstem check` does, in a worker within limits, and tell what that cost.

Used by everything that feeds the program hostile files: the catalogue, the mutants, the corpora.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from signal import SIGALRM

from afstem import check
from afstem.errors import AfstemError, WorkerDied
from afstem.settings import shipped
from afstem.workers import Workers

GIBIBYTE = 2**30


@dataclass(frozen=True)
class Watched:
    """What came of one file. ``verdict`` is ``read``, the reason of a 1014, or how the program failed (`failed`).

    A file that was the death of its worker is ``breaks-reader``, as it is in a run after a second worker.
    """

    file: str
    verdict: str
    records: int
    cpu_seconds: float
    peak_bytes: int
    """Of the worker's memory in RAM, all that it held before included; 0 where the worker died."""

    @property
    def failed(self) -> bool:
        """Whether it was an error of the program, or it was waited for in vain."""
        return self.verdict.startswith("!")


def watch(workers: Workers, file: Path, encoding: str = "utf-8") -> Watched:
    """Judge one file in a worker."""
    before = workers.cpu_seconds
    try:
        verdict, records, cpu_seconds, peak = workers.call(judge_and_measure, file, encoding)
    except WorkerDied as death:
        verdict = "too-costly" if death.out_of_time else "!hung" if death._by == SIGALRM else "breaks-reader"
        records, cpu_seconds, peak = 0, workers.cpu_seconds - before, 0
    return Watched(file.name, verdict, records, cpu_seconds, peak)


def judge_and_measure(file: Path, encoding: str) -> tuple[str, int, float, int]:
    """In a worker: verdict, records, CPU seconds, peak in bytes."""
    Path("/proc/self/clear_refs").write_text("5")  # proc(5): the peak begins anew
    begin = time.process_time()
    try:
        result = check._judge(file, encoding, shipped("kontaktdatatype.toml"))
    except AfstemError as error:
        verdict, records = f"!{error}", 0
    else:
        verdict = result["refused"]["reason"] if result["refused"] else "read"
        records = result["records"]
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return verdict, records, time.process_time() - begin, int(peak.split()[1]) * 1024
