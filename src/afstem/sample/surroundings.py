"""An actor among the citizens: whom its extracts tell of, and whom odd records are drawn from."""

from dataclasses import dataclass

import numpy as np

from afstem.sample.actors import InventedActor
from afstem.sample.cpr import synthetic_numbers
from afstem.sample.population import Population
from afstem.sample.text_columns import Ints
from afstem.schema import ActorType

_POOL_SIZE = 500
"""How many citizens of each kind odd records are drawn from."""


@dataclass(frozen=True)
class Surroundings:
    """``position`` is the actor's among the actors, ``citizens`` the ordinals of those its clean records tell of.

    ``pools`` are CPR numbers by the names of `oddities.POOLS`; a pool may be empty.
    """

    position: int
    citizens: Ints
    pools: dict[str, list[int]]


def told_citizens(population: Population, position: int, actor: InventedActor) -> Ints:
    """The ordinals of the citizens whom the actor's clean records may tell of, ascending."""
    writable = _writable(population, position, actor)
    return writable[population.ordinary[writable]]


def surroundings_of(population: Population, position: int, actor: InventedActor) -> Surroundings:
    """The citizens around one actor: those it may write of, and some of each of `oddities.POOLS`."""
    rng = np.random.Generator(np.random.PCG64([population.seed, 3, position]))
    former = population.related("former", position)
    has_former = actor.type == ActorType.JOBCENTER
    writable = _writable(population, position, actor)
    ordinary = writable[population.ordinary[writable]]
    subscribed, expired = population.email_subscribed[ordinary], population.email_expired[ordinary]
    everyone = actor.type == ActorType.STAR
    nobody = np.arange(len(population), len(population) + _POOL_SIZE)
    candidates = np.sort(rng.integers(0, len(population), size=4 * _POOL_SIZE))
    ordinals: dict[str, Ints] = {
        "own": ordinary,
        "own-from-early-in-a-month": ordinary[population.number[ordinary] < 10**9],
        "quiet": writable[population.quiet[writable] & ~population.dead[writable]],
        "dead": writable[population.dead[writable]],
        "subscribed": ordinary[subscribed],
        "expired": ordinary[expired & ~subscribed],
        "texted": ordinary[population.sms_subscribed[ordinary]],
        "stranger": candidates[:0] if everyone else population.strangers(position, candidates),
        "guest": population.related("guest", position),
        "former": former[:0] if has_former else former,
        "future": population.related("future", position),
    }
    pools = {pool: population.number[rng.permutation(among)[:_POOL_SIZE]].tolist() for pool, among in ordinals.items()}
    pools["nobody"] = synthetic_numbers(nobody, population.seed).tolist()
    return Surroundings(position, ordinary, pools)


def _writable(population: Population, position: int, actor: InventedActor) -> Ints:
    own = population.own(position, actor.type)
    if actor.type != ActorType.JOBCENTER:
        return own
    return np.sort(np.concatenate([own, population.related("former", position)]))
