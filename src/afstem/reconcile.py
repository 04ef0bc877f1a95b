"""Reconcile: the accepted records of a run x what the store holds -> outcomes and the change set (SPEC 5.1, 5.3).

Who wins is decided by what was said, never by the order in which it was read: the greatest of (`registreret`, the
extract's creation time, -priority, actor id, `record_no`, digest) over the records of the run and the stored value.

Most contacts have one record and one stored row, so these are compared side by side; only where several records tell
of one contact are they ranked.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.schema import ContactType, Outcome

Ints = npt.NDArray[np.int64]
Bools = npt.NDArray[np.bool_]

OUTCOMES = tuple(Outcome)
APPLIED, UNCHANGED, SUPERSEDED = map(OUTCOMES.index, (Outcome.APPLIED, Outcome.UNCHANGED, Outcome.SUPERSEDED))

LOADED = -1
"""The seniority and the digest of what came from the reference data: older than any extract (SPEC 5.3)."""

CANDIDATE_SCHEMA = pa.schema(
    [
        ("contact", pa.int64()),
        ("value", pa.string()),
        ("registered_at", pa.int64()),
        ("source_no", pa.int64()),
        ("record_no", pa.int64()),
    ]
)
"""An accepted record, and a stored contact: which contact (`contact_numbers`), value (null: removed), microseconds UTC,
and where it comes from."""


@dataclass(frozen=True)
class Standing:
    """How sources compare, indexed by ``source_no``.

    ``seniority`` ranks (creation time, -priority, actor id), equal where these are equal; ``digest`` ranks the SHA-256,
    which settles what would else be a tie; both are `LOADED` for reference data. ``actor`` tells actors apart.
    """

    seniority: Ints
    digest: Ints
    actor: Ints


@dataclass(frozen=True)
class Settlement:
    """What became of the candidates, and what of the store must be written.

    ``outcome`` has one entry a candidate: its place in `OUTCOMES`. ``changes`` has one row for each contact whose
    stored row must be written: the winner's columns, ``changed`` (its value differs from the stored one) and
    ``before`` (the stored value). ``confirmed`` has the winners' ``contact``, ``source_no`` and ``record_no`` where the
    stored row can stay as it is: the same actor says the same again, of the same time. ``differing`` has the stored
    ``contact`` and ``value`` where the winner of the run says something else. All are sorted by contact.
    """

    outcome: npt.NDArray[np.int8]
    changes: pa.Table
    confirmed: pa.Table
    differing: pa.Table


CONTACTS_PER_DAY = len(ContactType) * 10**8
"""`contact_numbers` of citizens whose CPR numbers begin with the same day of birth."""


def contact_numbers(numbers: Ints, contact_types: npt.NDArray[np.integer]) -> Ints:
    """One integer for (citizen, contact type): the store's primary key."""
    contacts: Ints = numbers * len(ContactType) + contact_types
    return contacts


def numbers_and_types(contacts: Ints) -> tuple[Ints, Ints]:
    """CPR numbers and contact types of `contact_numbers`."""
    numbers, contact_types = np.divmod(contacts, len(ContactType))
    return numbers, contact_types


