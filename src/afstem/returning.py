"""Returning: which records that were rejected in an earlier run come back in this one and are accepted.

The memory of findings knows citizens by tokens, and to make one of every accepted record of a night takes as long as
all else that is done with it. So those are looked for that are of the same crowd (`masking.crowds`), a few in a
thousand, and of these alone tokens are made. Citizens of held extracts are among them: they came back as well.
"""

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from afstem import cpr_number, masking
from afstem.finding_memory import RETURNED_SCHEMA
from afstem.intake import CONTACT_TYPE_SLUGS, ExtractSummary
from afstem.reconcile import numbers_and_types
from afstem.schema import is_receipt
from afstem.staging import RunFolder, read_batches


def find_returned(
    folder: RunFolder, extracts: Iterable[ExtractSummary], waiting: pa.Table, token_key: bytes
) -> pa.Table:
    """The accepted records, in `RETURNED_SCHEMA` and each once, of citizens about whom findings are `waiting`."""
    wanted = np.zeros(masking.CROWDS, np.bool_)
    wanted[waiting["crowd"].drop_null().to_numpy()] = True
    if not wanted.any():
        return RETURNED_SCHEMA.empty_table()
    of_receipt: dict[bool, list[np.ndarray]] = {False: [], True: []}
    for extract in extracts:
        for batch in read_batches(folder.extract(extract.extract_id) / "accepted.arrow", ["contact"]):
            contacts = batch["contact"].to_numpy()
            numbers, _ = numbers_and_types(contacts)
            of_receipt[is_receipt(extract.header)].append(np.unique(contacts[wanted[numbers % masking.CROWDS]]))
    receipts, others = (np.unique(np.concatenate([np.empty(0, np.int64), *of_receipt[key]])) for key in (True, False))
    contacts = np.union1d(receipts, others)
    numbers, contact_types = numbers_and_types(contacts)
    distinct, place = np.unique(numbers, return_inverse=True)
    tokens = pa.array(masking.tokens(cpr_number.to_texts(distinct).to_pylist(), token_key), pa.string())
    returned = pa.table(
        [
            tokens.take(pa.array(place)),
            CONTACT_TYPE_SLUGS.take(pa.array(contact_types)),
            np.isin(contacts, receipts, assume_unique=True),
        ],
        schema=RETURNED_SCHEMA,
    )
    return returned.filter(pc.is_in(returned["cpr_token"], value_set=waiting["cpr_token"].combine_chunks()))
