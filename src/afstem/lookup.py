"""What the store knows about the citizens of a batch, joined on as columns, once per batch.

Joins on sorted integer keys in NumPy: measured 3 to 100 times cheaper than hash joins on texts, and a key that stands
twice in the reference data cannot multiply records.
"""

from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from afstem import permissions
from afstem.permissions import Relations
from afstem.sorted_numbers import contains

Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Citizens:
    """Every citizen the store knows: sorted unique CPR numbers, and the sorted numbers of those who are dead."""

    numbers: Ints
    dead: Ints


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


@dataclass(frozen=True)
class Known:
    """One entry a record, false where the record has no CPR number."""

    known: Bools
    dead: Bools
    may_write: Bools
    email_subscribed: Bools


def look_up(numbers: Ints, knowledge: Knowledge) -> Known:
    """Join what the store knows onto a batch by its CPR numbers (negative: none)."""
    citizens = knowledge.citizens
    return Known(
        # 0000000000 is the official number for "unknown" (SPEC 4.2): never a citizen, whatever a register says.
        known=contains(citizens.numbers, numbers) & (numbers > 0),
        dead=contains(citizens.dead, numbers),
        may_write=permissions.may_write(numbers, knowledge.relations, knowledge.kinds, knowledge.as_of),
        email_subscribed=contains(knowledge.email_subscribers, numbers),
    )


def nothing_known(records: int) -> Known:
    """The columns of `look_up` for a batch that is judged without a store."""
    return Known(*(np.zeros(records, np.bool_) for _ in range(4)))
