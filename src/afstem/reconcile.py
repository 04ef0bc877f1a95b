"""Reconcile: the accepted records of a run x what the store holds -> outcomes and the change set (SPEC 5.1, 5.3).

Who wins is decided by what was said, never by the order in which it was read: the greatest of (`registreret`, the
extract's creation time, -priority, actor id, `record_no`, digest) over the records of the run and the stored value.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from afstem.schema import ContactType, Outcome

Ints = npt.NDArray[np.int64]

NO_VALUE = -1
"""The value code of a removal, and of what is not stored."""

LOADED = -1
"""The ``extract_no`` of a stored contact that came from the reference data, not from an extract."""

OUTCOMES = tuple(Outcome)

CANDIDATE_SCHEMA = pa.schema(
    [
        ("number", pa.int64()),
        ("contact_type", pa.int8()),
        ("value", pa.string()),
        ("registered_at", pa.int64()),
        ("extract_no", pa.int64()),
        ("record_no", pa.int64()),
    ]
)
"""An accepted record, and a stored contact: CPR number, contact type, value (null: removed), microseconds UTC."""


@dataclass(frozen=True)
class Standing:
    """How extracts compare, indexed by ``extract_no``.

    ``seniority`` ranks (creation time, -priority, actor id), equal where these are equal; ``digest`` ranks the SHA-256,
    which settles what would else be a tie.
    """

    seniority: Ints
    digest: Ints


@dataclass(frozen=True)
class Settlement:
    """``outcome`` has one entry a candidate: its place in `OUTCOMES`. ``changes`` has one row for each contact whose
    stored row must be written: the winner's columns, ``changed`` (its value differs from the stored one) and
    ``before`` (the stored value), sorted by citizen and contact type."""

    outcome: npt.NDArray[np.int8]
    changes: pa.Table


def settle(candidates: pa.Table, stored: pa.Table, standing: Standing) -> Settlement:
    """Decide the winner of every (citizen, contact type).

    ``candidates`` and ``stored`` have `CANDIDATE_SCHEMA`; ``stored`` must hold the contact of every candidate
    that has one, and may hold others.
    """
    stored = stored.filter(pa.array(np.isin(_contact(stored), _contact(candidates))))
    both = pa.concat_tables([stored, candidates]).combine_chunks()
    held_before = np.arange(len(both)) < len(stored)
    contact = _contact(both)
    extract_no = both["extract_no"].to_numpy()
    from_extract = extract_no != LOADED
    order = np.lexsort(
        (
            np.where(from_extract, standing.digest[extract_no], LOADED),
            both["record_no"].to_numpy(),
            np.where(from_extract, standing.seniority[extract_no], LOADED),
            both["registered_at"].to_numpy(),
            # A loaded contact is older than any extract, whatever its time (SPEC 5.3).
            from_extract,
            contact,
        )
    )
    group_starts = np.diff(contact[order], prepend=-1) != 0
    group = np.empty(len(both), np.int64)
    group[order] = np.cumsum(group_starts) - 1
    winner = order[np.diff(contact[order], append=-1) != 0]

    value = _value_codes(both["value"])
    before = np.full(len(winner), NO_VALUE)
    before[group[held_before]] = value[held_before]
    final = value[winner]
    changed = final != before

    agrees = value == final[group]
    is_winner = np.zeros(len(both), np.bool_)
    is_winner[winner] = True
    outcome = np.select(
        [agrees & is_winner & changed[group], agrees],
        [OUTCOMES.index(Outcome.APPLIED), OUTCOMES.index(Outcome.UNCHANGED)],
        OUTCOMES.index(Outcome.SUPERSEDED),
    ).astype(np.int8)

    stored_place = np.full(len(winner), -1)
    stored_place[group[held_before]] = np.flatnonzero(held_before)
    written = ~held_before[winner]
    changes = both.take(pa.array(winner[written]))
    changes = changes.append_column("changed", pa.array(changed[written]))
    places = stored_place[written]
    changes = changes.append_column("before", both["value"].take(pa.array(places, mask=places < 0)))
    return Settlement(outcome[len(stored) :], changes)


def _contact(records: pa.Table) -> Ints:
    """One integer for (citizen, contact type)."""
    contact: Ints = records["number"].to_numpy() * len(ContactType) + records["contact_type"].to_numpy()
    return contact


def _value_codes(values: pa.ChunkedArray) -> Ints:
    """Equal numbers for equal values; `NO_VALUE` for a removal."""
    codes = values.combine_chunks().dictionary_encode().indices.fill_null(NO_VALUE)
    return codes.to_numpy().astype(np.int64)
