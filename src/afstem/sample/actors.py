"""Who delivers, and what each delivers: invented organisations of every type.

The first twelve are the same in every workspace and show every format and every trouble; the others are ordinary:
mostly jobcentres and municipalities, at most 22 unemployment funds, now and then another kind of organisation.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from itertools import chain, count, cycle, islice

from afstem.sample.layouts import Layout
from afstem.schema import NAMED_COLUMNS, ActorType

# ruff: noqa: SIM905 - a line of words reads better than a column of quoted ones
_STEMS = (
    "Rav Lyng Birk Tjørn Hassel Mose Sand Klint Egel Bøge Strand Vibe Lærke Hjort Rør Kær Skov Fyrre Eng Pile".split()
)
_ENDINGS = "sted holt rup bæk lund dal høj mose ager vig".split()
_FUNDS = (
    "A-kassen Fællesvirke",
    "A-kassen Nordlys",
    "Håndværkets A-kasse",
    "Kontor og Lagers A-kasse",
    "A-kassen Søfart og Fragt",
    "Plejens A-kasse",
    "A-kassen Åben Dør",
    "Undervisernes Fælleskasse",
    "A-kassen Værkstedet",
    "Køkken og Service A-kasse",
    "A-kassen Tal og Tekst",
    "De Selvstændiges Fælleskasse",
    "A-kassen Grøn Jord",
    "Bygge- og Anlægsfolkets A-kasse",
    "A-kassen Klaver & Kulisse",
    "Laboratoriernes A-kasse",
    "A-kassen Frisk Luft",
    "Transportens Fælleskasse",
    "A-kassen Ny Start",
    "Ingeniørernes Sidekasse",
    "A-kassen Skrift og Billede",
    "Den Tværgående A-kasse",
)
_OTHERS = ("Jobspring ApS", "Kompasset Rådgivning", "Vejviser & Co.", "Næste Skridt ApS")
_SYSTEMS = ("Fagsystem Vejkryds", "Fagsystem Mosaik", "Fagsystem Birkes")
_PRIORITIES = {
    ActorType.STAR: 10,
    ActorType.KOMMUNE: 50,
    ActorType.JOBCENTER: 60,
    ActorType.A_KASSE: 70,
}


class Trouble(Enum):
    """What is wrong with a whole actor, if dirt is wanted at all."""

    NO_FOLDER = "its source folder is missing: unavailable"
    NOTHING_DELIVERED = "its source folder holds nothing to read"
    BROKEN_FILES = "beside a good extract it delivers every kind of broken file"
    WRONG_MANIFESTS = "beside a good extract, rightly signed, it delivers some with every kind of wrong manifest"
    MASS_REMOVAL = "beside a good extract it delivers one that removes half of what it tells: held"


@dataclass(frozen=True)
class Delivery:
    """One extract of an actor: the file's name without suffix, its layout, and what it holds.

    It tells of so many of the actor's citizens as ``told`` says, and so many of its records are removals as ``removed``
    says. ``corrections`` are newer values.
    """

    name: str
    layout: Layout
    told: float = 1.0
    removed: float = 0.02
    corrections: bool = False

    @property
    def file_name(self) -> str:
        return self.name + self.layout.suffix


@dataclass(frozen=True)
class InventedActor:
    """One ``[[actor]]`` of ``actors.toml``, with what it delivers."""

    id: str
    name: str
    type: ActorType
    deliveries: tuple[Delivery, ...]
    trouble: Trouble | None = None
    signs: bool = False
    """Whether its login is a manifest beside each extract."""

    @property
    def encoding(self) -> str:
        """That of its CSV files."""
        csv = [delivery.layout.encoding for delivery in self.deliveries if delivery.layout.format == "csv"]
        return csv[0] if csv else "utf-8"

    @property
    def delivered(self) -> tuple[Delivery, ...]:
        """Its deliveries, and the one that is trouble."""
        if self.trouble is not Trouble.MASS_REMOVAL:
            return self.deliveries
        return (*self.deliveries, replace(self.deliveries[0], name="oprydning", told=0.5, removed=0.5))

    @property
    def priority(self) -> int:
        return _PRIORITIES.get(self.type, 100)

    @property
    def may_write(self) -> bool:
        """Whether the shipped permission matrix gives the organisation type any access at all."""
        return self.type in _PRIORITIES


_EVERYTHING = (*NAMED_COLUMNS, "afdeling")
_SHUFFLED = ("Reference", " KONTAKTDATA ", "PersonNummer", "Afdeling", "kontaktdataType", "Registreret", "afdeling")
_HYPHEN = ("######-####",)
_BLANKS = ("## ## ## ##", "+45 ## ## ## ##", "########")
_PLUS = ("+45########", "########")
_TYPED_PARQUET = Layout(".parquet", typed=True)

_MUNICIPAL = Layout(columns=_SHUFFLED, phone=_PLUS, cpr=("##########", "######-####"))
_SPREADSHEET = Layout(
    encoding="windows-1252", columns=_EVERYTHING, newline="\r\n", cpr=_HYPHEN, phone=_BLANKS, time="blank"
)
_COMMAS = Layout(
    encoding="iso-8859-1", columns=_EVERYTHING, separator=",", newline="\r\n", quote_all=True, phone=("0045########",)
)
_MESSAGES = Layout(".jsonl", phone=_PLUS, time="offset")
_TEXT_PARQUET = Layout(".parquet", phone=_PLUS, time="utc")
_WITH_MARK = Layout(".csv.gz", byte_order_mark=True, newline="\r\n", time="basic")
_PACKED_MESSAGES = Layout(".jsonl.gz", typed=True, phone=("+45 ## ## ## ##",), byte_order_mark=True)
_PLAIN = Layout()
_SHORT = Layout(columns=("personnummer", "kontaktdatatype", "kontaktdata"))

_ORDINARY = (
    _PLAIN,
    _SPREADSHEET,
    _PLAIN,
    Layout(".csv.gz", phone=_PLUS, time="utc"),
    _MUNICIPAL,
    _TEXT_PARQUET,
    _PLAIN,
    _COMMAS,
    _SHORT,
    Layout(encoding="iso-8859-1", columns=_EVERYTHING, phone=_BLANKS),
    _MESSAGES,
    _WITH_MARK,
    _PLAIN,
    _TYPED_PARQUET,
    _PACKED_MESSAGES,
)
"""The layouts of actors beyond the first twelve, in turn: as often as they would be met."""


def invent_actors(number: int, dirty: bool) -> list[InventedActor]:
    """The first ``number`` actors.

    Without dirt none has a trouble, and those that may not write deliver nothing.
    """
    actors = [*_first_twelve()[:number], *_ordinary_actors(max(0, number - 12))]
    return actors if dirty else [_without_trouble(actor) for actor in actors]


def invent_writers(number: int, layout: Layout) -> list[InventedActor]:
    """As many actors that may write, without a trouble, each with one extract in this layout."""
    writers = (actor for actor in chain(_first_twelve(), _ordinary_actors(2 * number)) if actor.may_write)
    return [
        replace(actor, deliveries=_delivered(layout), trouble=None, signs=False) for actor in islice(writers, number)
    ]


def actors_toml(actors: list[InventedActor], logins: Mapping[str, str]) -> str:
    """The content of ``actors.toml`` (SPEC 2.2). Names hold neither quotation marks nor backslashes.

    ``logins`` are, by actor id, the lines about the login where it is a manifest.
    """
    entries = (
        f'[[actor]]\nid       = "{actor.id}"\nname     = "{actor.name}"\ntype     = "{actor.type}"\n'
        f'source   = "extracts/{actor.id}"\nencoding = "{actor.encoding}"\npriority = {actor.priority}\n'
        f"{logins.get(actor.id, '')}"
        for actor in actors
    )
    return "# Invented organisations, written by `afstem sample`.\n\n" + "\n".join(entries)


def place_name(number: int) -> str:
    """The invented place with this number, counted from 0; 200 different ones."""
    return _STEMS[number % len(_STEMS)] + _ENDINGS[(number + number // len(_STEMS)) % len(_ENDINGS)]


def _first_twelve() -> list[InventedActor]:
    return [
        _kommune(11, _delivered(_MUNICIPAL, also=(Delivery("rettelser", _SHORT, told=0.1, corrections=True),))),
        _jobcenter(11, _delivered(_SPREADSHEET)),
        _fund(1, _delivered(_COMMAS)),
        InventedActor("star", "Styrelsen for Arbejdsmarked og Rekruttering", ActorType.STAR, _delivered(_MESSAGES)),
        _kommune(
            12, _delivered(_TYPED_PARQUET, also=(Delivery("rettelser", _TEXT_PARQUET, told=0.1, corrections=True),))
        ),
        _jobcenter(12, _delivered(_WITH_MARK), Trouble.MASS_REMOVAL),
        replace(_fund(2, _delivered(_PACKED_MESSAGES), Trouble.WRONG_MANIFESTS), signs=True),
        _other(1),
        _system(1),
        _kommune(13, _delivered(_PLAIN), Trouble.NO_FOLDER),
        _fund(3, _delivered(_PLAIN), Trouble.NOTHING_DELIVERED),
        _jobcenter(13, _delivered(_PLAIN), Trouble.BROKEN_FILES),
    ]


def _ordinary_actors(number: int) -> Iterator[InventedActor]:
    """One in ten is an unemployment fund as long as there are any, one in forty may not write at all."""
    places, job_places, funds, others, systems = count(14), count(14), count(4), count(2), count(2)
    layouts = cycle(_ORDINARY)
    for position in range(number):
        layout = next(layouts)
        deliveries = _delivered(layout)
        if position % 10 == 0:
            correction_layout = _PLAIN if layout.format != "csv" else layout
            deliveries = _delivered(
                layout, also=(Delivery("rettelser", correction_layout, told=0.1, corrections=True),)
            )
        if position % 80 == 39 and (this := next(others)) <= len(_OTHERS):
            yield _other(this)
        elif position % 80 == 79 and (this := next(systems)) <= len(_SYSTEMS):
            yield _system(this)
        elif position % 10 in (4, 8) and (this := next(funds)) <= len(_FUNDS):
            yield _fund(this, deliveries)
        elif position % 2 == 0:
            yield _kommune(next(places), deliveries)
        else:
            yield _jobcenter(next(job_places), deliveries)


def _delivered(layout: Layout, also: tuple[Delivery, ...] = ()) -> tuple[Delivery, ...]:
    return (Delivery("kontaktdata", layout), *also)


def _kommune(code: int, deliveries: tuple[Delivery, ...], trouble: Trouble | None = None) -> InventedActor:
    # Real municipality codes begin at 101.
    return InventedActor(f"kommune-{code:03}", f"{place_name(code)} Kommune", ActorType.KOMMUNE, deliveries, trouble)


def _jobcenter(code: int, deliveries: tuple[Delivery, ...], trouble: Trouble | None = None) -> InventedActor:
    return InventedActor(
        f"jobcenter-{code:03}00", f"Jobcenter {place_name(code)}", ActorType.JOBCENTER, deliveries, trouble
    )


def _fund(code: int, deliveries: tuple[Delivery, ...], trouble: Trouble | None = None) -> InventedActor:
    return InventedActor(f"a-kasse-{code:02}", _FUNDS[code - 1], ActorType.A_KASSE, deliveries, trouble)


def _other(code: int) -> InventedActor:
    return InventedActor(f"anden-aktoer-{code:02}", _OTHERS[code - 1], ActorType.ANDEN_AKTOER, _delivered(_PLAIN))


def _system(code: int) -> InventedActor:
    return InventedActor(f"system-{code:02}", _SYSTEMS[code - 1], ActorType.SYSTEM, _delivered(_MESSAGES))


def _without_trouble(actor: InventedActor) -> InventedActor:
    return replace(actor, deliveries=actor.deliveries if actor.may_write else (), trouble=None)
