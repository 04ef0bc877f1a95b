"""A whole workspace: the two configuration files, the reference data and every actor's extracts."""

import datetime
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from afstem.errors import UsageError
from afstem.sample.actors import Delivery, InventedActor, Trouble, actors_toml, invent_actors, invent_writers
from afstem.sample.broken_files import BROKEN_FILES, EMPTY_EXTRACTS, LEFT_ALONE, PLACEHOLDER
from afstem.sample.curiosities import CURIOSITIES
from afstem.sample.dirt import DIRT
from afstem.sample.extracts import Written, fits, write_extract
from afstem.sample.layouts import Layout
from afstem.sample.night import LAYOUTS, NIGHT_RELATIONS, Night, NightPlan, plan_night
from afstem.sample.oddities import Oddity
from afstem.sample.population import Population, invent_population
from afstem.sample.reference_files import write_reference
from afstem.sample.signed import Signer, write_wrongly_signed
from afstem.sample.surroundings import Surroundings, surroundings_of, told_citizens

DEFAULT_TODAY = datetime.date(2026, 11, 23)
"""The as-of date of a workspace unless another is asked for: fixed, so that the seed decides every byte."""

MIN_CITIZENS, MAX_CITIZENS = 1, 6_000_000
MIN_ACTORS, MAX_ACTORS = 1, 200
MAX_DIRTY = 1.0
COMPLETE_CITIZENS, COMPLETE_ACTORS = 500, 12
"""From this size on every kind of dirt finds room."""

_CITIZENS_ENOUGH = 2000
"""So many citizens, over all extracts, hold the records placed on purpose with room to spare."""

_AFSTEM_TOML = """\
# A synthetic workspace, written by `afstem sample`. Judge it as of {today} or later.

[store]
url = "sqlite:///var/afstem.db"

[paths]
actors  = "actors.toml"
landing = "var/landing"
reports = "reports"

[run]
timezone = "Europe/Copenhagen"
"""


@dataclass(frozen=True)
class WorkspaceSummary:
    """What was written.

    ``extracts`` and ``records`` are those that can be read; ``refused`` counts extracts by the code the whole of
    them is meant to get, ``rejected`` counts records by the primary code they are meant to get (as of the date it
    was written for), ``kinds`` the odd records by their name in the catalogues.
    """

    actors: int
    citizens: int
    relations: int
    subscriptions: int
    contacts: int
    extracts: int
    records: int
    refused: Mapping[int, int]
    rejected: Mapping[int, int]
    kinds: Mapping[str, int]

    def to_json(self) -> dict[str, Any]:
        """The same, as one JSON object."""
        return asdict(self)


def write_workspace(
    folder: Path,
    *,
    citizens: int,
    actors: int,
    dirty: float,
    seed: int,
    today: datetime.date = DEFAULT_TODAY,
    plan: NightPlan | None = None,
) -> WorkspaceSummary:
    """Write a synthetic workspace into a folder that is empty or does not exist yet.

    The same arguments with the same versions of the libraries give the same bytes; hence ``today``, the as-of date
    it is written for, is a fixed date (`DEFAULT_TODAY`) and not the clock's. Everything holds on later days too.
    There are about 2.4 records a citizen with twelve actors (some of which deliver nothing that can be read),
    about 3 with many. ``dirty`` is the share of records to be rejected. If it is above 0, every kind of dirt occurs at
    least once, broken files and unavailable actors included, from `COMPLETE_CITIZENS` and `COMPLETE_ACTORS` on; a
    smaller workspace holds what finds room. With 0 no record is rejected and no extract refused.

    With a ``plan`` the workspace is no show of everything but a usual night (`night`): as many records as planned, and
    neither broken files nor unavailable actors.

    Raises `UsageError` for a number out of bounds, or a folder that holds something.
    """
    _check("citizens", citizens, MIN_CITIZENS, MAX_CITIZENS)
    _check("actors", actors, MIN_ACTORS, MAX_ACTORS)
    _check("dirty", dirty, 0, MAX_DIRTY)
    _check("seed", seed, 0, 2**31)
    if plan:
        _check("changed", plan.changed, 0, 1)
    if folder.exists() and not (folder.is_dir() and not any(folder.iterdir())):
        raise UsageError(f"{folder}: is no empty folder; a sample is written into a folder of its own")
    invented, population, night = _invent(citizens, actors, dirty, seed, today, plan)
    folder.mkdir(parents=True, exist_ok=True)
    rows = write_reference(folder / "reference", population, invented, today, night.contacts if night else None)
    (folder / "afstem.toml").write_bytes(_AFSTEM_TOML.format(today=today).encode())
    signers = {actor.id: Signer(actor.id, seed, today) for actor in invented if actor.signs}
    logins = {actor: signer.actors_toml() for actor, signer in signers.items()}
    (folder / "actors.toml").write_bytes(actors_toml(invented, logins).encode())
    written, refused, extracts = _write_sources(folder / "extracts", population, invented, signers, dirty, today, night)
    return WorkspaceSummary(
        actors=actors,
        **rows,
        extracts=extracts,
        records=written.records,
        refused=dict(sorted(refused.items())),
        rejected=dict(sorted(written.rejected.items())),
        kinds=dict(sorted(written.kinds.items())),
    )


