"""One file of records for the validators: all extracts of a night, without those that no validator could read."""

from datetime import UTC, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from afstem import codelist
from afstem.decode import open_extract
from afstem.evaluate import Terms, evaluate, latest_time
from afstem.schema import NAMED_COLUMNS
from afstem.settings import shipped

ROW_GROUP = 131_072


def write_readable_records(workspace: Path, path: Path, seed: int = 1) -> int:
    """Write the readable records of a workspace in one Parquet file, shuffled; returns how many there are.

    Left out are 1014 (broken text, no number, no time: nothing to give to a framework) and 9153 (a contact type for
    which there is no check). Shuffled, so that the first part of the file is a fair sample of it.
    """
    terms = Terms(
        codelist=codelist.load(shipped("kontaktdatatype.toml")),
        zone=ZoneInfo("Europe/Copenhagen"),
        latest_time=latest_time(datetime.now(UTC)),
        knowledge=None,
    )
    parts = []
    for extract in sorted(workspace.glob("extracts/*/*.parquet")):
        for batch in open_extract(extract, extract.name, "utf-8").batches():
            findings = evaluate(batch, terms).findings
            unreadable = np.zeros(len(batch), dtype=np.bool_)
            unreadable[findings.at[np.isin(findings.code, [1014, 9153])]] = True
            parts.append(batch.select(NAMED_COLUMNS).filter(pa.array(~unreadable)))
    records = pa.concat_tables(parts)
    order = np.random.default_rng(seed).permutation(len(records))
    pq.write_table(records.take(order), path, row_group_size=ROW_GROUP, compression="zstd")
    return len(records)
