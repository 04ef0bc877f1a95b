"""Check: an actor tries its own extract before sending it; everything that needs no store."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from afstem import clock
from afstem import codelist as codelists
from afstem.decode import is_extract_name, open_extract
from afstem.errors import Unreadable, UsageError
from afstem.evaluate import Terms, evaluate, latest_time
from afstem.intake import count
from afstem.settings import RunSettings, shipped

FIRST_FINDINGS = 20
"""How many findings are told one by one."""


def check_file(
    file: Path, encoding: str, codelist: Path | None, on_records: Callable[[int], None] = lambda records: None
) -> dict[str, Any]:
    """Judge an extract without a store.

    Gives ``file``, ``records``, ``rejected`` (records), ``findings`` by code, the ``first`` findings one by one
    (``record_no``, ``code``, ``reason``), and ``refused`` (``code``, ``reason``) for a file that cannot be read.
    """
    if not file.is_file():
        raise UsageError(f"{file}: no such file")
    if not is_extract_name(file.name):
        raise UsageError(f"{file}: an extract's name ends in .csv, .csv.gz, .jsonl, .jsonl.gz or .parquet")
    terms = Terms(
        codelist=codelists.load(codelist or shipped("kontaktdatatype.toml")),
        zone=ZoneInfo(RunSettings().timezone),
        latest_time=latest_time(clock.now()),
        knowledge=None,
    )
    result: dict[str, Any] = {"file": file.name, "records": 0, "rejected": 0, "refused": None, "first": []}
    findings: Counter[int] = Counter()
    try:
        for batch in open_extract(file, file.name, encoding).batches():
            found = evaluate(batch, terms).findings
            result["records"] += len(batch)
            result["rejected"] += int((found.primary != 0).sum())
            findings += count(found.code)
            wanted = FIRST_FINDINGS - len(result["first"])
            record_no = batch["record_no"].to_numpy()
            result["first"] += [
                {"record_no": int(record_no[at]), "code": int(code), "reason": str(reason)}
                for at, code, reason in zip(found.at[:wanted], found.code[:wanted], found.reason[:wanted], strict=True)
            ]
            on_records(len(batch))
    except Unreadable as unreadable:
        result |= {"records": 0, "rejected": 0, "first": [], "refused": {"code": 1014, "reason": unreadable.reason}}
        findings = Counter({1014: 1})
    return result | {"findings": {str(code): findings[code] for code in sorted(findings)}}