def settle(candidates: pa.Table, stored: pa.Table, standing: Standing) -> Settlement:
    """Decide the winner of every contact.

    ``candidates`` and ``stored`` have `CANDIDATE_SCHEMA`. ``stored`` is sorted by contact, holds the contact of every
    candidate that has one, and may hold others.
    """
    said, held = _Claims.of(candidates, standing), _Claims.of(stored, standing)
    order = np.argsort(said.contact, kind="stable")
    starts = np.flatnonzero(np.diff(said.contact[order], prepend=-1))
    rivals = np.diff(starts, append=len(order))
    group = np.empty(len(order), np.int64)
    group[order] = np.repeat(np.arange(len(starts)), rivals)
    winner = order[starts]
    contested = rivals > 1
    rival = order[np.repeat(contested, rivals)]
    winner[contested] = said.greatest(rival)

    place = np.searchsorted(held.contact, said.contact[winner])
    is_held = np.zeros(len(winner), np.bool_)
    within = place < len(held.contact)
    is_held[within] = held.contact[place[within]] == said.contact[winner][within]
    place[~is_held] = 0
    best = said.take(winner)
    rest = held.take(place) if len(held.contact) else best
    newer = ~is_held | best.is_greater(rest)

    before = stored["value"].combine_chunks().take(pa.array(place, mask=~is_held))
    values = candidates["value"].combine_chunks()
    claimed = values.take(pa.array(winner))
    same = _equal(claimed, before)

    # A record agrees with what the store holds in the end: its contact's winner, or what was held and stays.
    agrees = (newer | same)[group]
    final = pc.if_else(pa.array(newer[group[rival]]), claimed.take(pa.array(group[rival])), before.take(group[rival]))
    agrees[rival] = _equal(values.take(pa.array(rival)), final)
    outcome = np.where(agrees, UNCHANGED, SUPERSEDED).astype(np.int8)
    outcome[winner[newer & ~same]] = APPLIED

    repeated = newer & same & is_held & best.repeats(rest)
    written = pa.array(newer & ~repeated)
    changes = candidates.take(pa.array(winner).filter(written))
    changes = changes.append_column("changed", pa.array(~same).filter(written))
    changes = changes.append_column("before", before.filter(written))
    confirmed = candidates.select(["contact", "source_no", "record_no"]).take(pa.array(winner[repeated]))
    differing = stored.select(["contact", "value"]).take(pa.array(place[is_held & ~same]))
    return Settlement(outcome, changes, confirmed, differing)


@dataclass(frozen=True)
class _Claims:
    """What decides between claims to the same contact, one entry a claim; the actor decides nothing."""

    contact: Ints
    registered_at: Ints
    seniority: Ints
    record_no: Ints
    digest: Ints
    actor: Ints

    @classmethod
    def of(cls, claims: pa.Table, standing: Standing) -> "_Claims":
        source = claims["source_no"].to_numpy()
        return cls(
            contact=claims["contact"].to_numpy(),
            registered_at=claims["registered_at"].to_numpy(),
            seniority=standing.seniority[source],
            record_no=claims["record_no"].to_numpy(),
            digest=standing.digest[source],
            actor=standing.actor[source],
        )

    def take(self, at: Ints) -> "_Claims":
        return _Claims(**{name: column[at] for name, column in vars(self).items()})

    def greatest(self, at: Ints) -> Ints:
        """Of the claims at these places, all from extracts, the greatest of each contact, in the order of contacts."""
        keys = (self.digest, self.record_no, self.seniority, self.registered_at, self.contact)
        ranked = at[np.lexsort([key[at] for key in keys])]
        return ranked[np.flatnonzero(np.diff(self.contact[ranked], append=-1))]

    def is_greater(self, other: "_Claims") -> Bools:
        """Where a claim of an extract beats the other one of the same contact."""
        greater = self.digest > other.digest
        for name in ("record_no", "seniority", "registered_at"):
            mine, others = getattr(self, name), getattr(other, name)
            greater = (mine > others) | ((mine == others) & greater)
        return greater | (other.seniority == LOADED)

    def repeats(self, other: "_Claims") -> Bools:
        """Where a claim of the same value says nothing that a reader of the store could see."""
        return (self.registered_at == other.registered_at) & (self.actor == other.actor)


def _equal(some: pa.StringArray, others: pa.StringArray) -> Bools:
    """Where values are the same; a removal is the same as nothing stored."""
    equal = pc.fill_null(pc.equal(some, others), False).to_numpy(zero_copy_only=False)
    both_null = pc.and_(some.is_null(), others.is_null()).to_numpy(zero_copy_only=False)
    return np.logical_or(equal, both_null)
