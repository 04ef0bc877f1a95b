"""Sharing: which records of a run have a value that too many citizens have (notice N3).

Counted over all accepted records of the run, also of held extracts, and what the store held of the same contacts. To
count all of the store every night would take as long as all else that is done with it.
"""

from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from afstem.intake import ExtractSummary, were_read
from afstem.notices import NOTICE_SCHEMA, notice_rows
from afstem.reconcile import numbers_and_types
from afstem.rules import SHARED_VALUE
from afstem.shared_values import Crowds, citizens_with_value
from afstem.staging import PrivateArrow, RunFolder, count_rows, read_batches

SHARED_SCHEMA = NOTICE_SCHEMA.append(pa.field("extract_id", pa.string()))

_COLUMNS = ["contact", "value", "record_no", "value_key"]
_DIFFERING_COLUMNS = ["contact", "value", "value_key"]


def notice_shared(folder: RunFolder, extracts: Iterable[ExtractSummary]) -> dict[str, int]:
    """Stage the records of a settled run that have such a value; how many there are, by the ids of the extracts."""
    accepted = [
        (extract.extract_id, folder.extract(extract.extract_id) / "accepted.arrow") for extract in were_read(extracts)
    ]
    files = [*accepted, *(("", path) for path in sorted(folder.differing.iterdir()))]
    crowds = Crowds(sum(count_rows(path) for _, path in files))
    for _, path in files:
        for batch in read_batches(path, ["value_key"]):
            crowds.count(batch["value_key"].to_numpy())
    of_extract = []
    suspected = []
    for extract_id, path in files:
        for batch in read_batches(path, _COLUMNS if extract_id else _DIFFERING_COLUMNS):
            of_extract.append(extract_id)
            suspected.append(batch.take(pa.array(crowds.suspects(batch["value_key"].to_numpy()))))
    if not any(map(len, suspected)):
        return {}
    together = pa.concat_tables([batch.select(["contact", "value"]) for batch in suspected]).combine_chunks()
    numbers, _ = numbers_and_types(together["contact"].to_numpy())
    citizens = citizens_with_value(together["value"].combine_chunks(), numbers)
    counts = Counter[str]()
    kept = []
    begin = 0
    for extract_id, batch in zip(of_extract, suspected, strict=True):
        if not extract_id:
            break  # what the store held is counted, and noticed by nobody
        of_batch = citizens[begin : begin + len(batch)]
        begin += len(batch)
        at = np.flatnonzero(of_batch)
        # The batch is sorted by contact; what is kept stands first in the extract.
        at = at[np.argsort(batch["record_no"].to_numpy()[at])]
        first = at[: max(0, SHARED_VALUE.rows_kept - counts[extract_id])]
        rows = batch.take(pa.array(first)).append_column("citizens", pa.array(of_batch[first]))
        kept.append(rows.append_column("extract_id", pa.repeat(extract_id, len(first))))
        counts[extract_id] += len(at)
    rows = pa.concat_tables(kept).combine_chunks()
    with PrivateArrow(folder.shared, SHARED_SCHEMA) as file:
        noticed = notice_rows(SHARED_VALUE, rows, rows["citizens"].to_numpy())
        file.write(noticed.append_column("extract_id", rows["extract_id"]))
    return dict(+counts)
