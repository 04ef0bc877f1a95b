"""The invented citizens, and which actors have anything to do with them. One array entry a citizen."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from afstem.sample.actors import InventedActor
from afstem.sample.cpr import synthetic_numbers
from afstem.sample.text_columns import Ints
from afstem.schema import ActorType

Bools = npt.NDArray[np.bool_]
Actors = npt.NDArray[np.int16]
"""For each citizen the position of an actor in the list of actors, `NOBODY` for none."""

NOBODY = -1
STATUSES = np.array(["01", "03", "20", "70", "80", "90"])
"""CPR status codes (DOMAIN.md 6); the last is dead."""

_STATUS_SHARES = (0.935, 0.01, 0.01, 0.005, 0.02, 0.02)
_SHARE_OF_ALL = 0.03
_AT_LEAST_OF_ALL = 120


@dataclass(frozen=True)
class Relations:
    """How many of the citizens have a relation of each kind. Every citizen has a municipality."""

    jobcenter: float = 0.30
    fund: float = 0.50
    former: float = 0.15
    future: float = 0.03
    guest: float = 0.04
    external: float = 0.02


@dataclass(frozen=True)
class Population:
    """All citizens, by ordinal.

    ``kommune``, ``jobcenter`` and ``fund`` have the relation ``own`` now, ``former`` had it, ``future`` will have
    it, ``guest`` has guest access, ``external`` is an anden aktør. Every citizen has a municipality. ``quiet``
    citizens stand in no ordinary record and have nothing stored.
    """

    seed: int
    number: Ints
    status: npt.NDArray[np.int8]
    quiet: Bools
    kommune: Actors
    jobcenter: Actors
    fund: Actors
    former: Actors
    future: Actors
    guest: Actors
    external: Actors
    email_subscribed: Bools
    email_expired: Bools
    sms_subscribed: Bools

    def __len__(self) -> int:
        return len(self.number)

    @cached_property
    def dead(self) -> Bools:
        return self.status == len(STATUSES) - 1

    @cached_property
    def ordinary(self) -> Bools:
        """Citizens of whom ordinary records may tell."""
        return ~(self.dead | self.quiet)

    @cached_property
    def _members(self) -> Mapping[str, "_Members"]:
        return {name: _Members(getattr(self, name)) for name in _RELATIONS}

    def related(self, name: str, actor: int) -> Ints:
        """The ordinals, ascending, of those who have this actor in that array."""
        return self._members[name].of(actor)

    def own(self, actor: int, of_type: ActorType) -> Ints:
        """The ordinals of the citizens the actor tells of: its own; for STAR and for systems some of all."""
        if of_type in _OF_ALL:
            share = max(_SHARE_OF_ALL, _AT_LEAST_OF_ALL / len(self))
            return np.arange(0, len(self), max(1, int(1 / share)))
        return self.related(_OWN_OF_TYPE[of_type], actor)

    def strangers(self, actor: int, candidates: Ints) -> Ints:
        """Those of the candidates who have nothing to do with the actor."""
        arrays = (getattr(self, name)[candidates] for name in _RELATIONS)
        return candidates[~np.logical_or.reduce([array == actor for array in arrays])]


_OWN_OF_TYPE = {
    ActorType.KOMMUNE: "kommune",
    ActorType.JOBCENTER: "jobcenter",
    ActorType.A_KASSE: "fund",
    ActorType.ANDEN_AKTOER: "external",
}
_OF_ALL = (ActorType.STAR, ActorType.SYSTEM)
_RELATIONS = (*_OWN_OF_TYPE.values(), "former", "future", "guest")


class _Members:
    """The ordinals grouped by actor, in 32 bits: there are seven such groupings of all citizens."""

    def __init__(self, actors: Actors) -> None:
        self._order = np.argsort(actors, kind="stable").astype(np.int32)
        self._sorted = actors[self._order]

    def of(self, actor: int) -> Ints:
        begin, end = np.searchsorted(self._sorted, [actor, actor + 1])
        return self._order[begin:end].astype(np.int64)


def invent_population(
    citizens: int, actors: list[InventedActor], seed: int, shares: Relations = Relations()
) -> Population:
    """Citizens spread over the actors; organisations differ in size as they do in life."""
    rng = np.random.Generator(np.random.PCG64([seed, 0]))
    positions = {of_type: np.flatnonzero([actor.type == of_type for actor in actors]) for of_type in ActorType}

    def some(of_types: tuple[ActorType, ...], share: float) -> Actors:
        """A share of the citizens spread over these actors, unevenly."""
        chosen = np.concatenate([positions[of_type] for of_type in of_types])
        if not len(chosen):
            return np.full(citizens, NOBODY, np.int16)
        weights = rng.lognormal(sigma=0.7, size=len(chosen))
        drawn = rng.choice(chosen, size=citizens, p=weights / weights.sum())
        return np.where(rng.random(citizens) < share, drawn, NOBODY).astype(np.int16)

    kommune = some((ActorType.KOMMUNE,), 1.0)
    jobcenter = some((ActorType.JOBCENTER,), shares.jobcenter)
    fund = some((ActorType.A_KASSE,), shares.fund)
    writers = (ActorType.KOMMUNE, ActorType.JOBCENTER, ActorType.A_KASSE)
    own = (kommune, jobcenter, fund)
    former = _unless(some(writers, shares.former), own)
    future = _unless(some(writers, shares.future), (*own, former))
    guest = _unless(some((ActorType.KOMMUNE, ActorType.JOBCENTER), shares.guest), (*own, former, future))
    subscribed = rng.random(citizens)
    return Population(
        seed=seed,
        number=synthetic_numbers(np.arange(citizens), seed),
        status=rng.choice(len(STATUSES), size=citizens, p=_STATUS_SHARES).astype(np.int8),
        quiet=rng.random(citizens) < 0.02,
        kommune=kommune,
        jobcenter=jobcenter,
        fund=fund,
        former=former,
        future=future,
        guest=guest,
        external=some((ActorType.ANDEN_AKTOER,), shares.external),
        email_subscribed=subscribed < 0.25,
        email_expired=(subscribed >= 0.22) & (subscribed < 0.30),
        sms_subscribed=rng.random(citizens) < 0.10,
    )


def _unless(chosen: Actors, taken: tuple[Actors, ...]) -> Actors:
    """Nobody where one of the other arrays has the same actor already."""
    return np.where(np.logical_or.reduce([chosen == other for other in taken]), NOBODY, chosen).astype(np.int16)
