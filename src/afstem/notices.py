"""Notices: what is accepted all the same, but looks wrong (SPEC 4.6); found among accepted records, never rejecting.

All are counted; of each notice and extract as many rows are kept as its row in `rules.NOTICES` says, those that stand
first in the extract, with everything in them masked.
"""

import numpy as np
import pyarrow as pa

from afstem import email_domains, masking
from afstem.evaluate import Judged
from afstem.reconcile import numbers_and_types
from afstem.rules import NOTICES, Notice
from afstem.schema import ContactType
from afstem.text_bytes import Ints
from afstem.text_keys import without_nulls

NOTICE_SCHEMA = pa.schema(
    [
        ("record_no", pa.int64()),
        ("cpr_masked", pa.string()),
        ("contact_type", pa.string()),
        ("value", pa.string()),
        ("code", pa.string()),
        ("citizens", pa.int64()),
        ("suggestion", pa.string()),
    ]
)
"""A notice as the report may show it: the accepted value as a shape, of N3 how many citizens have it, of N2 the domain
that was probably meant."""

_SLUGS = pa.array([member.slug for member in ContactType])


def take_notice(judged: Judged) -> dict[str, Ints]:
    """Where each notice that a record alone tells holds among the accepted records of a batch, by code."""
    accepted = judged.findings.primary == 0
    found = {}
    for notice in NOTICES:
        if notice.predicate is None:
            continue
        if notice.looks_at is None:
            at = np.flatnonzero(accepted)
            found[notice.code] = at[notice.predicate(judged.columns.number[at])]
        else:
            given, values = judged.given[notice.looks_at]
            at = given[notice.predicate(without_nulls(values))]  # what is null is not accepted
            found[notice.code] = at[accepted[at]]
    return found


def notice_rows(notice: Notice, records: pa.Table, citizens: Ints | None = None) -> pa.Table:
    """The rows, in `NOTICE_SCHEMA`, of accepted records (the columns of `reconcile.CANDIDATE_SCHEMA`); ``citizens``
    stand beside them."""
    number, contact_type = numbers_and_types(records["contact"].to_numpy())
    accepted = records["value"].combine_chunks()
    values = accepted.to_pylist() if notice.about_value else [None] * len(records)
    meant = [email_domains.meant(value.rpartition("@")[2]) if value else None for value in values]
    return pa.table(
        {
            "record_no": records["record_no"],
            "cpr_masked": masking.mask_cpr(accepted, number),
            "contact_type": _SLUGS.take(pa.array(contact_type)),
            "value": pa.array([value and masking.display_accepted(value) for value in values], pa.string()),
            "code": pa.repeat(notice.code, len(records)),
            "citizens": pa.nulls(len(records), pa.int64()) if citizens is None else pa.array(citizens),
            "suggestion": pa.array(meant, pa.string()),
        }
    )
