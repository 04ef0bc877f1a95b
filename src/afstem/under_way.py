"""A run under way: its plan, its staging folder, and what its steps need to know.

Steps are handed no more than the path of the staging folder, by `afstem run`, by Prefect and to workers on any machine;
here each of them finds the run again.
"""

import hashlib
import threading
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from afstem import codelist, permissions
from afstem.errors import UsageError
from afstem.evaluate import Terms, latest_time
from afstem.intake import Delivery, ExtractSummary
from afstem.lookup import Citizens, Knowledge
from afstem.pull import LandedExtract, find_landed
from afstem.report import publication
from afstem.settings import Actor, Settings, load_actors, load_settings
from afstem.sources import is_remote
from afstem.staging import Plan, RunFolder
from afstem.store import Store
from afstem.workers import Workers

FOLDERS_AT_ONCE = 4
"""So many actors are pulled at the same time where all sources are folders on disk; else `[pull] at_once`."""

WAITING_AT_ONCE = 256
"""So many actors may wait for a cluster at the same time, a thread each."""


@dataclass(frozen=True)
class Run:
    """A run under way: its plan, its staging folder, and what its steps need to know."""

    plan: Plan
    folder: RunFolder
    settings: Settings
    actors: dict[str, Actor]
    store: Store
    workers: Workers
    """Processes beside this one."""
    judges: Workers
    """Who judges extracts: the same, or a cluster."""
    pulling: AbstractContextManager[object]
    """Held by who pulls, so that no more do at the same time than may."""

    @classmethod
    def of_plan(
        cls, plan: Plan, settings: Settings, store: Store, workers: Workers, judges: Workers | None = None
    ) -> "Run":
        actors = load_actors(settings)
        return cls(
            plan=plan,
            folder=RunFolder.of(settings.landing, plan.run_id),
            settings=settings,
            actors={actor: actors[actor] for actor in plan.actors if actor in actors},
            store=store,
            workers=workers,
            judges=judges or workers,
            pulling=threading.Semaphore(_pulls_at_once(settings, actors)),
        )

    @cached_property
    def citizens(self) -> Citizens:
        return self.store.citizens()

    @cached_property
    def email_subscribers(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        return self.store.email_subscribers(self.plan.as_of)

    @cached_property
    def codelist(self) -> codelist.Codelist:
        return codelist.load(self.settings.codelist)

    @cached_property
    def permissions(self) -> permissions.Permissions:
        return permissions.load(self.settings.permissions)

    @cached_property
    def token_key(self) -> bytes:
        return self.store.token_key()

    def terms(self, actor: Actor) -> Terms:
        """What the records of one actor are judged by."""
        return Terms(
            codelist=self.codelist,
            zone=self.settings.zone,
            latest_time=latest_time(self.plan.started_at),
            knowledge=Knowledge(
                citizens=self.citizens,
                relations=self.store.relations(actor.id),
                email_subscribers=self.email_subscribers,
                kinds=self.permissions[actor.type],
                as_of=self.plan.as_of,
            ),
        )

    @property
    def actors_at_once(self) -> int:
        """So many actors are taken in at the same time: as many as are pulled, for this machine has no more cores.

        Where others judge, their number says nothing, and one who waits for them costs nothing.
        """
        if self.judges.is_elsewhere:
            return min(WAITING_AT_ONCE, max(1, len(self.actors)))
        return _pulls_at_once(self.settings, self.actors)

    @property
    def stages_elsewhere(self) -> bool:
        """Whether what is staged may be staged on another machine."""
        return self.settings.run.engine != "local"

    def deliveries(self) -> dict[str, Delivery]:
        """What came of every actor's delivery, by actor id."""
        return {actor: Delivery.from_json(content) for actor, content in self.folder.deliveries().items()}

    def manifest(self) -> dict[str, Any]:
        """``run.json`` of this run, once it is settled."""
        return self.folder.manifest() or publication.manifest_of(self.settings.reports, self.plan.run_id)

    def released(self, actor: str) -> list[LandedExtract]:
        """The actor's held extracts that this run is asked to let through, from the landing zone.

        Raises `UsageError` for one that is there no more.
        """
        if not self.plan.release:
            return []
        extracts = []
        for held in self.store.held_extracts():
            if held.actor == actor and held.extract_id in self.plan.release:
                extract = find_landed(actor, held.file, held.sha256, held.created_at, self.settings.landing)
                if extract is None:
                    raise UsageError(f"{held.extract_id} is no longer in the landing zone: have it delivered again")
                extracts.append(extract)
        return extracts

    def extracts(self) -> list[ExtractSummary]:
        return [extract for delivery in self.deliveries().values() for extract in delivery.extracts]


under_way: dict[Path, Run] = {}
"""The runs that this process has begun, by staging folder."""


def open_run(folder: Path) -> Run:
    """The run of a staging folder, for a step that is handed no more than the path.

    In the process that began the run it is the same object, with what it knows already and the store it holds.
    """
    return under_way.get(folder) or _handed(folder)


@lru_cache(maxsize=1)  # what a run knows of a country's citizens is large
def _handed(folder: Path) -> Run:
    """A run that another process has begun."""
    plan = RunFolder(folder).plan()
    settings = load_settings(plan.config)
    if configuration(settings) != plan.configuration:
        raise UsageError(
            f"a worker reads another configuration than the run: {plan.config}, the files that it names, and what the "
            "environment lays over it must be the same for both"
        )
    store = Store.open(settings.store_url)
    if store.name() != plan.store:
        raise UsageError("a worker opens another store than the run: let AFSTEM_STORE__URL be the same for both")
    return Run.of_plan(plan, settings, store, Workers())


def configuration(settings: Settings) -> str:
    """A digest of what decides how records are judged, but for the store: two machines must read the same."""
    digest = hashlib.sha256(f"{settings.landing}\0{settings.run.timezone}".encode())
    for file in (settings.actors, settings.codelist, settings.permissions):
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _pulls_at_once(settings: Settings, actors: dict[str, Actor]) -> int:
    remote = any(is_remote(actor.source) for actor in actors.values())
    return settings.pull.at_once if remote else min(FOLDERS_AT_ONCE, settings.pull.at_once)