def _check(name: str, number: float, least: float, most: float) -> None:
    if not least <= number <= most:
        raise UsageError(f"{name}: must be from {least} to {most}, not {number}")


def _invent(
    citizens: int, actors: int, dirty: float, seed: int, today: datetime.date, plan: NightPlan | None
) -> tuple[list[InventedActor], Population, Night | None]:
    if plan is None:
        invented = invent_actors(actors, dirty > 0)
        return invented, invent_population(citizens, invented, seed), None
    writers = invent_writers(actors, LAYOUTS[plan.format])
    population = invent_population(citizens, writers, seed, NIGHT_RELATIONS)
    tellable = sum(len(told_citizens(population, position, actor)) for position, actor in enumerate(writers))
    midnight = int(np.datetime64(today, "s").astype(np.int64))
    return writers, population, plan_night(plan, population, tellable, midnight)


def _write_sources(
    folder: Path,
    population: Population,
    actors: list[InventedActor],
    signers: Mapping[str, Signer],
    dirty: float,
    today: datetime.date,
    night: Night | None,
) -> tuple[Written, Counter[int], int]:
    """The source folders; returns what all readable extracts hold, the refusals by code, and how many are readable."""
    placed = {} if night else _placed_on_purpose(population, actors, dirty)
    total, refused, extracts = Written(), Counter[int](), 0
    for position, actor in enumerate(actors):
        if actor.trouble is Trouble.NO_FOLDER:
            continue
        source = folder / actor.id
        source.mkdir(parents=True)
        if actor.trouble is Trouble.NOTHING_DELIVERED or not actor.deliveries:
            (source / PLACEHOLDER).write_bytes(b"")
            continue
        around = surroundings_of(population, position, actor)
        for turn, delivery in enumerate(actor.delivered):
            on_purpose = placed.get((position, turn), [])
            entropy = (population.seed, 2, position, turn)
            path = source / delivery.file_name
            written = write_extract(path, population, around, delivery, on_purpose, dirty, today, entropy, night)
            if actor.signs:
                signers[actor.id].sign(path, written.records)
            if actor.may_write:
                extracts += 1
                total.add(written)
            else:
                refused[1013] += 1
        if position == 0 and not night:
            for name, content in LEFT_ALONE.items():
                (source / name).write_bytes(content)
            for kind in EMPTY_EXTRACTS:
                (source / kind.name).write_bytes(kind.content([]))
                extracts += 1
        if actor.trouble is Trouble.BROKEN_FILES:
            for kind in BROKEN_FILES:
                (source / kind.name).write_bytes(kind.content(around.pools["own"][:20]))
                refused[kind.code or 0] += 1
            _repeat(source, actor.deliveries[0])
        if actor.trouble is Trouble.WRONG_MANIFESTS:
            refused.update(write_wrongly_signed(source, signers[actor.id], around.pools["own"][:5]))
    return total, refused, extracts


def _repeat(source: Path, delivery: Delivery) -> None:
    """The same bytes under another name: an extract that has been applied already when it is met."""
    again = replace(delivery, name=f"{delivery.name}-igen")
    (source / again.file_name).write_bytes((source / delivery.file_name).read_bytes())


def _placed_on_purpose(
    population: Population, actors: list[InventedActor], dirty: float
) -> dict[tuple[int, int], list[Oddity]]:
    """Which odd records each extract holds whatever the share, by (actor, delivery): every kind somewhere, in turn.

    The first twelve actors have every format, so the others are asked only while there are few citizens in all.
    """
    extracts: list[tuple[tuple[int, int], Layout, Surroundings]] = []
    for position, actor in enumerate(actors):
        if position >= COMPLETE_ACTORS and sum(len(around.citizens) for _, _, around in extracts) >= _CITIZENS_ENOUGH:
            break
        if not actor.may_write or actor.trouble in (Trouble.NO_FOLDER, Trouble.NOTHING_DELIVERED):
            continue
        around = surroundings_of(population, position, actor)
        if len(around.citizens):
            extracts.append(((position, 0), actor.deliveries[0].layout, around))
    placed: dict[tuple[int, int], list[Oddity]] = {key: [] for key, _, _ in extracts}
    room = {key: len(around.citizens) for key, _, around in extracts}
    for kind in (*CURIOSITIES, *(DIRT if dirty > 0 else ())):
        able = [key for key, layout, around in extracts if fits(kind, layout, around.pools)]
        for _ in range(kind.copies if able else 0):
            placed[min(able, key=lambda key: (len(placed[key]) + 1) / room[key])].append(kind)
    return placed
