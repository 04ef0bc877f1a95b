"""What the store knows about the citizens of a batch, joined on as columns, once per batch.

The join is on integer keys: each record's place among the citizens is found once, and every fact about citizens is a
column at these places. A key that stands twice in the reference data cannot multiply records.
"""

from dataclasses import dataclass
from datetime import date
from functools import cached_property

import numpy as np
import numpy.typing as npt

from afstem import permissions
from afstem.permissions import Relations
from afstem.sorted_numbers import Places, contains

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Citizens:
    """Every citizen the store knows: sorted unique CPR numbers, and the sorted numbers of those who are dead."""

    numbers: Ints
    dead: Ints

    @cached_property
    def places(self) -> Places:
        return Places.of(self.numbers)

    @cached_property
    def are_dead(self) -> Bools:
        return self.column_of(self.dead)

    def column_of(self, members: Ints) -> Bools:
        """For each citizen whether the number is among ``members``; one entry more, false, for a place of -1."""
        column = np.zeros(len(self.numbers) + 1, np.bool_)
        column[self.places.find(members)] = True
        column[-1] = False
        return column


@dataclass(frozen=True)
class Knowledge:
    """What is needed to judge one actor's records on one as-of date.

    ``relations`` are the actor's own; ``email_subscribers`` the sorted CPR numbers with an email subscription on
    that date; ``kinds`` the kinds of access that the permission matrix gives the actor's organisation type.
    """

    citizens: Citizens
    relations: Relations
    email_subscribers: Ints
    kinds: frozenset[str]
    as_of: date

    @cached_property
    def granted(self) -> Ints | None:
        """The sorted CPR numbers that the actor may write to; `permissions.ANY_CITIZEN` for all."""
        return permissions.citizens_granted(self.relations, self.kinds, self.as_of)

    @cached_property
    def are_granted(self) -> Bools:
        """For each citizen whether the actor may write to them."""
        return self.citizens.column_of(np.empty(0, np.int64) if self.granted is None else self.granted)


@dataclass(frozen=True)
class Known:
    """One entry a record, false where the record has no CPR number."""

    known: Bools
    dead: Bools
    may_write: Bools
    email_subscribed: Bools


def look_up(numbers: Ints, knowledge: Knowledge, removes_email: Bools | None = None) -> Known:
    """Join what the store knows onto a batch by its CPR numbers (negative: none).

    Subscriptions matter to records that remove an email only; where ``removes_email`` tells which do, they are not
    looked up for the others, and ``email_subscribed`` is false there.
    """
    places = knowledge.citizens.places.find(numbers)
    return Known(
        # 0000000000 is the official number for "unknown" (SPEC 4.2): never a citizen, whatever a register says.
        known=(places >= 0) & (numbers > 0),
        dead=knowledge.citizens.are_dead[places],
        may_write=_may_write(numbers, places, knowledge),
        email_subscribed=_among(knowledge.email_subscribers, numbers, removes_email),
    )


def _may_write(numbers: Ints, places: npt.NDArray[np.int32], knowledge: Knowledge) -> Bools:
    if knowledge.granted is permissions.ANY_CITIZEN:
        return np.ones(len(numbers), np.bool_)
    # A relation may name somebody who is no citizen, so whoever has no place is searched for.
    return knowledge.are_granted[places] | _among(knowledge.granted, numbers, places < 0)


def _among(keys: Ints, numbers: Ints, asked: Bools | None) -> Bools:
    """Which numbers stand in sorted keys; false where not asked."""
    if asked is None:
        return contains(keys, numbers)
    among = np.zeros(len(numbers), np.bool_)
    among[asked] = contains(keys, numbers[asked])
    return among


def nothing_known(records: int) -> Known:
    """The columns of `look_up` for a batch that is judged without a store."""
    return Known(*(np.zeros(records, np.bool_) for _ in range(4)))
