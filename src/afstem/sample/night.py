"""A usual night: what the service meets from its second night on, when full extracts repeat themselves.

Nearly every record says what the store holds already. Whoever a contact is stored from repeats it with the same
``registreret``, other actors know the same value from longer ago, and only a few records bring news: another value, a
removal, or a contact that the store does not have yet.
"""

from dataclasses import dataclass, replace

import numpy as np

from afstem.errors import UsageError
from afstem.sample.bulk import Bulk, values_of
from afstem.sample.contact_values import STORED_VERSION
from afstem.sample.held_contacts import DRAWN, HeldContacts
from afstem.sample.layouts import Layout
from afstem.sample.population import Population, Relations
from afstem.sample.surroundings import Surroundings
from afstem.sample.text_columns import Ints
from afstem.schema import ContactType

NIGHT_RELATIONS = Relations(jobcenter=0.45, fund=0.65, former=0.60, future=0.05, guest=0.25, external=0.0)
"""With the municipality about three relations a citizen."""

_CSV = Layout(
    time="utc",
    cpr=("##########", "######-####"),
    phone=("########", "## ## ## ##", "+45########", "+45 ## ## ## ##"),
)
LAYOUTS = {"parquet": replace(_CSV, suffix=".parquet"), "csv": _CSV}
"""UTF-8 CSV, or zstd Parquet with columns of text; spellings differ from record to record."""

DEFAULT_CHANGED = 0.05

_KINDS = len(ContactType)
_TOLD, _AGE = 59, 60  # versions of no value (`contact_values`)
_REMOVED_SHARE = 0.2
"""How much of the news about stored contacts are removals."""
_AGES = 100 * 86_400
_NEWS_AGES = 150 * 86_400


@dataclass(frozen=True)
class NightPlan:
    """What a usual night shall be like.

    About ``records`` records in one extract an actor, all in one format of `LAYOUTS`, and about ``stored`` contacts in
    the store (None: one record and two stored contacts a citizen). ``changed`` is the share of records with news.
    """

    format: str
    records: int | None = None
    stored: int | None = None
    changed: float = DEFAULT_CHANGED


@dataclass(frozen=True)
class Night:
    """What the store holds, how often an actor tells of a contact that is ``held``, and how often it has ``news``.

    Of a contact that is not held there is nothing but news; of one that is held they are among what is told.
    """

    contacts: HeldContacts
    held: float
    news: float
    midnight: int

    def draw(self, citizens: Ints, around: Surroundings, layout: Layout, rng: np.random.Generator) -> Bulk:
        """The clean records of these citizens in the extract of the actor there."""
        population = self.contacts.population
        stored = np.column_stack([self.contacts.holds(citizens, kind) for kind in ContactType])
        # Functions of actor and contact, so that the next night, with other news, repeats all the rest to the second.
        drawn = self.contacts.drawn_for(around.position, citizens, _TOLD) / DRAWN
        older = 1 + self.contacts.drawn_for(around.position, citizens, _AGE) % _AGES
        told = drawn < np.where(stored, self.held, self.news)
        row, contact_type = np.nonzero(told)
        ordinal, is_stored = citizens[row], stored[told]
        news = ~is_stored | (drawn[told] < self.news)
        protected = (contact_type == ContactType.EMAIL) & population.email_subscribed[ordinal]
        removes = news & is_stored & ~protected & (rng.random(len(ordinal)) < _REMOVED_SHARE)
        registered = np.column_stack([self.contacts.seconds(citizens, kind) for kind in ContactType])[told]
        teller = np.column_stack([self.contacts.teller(citizens, kind) for kind in ContactType])[told]
        own = teller == around.position
        confirmed_at = registered - np.where(own, 0, older[told])
        # A version of its own for each actor, so that actors contradict each other.
        version = np.where(news, 1 + around.position % 50, STORED_VERSION)
        return Bulk(
            number=population.number[ordinal],
            contact_type=contact_type.astype(np.int8),
            value=values_of(ordinal, contact_type, version, removes, layout, population.seed, rng),
            seconds=np.where(news, self.midnight - rng.integers(1, _NEWS_AGES, size=len(ordinal)), confirmed_at),
            reference=rng.integers(0, 10_000_000, size=len(ordinal)),
            starts=np.unique(np.concatenate([[0], np.cumsum(told.sum(axis=1))])),
            news=news,
        )


def plan_night(plan: NightPlan, population: Population, tellable: int, midnight: int) -> Night:
    """How often what must be told, so that the numbers of the plan are met.

    ``tellable`` counts pairs of an actor and an ordinary citizen it may write, ``midnight`` begins the as-of date.
    Raises `UsageError` for more than there is room for.
    """
    room = _KINDS * int(population.ordinary.sum())
    stored = 2 * len(population) if plan.stored is None else plan.stored
    records = len(population) if plan.records is None else plan.records
    share = _share("stored", stored, room)
    # News come at one rate, whether the contact is stored or not; the other records are about stored ones.
    news = records * plan.changed
    rate = news / max(1, _KINDS * tellable)
    held = _share("records", records - news * (1 - share), round(_KINDS * tellable * share))
    contacts = HeldContacts(population, share, newest=midnight - 200 * 86_400)
    return Night(contacts, held=held, news=rate, midnight=midnight)


def _share(name: str, wanted: float, room: int) -> float:
    if not 0 <= wanted <= room:
        raise UsageError(f"{name}: so many citizens and actors have room for {room:,}")
    return wanted / max(1, room)
