"""What the store of a usual night holds: functions of citizen and contact type, so that nothing has to be remembered.

The first filling of the store and the extracts ask the same functions; hence an extract can repeat a contact exactly,
value and time, without anybody having kept 12 million of them.
"""

from dataclasses import dataclass

import numpy as np

from afstem.sample.contact_values import scattered
from afstem.sample.population import NOBODY, Actors, Bools, Population
from afstem.sample.text_columns import Ints
from afstem.schema import ContactType

# Versions of no value (`contact_values`), for draws that are about the contact itself.
_WHETHER, _WHEN, _WHO = 61, 62, 63
DRAWN = 2**62


@dataclass(frozen=True)
class HeldContacts:
    """``share`` of the contacts that ordinary citizens could have; none of them was registered after ``newest``."""

    population: Population
    share: float
    newest: int

    def holds(self, ordinals: Ints, contact_type: ContactType) -> Bools:
        """Whether the store has this contact of each citizen."""
        drawn = scattered(ordinals, contact_type, _WHETHER, self.population.seed)
        return (drawn < self.share * DRAWN) & self.population.ordinary[ordinals]

    def seconds(self, ordinals: Ints, contact_type: ContactType) -> Ints:
        """When each was registered: seconds since 1970, within 800 days."""
        return self.newest - scattered(ordinals, contact_type, _WHEN, self.population.seed) % (800 * 86_400)

    def drawn_for(self, actor: int, ordinals: Ints, version: int) -> Ints:
        """A number below 2 ** 62 for each citizen (rows) and contact type (columns): the actor's own, every night."""
        seed = self.population.seed + 7919 * (actor + 1)
        return np.column_stack([scattered(ordinals, contact_type, version, seed) for contact_type in ContactType])

    def teller(self, ordinals: Ints, contact_type: ContactType) -> Actors:
        """The actor each is stored from: one of those the citizen belongs to."""
        drawn = scattered(ordinals, contact_type, _WHO, self.population.seed) % 3
        choices = (self.population.kommune, self.population.jobcenter, self.population.fund)
        chosen = np.choose(drawn, [actors[ordinals] for actors in choices])
        return np.where(chosen == NOBODY, self.population.kommune[ordinals], chosen).astype(np.int16)
