"""Who may write to whom: kinds of access, and which of them hold between an actor and a citizen (SPEC 4.4).

The matrix (organisation type x kind of access) is a file, ``permissions.toml``; what each kind means is here.
A kind either holds for any citizen, or needs one fact about the relations between the actor and the citizen on
the as-of date. A guest relation (*gæsteadgang*) or an external one (*anden aktør*) holds in its period only; an
own relation also leaves something behind when it has ended (*tidligere egne*).
"""

from collections.abc import Mapping, Set
from dataclasses import dataclass
from datetime import date
from enum import IntFlag
from pathlib import Path

import numpy as np
import numpy.typing as npt

from afstem.errors import UsageError
from afstem.periods import Days, ended_before, includes
from afstem.schema import ActorType
from afstem.sorted_numbers import contains
from afstem.toml_file import read_toml

RELATION_KINDS = ("own", "guest", "external-own", "external-guest")
"""The kinds of relation of SPEC 2.6; the place in this tuple is the code used inside columns."""


class Fact(IntFlag):
    """What the relations of an actor and a citizen say on the as-of date."""

    OWN_NOW = 1
    OWN_BEFORE = 2
    GUEST_NOW = 4
    EXTERNAL_OWN_NOW = 8
    EXTERNAL_GUEST_NOW = 16


ANY_CITIZEN = None

KINDS_OF_ACCESS: Mapping[str, Fact | None] = {
    "alle borgere": ANY_CITIZEN,
    "egne borgere": Fact.OWN_NOW,
    "tidligere egne borgere": Fact.OWN_BEFORE,
    "gæsteadgang": Fact.GUEST_NOW,
    "anden aktør - egne borgere": Fact.EXTERNAL_OWN_NOW,
    "anden aktør - gæsteadgang": Fact.EXTERNAL_GUEST_NOW,
    "anden aktør - alle borgere": ANY_CITIZEN,
    "system - alle borgere": ANY_CITIZEN,
}
"""The eight columns of the matrix, as they are written in ``permissions.toml``, and the fact each needs."""

_FACT_NOW = np.array(
    [Fact.OWN_NOW, Fact.GUEST_NOW, Fact.EXTERNAL_OWN_NOW, Fact.EXTERNAL_GUEST_NOW], dtype=np.uint8
)  # by relation kind

Permissions = Mapping[str, frozenset[str]]
"""The kinds of access of each organisation type."""


@dataclass(frozen=True)
class Relations:
    """The relations of one actor, one entry each, sorted by CPR number; a citizen may have several.

    ``kinds`` are places in `RELATION_KINDS`; the days count from 1970, `periods.OPEN_END` where open.
    """

    numbers: npt.NDArray[np.int64]
    kinds: npt.NDArray[np.uint8]
    valid_from: Days
    valid_to: Days


def load(path: Path) -> Permissions:
    """Read the matrix; a type that is left out may write to nobody.

    Raises `UsageError` naming file and key for an organisation type or a kind of access that does not exist.
    """
    content = read_toml(path)
    for key in content:
        if key != "allowed":
            raise UsageError(f"{path}: {key}: unknown key")
    allowed = content.get("allowed")
    if not isinstance(allowed, dict):
        raise UsageError(f"{path}: allowed: the table is missing")
    for organisation_type, kinds in allowed.items():
        if organisation_type not in list(ActorType):
            raise UsageError(f"{path}: allowed.{organisation_type}: no such organisation type")
        if not isinstance(kinds, list):
            raise UsageError(f"{path}: allowed.{organisation_type}: must be a list of kinds of access")
        for kind in kinds:
            if not isinstance(kind, str) or kind not in KINDS_OF_ACCESS:
                raise UsageError(f"{path}: allowed.{organisation_type}: no such kind of access: {kind!r}")
    return {name: frozenset(allowed.get(name, ())) for name in ActorType}


def has_any_access(permissions: Permissions, organisation_type: str) -> bool:
    """Whether the type has an X in any column of the matrix; without one its extracts are 1013 (SPEC 4.1)."""
    return bool(permissions[organisation_type])


def relation_facts(relations: Relations, as_of: date) -> npt.NDArray[np.uint8]:
    """The `Fact` bits that each relation gives on the as-of date; 0 for one that gives none."""
    facts = np.where(includes(relations.valid_from, relations.valid_to, as_of), _FACT_NOW[relations.kinds], 0)
    former = (relations.kinds == RELATION_KINDS.index("own")) & ended_before(relations.valid_to, as_of)
    facts[former] = Fact.OWN_BEFORE
    return facts.astype(np.uint8)


def may_write(
    numbers: npt.NDArray[np.int64], relations: Relations, kinds: Set[str], as_of: date
) -> npt.NDArray[np.bool_]:
    """For each record, whether one of ``kinds`` holds between the actor and the citizen (4575 where not).

    ``numbers`` are the records' CPR numbers in any order, `schema.NO_CPR` where there is none. Whether the citizen
    is known is another question (1010): a kind for any citizen holds for unknown ones too.
    """
    granted = citizens_granted(relations, kinds, as_of)
    return np.ones(len(numbers), dtype=np.bool_) if granted is ANY_CITIZEN else contains(granted, numbers)


def citizens_granted(relations: Relations, kinds: Set[str], as_of: date) -> npt.NDArray[np.int64] | None:
    """The CPR numbers, sorted, to which ``kinds`` give the actor access; `ANY_CITIZEN` where to all."""
    needed = [KINDS_OF_ACCESS[kind] for kind in kinds]
    if ANY_CITIZEN in needed:
        return ANY_CITIZEN
    wanted = np.uint8(sum(fact for fact in needed if fact is not None))
    return relations.numbers[(relation_facts(relations, as_of) & wanted) != 0]
