"""Check: an actor tries its own extract before sending it; everything that needs no store."""

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa

from afstem import clock
from afstem import codelist as codelists
from afstem.decode import is_extract_name, open_extract
from afstem.errors import Unreadable, UsageError, WorkerDied, told_without_content
from afstem.evaluate import Terms, evaluate, latest_time
from afstem.intake import BREAKS_READER, TOO_COSTLY, count
from afstem.masking import tell_file_name
from afstem.notices import take_notice
from afstem.rules import SHARED_VALUE
from afstem.settings import RunSettings, shipped
from afstem.shared_values import Crowds, citizens_with_value
from afstem.text_bytes import Ints
from afstem.text_keys import text_keys
from afstem.workers import count_records, limited, workers

FIRST_FINDINGS = 20
"""How many findings are told one by one."""


def check_file(
    file: Path, encoding: str, codelist: Path | None, on_records: Callable[[int], None] = lambda records: None
) -> dict[str, Any]:
    """Judge an extract without a store, in a worker: as in a run, what the file may cost is limited.

    No other thread may be running. Gives ``file``, ``records``, ``rejected`` (records), ``findings`` and
    ``notices`` by code, the ``first`` findings one by one (``record_no``, ``code``, ``reason``, ``suggestion``: its
    kind), and ``refused`` (``code``, ``reason``) for a file that cannot be read.
    """
    if not file.is_file():
        raise UsageError(f"{tell_file_name(str(file))}: no such file")
    if not is_extract_name(file.name):
        raise UsageError(
            f"{tell_file_name(str(file))}: an extract's name ends in .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet"
        )
    with workers(1, "fork", on_records) as beside:
        try:
            result = beside.call(_judge, file, encoding, codelist or shipped("kontaktdatatype.toml"))
        except WorkerDied as death:
            result = _refused(TOO_COSTLY if death.out_of_time else BREAKS_READER)
    return {"file": tell_file_name(file.name)} | result


@told_without_content()
def _judge(file: Path, encoding: str, codelist: Path) -> dict[str, Any]:
    terms = Terms(
        codelist=codelists.load(codelist),
        zone=ZoneInfo(RunSettings().timezone),
        latest_time=latest_time(clock.now()),
        knowledge=None,
    )
    result: dict[str, Any] = {"records": 0, "rejected": 0, "refused": None, "first": []}
    findings, notices = Counter[int](), Counter[str]()
    told = []
    try:
        with limited(file.stat().st_size):
            for batch in open_extract(file, file.name, encoding).batches():
                judged = evaluate(batch, terms)
                found = judged.findings
                notices.update({code: len(at) for code, at in take_notice(judged).items()})
                accepted = np.flatnonzero(found.primary == 0)
                told.append((judged.columns.number[accepted], judged.normalised.take(pa.array(accepted))))
                result["records"] += len(batch)
                result["rejected"] += int((found.primary != 0).sum())
                findings += count(found.code)
                wanted = FIRST_FINDINGS - len(result["first"])
                record_no = batch["record_no"].to_numpy()
                result["first"] += [
                    {
                        "record_no": int(record_no[at]),
                        "code": int(code),
                        "reason": str(reason),
                        "suggestion": suggestion and suggestion.kind,
                    }
                    for at, code, reason, suggestion in zip(
                        *(column[:wanted] for column in (found.at, found.code, found.reason, found.suggestion)),
                        strict=True,
                    )
                ]
                count_records(len(batch))
    except Unreadable as unreadable:
        return _refused(unreadable.reason)
    except MemoryError:
        return _refused(TOO_COSTLY)
    notices[SHARED_VALUE.code] = _with_shared_value(told)
    return result | {
        "findings": {str(code): findings[code] for code in sorted(findings)},
        "notices": dict(sorted((+notices).items())),
    }


def _with_shared_value(told: Sequence[tuple[Ints, pa.StringArray]]) -> int:
    """How many records have a value that too many citizens of the file have; ``told`` are the accepted ones."""
    values = pa.chunked_array([values for _, values in told], pa.string()).combine_chunks()
    keys = text_keys(values)
    crowds = Crowds(len(keys))
    crowds.count(keys)
    at = crowds.suspects(keys)
    citizens = np.concatenate([np.empty(0, np.int64), *(citizens for citizens, _ in told)])
    return int(np.count_nonzero(citizens_with_value(values.take(pa.array(at)), citizens[at])))


def _refused(reason: str) -> dict[str, Any]:
    refused = {"code": 1014, "reason": reason}
    findings = {"1014": 1}
    return {"records": 0, "rejected": 0, "refused": refused, "first": [], "findings": findings, "notices": {}}
