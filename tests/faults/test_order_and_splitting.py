"""What was said decides, never how it arrived (SPEC 5.3): over many nights, and between two arrivals of the same.

The control breaks, on purpose, one thing at a time that the promise rests upon; the same test must then find it.
"""

import hashlib
import random
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import psycopg
import pyarrow.compute as pc
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    initialize,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import make_url
from whole_run import read_store, what_happened

from afstem import clock, decode, pipeline, reconcile, settlement
from afstem import pull as pull_room
from afstem.private_files import private_folder, write_json
from afstem.report import pages
from afstem.staging import RunFolder
from afstem.store import Store, recent_contacts

from .arrivals import ACTORS, BASE, Extract, Line, Told, Workspace, any_lines

FORMS = st.sampled_from(["csv", "csv.gz", "jsonl", "parquet"])

NewStore = Callable[[Path], str]


class Killed(BaseException):
    """Stands for SIGKILL: nothing catches it, and nothing of the program runs after it."""


@pytest.fixture(params=["sqlite", "postgresql"])
def new_store(request: pytest.FixtureRequest) -> Iterator[NewStore]:
    """Makes the URL of an empty store for a workspace's folder."""
    if request.param == "sqlite":
        yield lambda folder: f"sqlite:///{folder}/var/afstem.db"
        return
    server = request.getfixturevalue("postgresql_server")
    made = []

    def new_database(folder: Path) -> str:
        made.append(f"order_{secrets.token_hex(8)}")
        with psycopg.connect(server, autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{made[-1]}"')
        url = make_url(server).set(drivername="postgresql+psycopg", database=made[-1])
        return url.render_as_string(hide_password=False)

    yield new_database
    with psycopg.connect(server, autocommit=True) as connection:
        for name in made:
            connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)')


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """What people look at takes most of the time of a run of three records, and decides nothing here."""
    monkeypatch.setattr(pages, "write_pages", lambda *_: None)
    monkeypatch.setattr(pages, "write_history", lambda *_: None)


class Nights(RuleBasedStateMachine):
    """Actors deliver, nights go by, some of them badly; after every step the store holds what was said."""

    def __init__(self, new_store: NewStore) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="afstem-order-"))
        self.workspace = Workspace(self.folder / "workspace", new_store(self.folder / "workspace"))
        self.told = Told()
        self.now = BASE
        self.patched = pytest.MonkeyPatch()
        self.patched.setattr(clock, "now", lambda: self.now)

    def teardown(self) -> None:
        self.patched.undo()
        shutil.rmtree(self.folder)

    extracts = Bundle("extracts")

    @initialize()
    def load_citizens(self) -> None:
        pipeline.load_reference(self.workspace.config, self.workspace.reference)

    @rule(share=st.sampled_from([0.0, recent_contacts.MANY, 1e9]))
    def gather_contacts_for_longer(self, share: float) -> None:
        """Where a changed contact is kept makes no difference to anybody."""
        self.patched.setattr(recent_contacts, "MANY", share)

    # --- what arrives -------------------------------------------------------------------------------------------------

    @rule(
        target=extracts,
        actors=st.lists(st.sampled_from(sorted(ACTORS)), min_size=1, max_size=4),
        records=st.integers(1, 99),
        seed=st.integers(0, 2**32),
        form=FORMS,
    )
    def deliver(self, actors: list[str], records: int, seed: int, form: str) -> Any:
        """News, cut into as many extracts as there are actors named; an actor may be named twice."""
        lines = any_lines(random.Random(seed), records)
        parts = [lines[place :: len(actors)] for place in range(len(actors))]
        news = [
            (actor, Extract(tuple(part), form, str(seed))) for actor, part in zip(actors, parts, strict=True) if part
        ]
        for delivered in news:
            self.workspace.deliver(*delivered)
        return multiple(*news)

    @rule(extract=extracts)
    def deliver_the_same_bytes_again(self, extract: tuple[str, Extract]) -> None:
        self.workspace.deliver(*extract)

    @rule(extract=extracts, actor=st.sampled_from(sorted(ACTORS)))
    def another_actor_delivers_the_same_bytes(self, extract: tuple[str, Extract], actor: str) -> None:
        self.workspace.deliver(actor, extract[1])

    @rule(target=extracts, extract=extracts, seed=st.integers(0, 2**32), form=FORMS)
    def deliver_the_same_records_otherwise(self, extract: tuple[str, Extract], seed: int, form: str) -> Any:
        """In another order, under another reference, as another format, in two files: tonight's full extract."""
        actor, before = extract
        lines = list(before.lines)
        chance = random.Random(seed)
        chance.shuffle(lines)
        cut = chance.randrange(len(lines))
        again = [(actor, Extract(tuple(part), form, str(seed))) for part in (lines[:cut], lines[cut:]) if part]
        for delivered in again:
            self.workspace.deliver(*delivered)
        return multiple(*again)

    @rule(actor=st.sampled_from(sorted(ACTORS)), keep=st.booleans())
    def clear_away(self, actor: str, keep: bool) -> None:
        """An actor's folder holds what it holds: old files go, or only the first one."""
        for path in self.workspace.sources(actor)[int(keep) :]:
            path.unlink()

    # --- what goes by -------------------------------------------------------------------------------------------------

    @rule(
        hours=st.sampled_from([1, 1, 2, 0, -1]),
        absent=st.sets(st.sampled_from(sorted(ACTORS)), max_size=3),
        repeating=st.sets(st.sampled_from(sorted(ACTORS))),
        batch_bytes=st.sampled_from([120, 1 << 22]),
        range_records=st.sampled_from([1, 150_000]),
    )
    def night(self, hours: int, absent: set[str], repeating: set[str], batch_bytes: int, range_records: int) -> None:
        """The clock goes on, or is set back. Some actors deliver full extracts: all that they ever said once more."""
        self.now += timedelta(hours=hours)
        for actor in repeating - absent:
            if lines := self.workspace.said_by(actor):
                self.workspace.deliver(actor, Extract(lines, "csv", f"{self.now}"))
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(decode, "DEFAULT_BATCH_BYTES", batch_bytes)
            patched.setattr(settlement, "RECORDS_PER_RANGE", range_records)
            self._go_by(absent)

    @rule(pair=st.permutations(sorted(ACTORS)), seed=st.integers(0, 2**32))
    def a_rival_is_pulled_early_and_applied_late(self, pair: list[str], seed: int) -> None:
        """In between, the other actor repeats itself: that writes no row, and wins the tie all the same."""
        actor, rival = pair[:2]
        chance = random.Random(seed)
        ours, theirs = (
            tuple(replace(line, registered_at=self.now) for line in any_lines(chance, 40)) for _ in range(2)
        )
        self.workspace.deliver(actor, Extract(ours, "csv", f"{seed} first"))
        self._go_by({rival})
        self.workspace.deliver(rival, Extract(theirs, "csv", f"{seed} rival"))
        self.now += timedelta(hours=1)
        self._go_by({actor, rival})
        self.workspace.deliver(actor, Extract(ours, "csv", f"{seed} again"))
        self.now += timedelta(hours=1)
        self._go_by({rival})
        self._go_by(set())

    @rule(pair=st.permutations(sorted(ACTORS)), seed=st.integers(0, 2**32))
    def two_contradict_each_other_in_one_night(self, pair: list[str], seed: int) -> None:
        """With the same times: the priority of the actors decides, then their names."""
        chance = random.Random(seed)
        for actor in pair[:2]:
            lines = tuple(replace(line, registered_at=self.now) for line in any_lines(chance, 40))
            self.workspace.deliver(actor, Extract(lines, "csv", f"{seed} at once"))
        self._go_by(set())

    @rule()
    def night_that_dies_after_the_commit(self) -> None:
        self._run_and_die(ACTORS.keys(), committed=True)
        self.told.hear(self._new(ACTORS.keys()), self.now)

    @rule(records=st.integers(0, 60), seed=st.integers(0, 2**32))
    def first_contacts_are_loaded(self, records: int, seed: int) -> None:
        chance = random.Random(seed)
        by_place = {line.place: line for line in any_lines(chance, records) if line.is_told and line.registered_at}
        loaded = [(chance.choice([*ACTORS, "z"]), line) for line in by_place.values()]
        self.workspace.write_first_contacts(loaded)
        pipeline.load_reference(self.workspace.config, self.workspace.reference)
        (self.workspace.reference / "contacts.csv").unlink()
        self.told.load(loaded)

    @invariant()
    def the_store_holds_what_was_said(self) -> None:
        if self.told.contacts():
            assert read_store(self.workspace.folder)[0] == self.told.contacts()

    # --- the hands ----------------------------------------------------------------------------------------------------

    def _run(self, actors: Set[str]) -> dict[str, Any]:
        return pipeline.run(pipeline.Request(self.workspace.config, actors=tuple(sorted(actors))))

    def _run_and_die(self, actors: Set[str], *, committed: bool) -> None:
        apply = pipeline.apply

        def apply_or_not_and_die(*arguments: Any) -> None:
            if committed:
                apply(*arguments)
            raise Killed

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(pipeline, "apply", apply_or_not_and_die)
            with pytest.raises(Killed):
                self._run(actors)

    def _go_by(self, absent: Set[str]) -> None:
        """A night: the outcome of every record, and the store after it, are what the model says.

        What the absent have delivered is pulled, but not applied: by a run that dies.
        """
        if absent:
            self._run_and_die(absent, committed=False)
            self._pull(absent)
        self.now += timedelta(seconds=1)
        present = ACTORS.keys() - absent
        summary = self._run(present)
        expected = self.told.hear(self._new(present), self.now)
        ids = {f"{actor}-{sha256[:12]}": (actor, sha256) for actor, sha256, _ in expected}
        happened = what_happened(self.workspace.folder, summary)
        found = {(*ids[extract_id], record_no): outcome for _, extract_id, record_no, _, outcome, _ in happened.records}
        assert found == expected
        assert happened.contacts == self.told.contacts()

    def _delivered(self, actors: Set[str]) -> dict[tuple[str, str], Extract]:
        """What lies in the actors' folders, by actor and digest."""
        by_digest = {}
        for actor in actors:
            for path in self.workspace.sources(actor):
                by_digest[actor, hashlib.sha256(path.read_bytes()).hexdigest()] = self.workspace.content_of[path]
        return by_digest

    def _new(self, actors: Set[str]) -> dict[tuple[str, str], Extract]:
        return {key: extract for key, extract in self._delivered(actors).items() if key not in self.told.applied}

    def _pull(self, actors: Set[str]) -> None:
        for actor, sha256 in self._delivered(actors):
            self.told.pull(actor, sha256, self.now)


def nights_go_by(new_store: NewStore, examples: int, steps: int, **more: Any) -> None:
    run_state_machine_as_test(
        lambda: Nights(new_store),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            **more,
        ),
    )


def test_the_store_is_what_was_said(new_store: NewStore) -> None:
    nights_go_by(new_store, examples=1, steps=8)


@pytest.mark.soak
def test_the_store_is_what_was_said_over_many_nights(new_store: NewStore) -> None:
    nights_go_by(new_store, examples=40, steps=20)


# --- two arrivals -----------------------------------------------------------------------------------------------------

Said = list[tuple[str, Line]]


def arrive(workspace: Workspace, said: Said, chance: random.Random, *, tied: bool) -> dict[Any, Any]:
    """What is stored after it all arrived, in any order, cut into any files of any nights, some of it twice.

    ``tied``: nights that failed had pulled every file at the same time.
    """
    pipeline.load_reference(workspace.config, workspace.reference)
    said = chance.sample(said, len(said))
    nights = [said[place :: chance.randrange(1, 4)] for place in range(3)]
    nights.append([told for told in said if not any(told in night for night in nights)])
    for number, night in enumerate(chance.sample(nights, len(nights))):
        for actor in ACTORS:
            lines = tuple(line for whose, line in night if whose == actor)
            for place in range(files := chance.randrange(1, 4)):
                if part := lines[place::files]:
                    path = workspace.deliver(actor, Extract(part, chance.choice(["csv", "jsonl"]), f"{number} {place}"))
                    if tied:
                        note_first_pull(workspace.folder / "landing" / actor, path, BASE)
        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(clock, "now", lambda now=BASE + timedelta(days=number): now)
            pipeline.run(pipeline.Request(workspace.config))
    return read_store(workspace.folder)[0]


def note_first_pull(zone: Path, extract: Path, moment: datetime) -> None:
    """As an earlier run, which then failed, would have noted it in the landing zone."""
    digest = hashlib.sha256(extract.read_bytes()).hexdigest()
    write_json(private_folder(zone) / f"{digest}.json", {"first_pulled_at": moment.isoformat()})


def compare_arrivals(new_store: NewStore, examples: int, **more: Any) -> None:
    @settings(max_examples=examples, deadline=None, suppress_health_check=list(HealthCheck), **more)
    @given(seed=st.integers(0, 2**32), records=st.integers(1, 200), tied=st.booleans())
    def compare(seed: int, records: int, tied: bool) -> None:
        chance = random.Random(seed)
        times = [BASE - timedelta(minutes=minutes) for minutes in range(3 if tied else 200)]
        said = [
            (chance.choice(sorted(ACTORS)), replace(line, registered_at=chance.choice(times)))
            for line in any_lines(chance, records)
        ]
        # Where time and actor are the same, the place in a file decides, so that arrivals may differ; and if it is
        # not pulled at the same time, that decides between actors.
        once = {(actor if tied else "", line.place, line.registered_at): (actor, line) for actor, line in said}
        with tempfile.TemporaryDirectory(prefix="afstem-order-") as folder:
            stores = []
            for name in "ab":
                workspace = Workspace(Path(folder) / name, new_store(Path(folder) / name))
                stores.append(arrive(workspace, list(once.values()), chance, tied=tied))
        assert stores[0] == stores[1]
        assert stores[0].keys() == {line.place for _, line in once.values() if line.is_told}

    compare()


def test_two_arrivals_of_the_same_end_in_the_same_store(new_store: NewStore) -> None:
    compare_arrivals(new_store, examples=1)


@pytest.mark.soak
def test_many_arrivals_of_the_same_end_in_the_same_store(new_store: NewStore) -> None:
    compare_arrivals(new_store, examples=60)


# --- control ----------------------------------------------------------------------------------------------------------


def last_read_wins(patched: pytest.MonkeyPatch) -> None:
    """Among the records of a run, and against the store."""

    def last(self: Any, at: Any) -> Any:
        ranked = at[np.argsort(self.contact[at], kind="stable")]
        return ranked[np.flatnonzero(np.diff(self.contact[ranked], append=-1))]

    patched.setattr(reconcile._Claims, "greatest", last)
    patched.setattr(reconcile._Claims, "is_greater", lambda self, other: np.ones(len(self.contact), np.bool_))


def last_run_wins(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(reconcile._Claims, "is_greater", lambda self, other: np.ones(len(self.contact), np.bool_))


def confirmations_are_not_remembered(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(RunFolder, "confirmed", lambda self: iter(()))


def confirmations_move_no_time(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(reconcile._Claims, "repeats", lambda self, other: np.ones(len(self.contact), np.bool_))


def tombstones_are_dropped(patched: pytest.MonkeyPatch) -> None:
    stored = Store.stored_contacts_for

    def without_tombstones(self: Store, *range_: Any) -> Any:
        rows = stored(self, *range_)
        return rows.filter(pc.is_valid(rows["value"]))

    patched.setattr(Store, "stored_contacts_for", without_tombstones)


def loaded_contacts_compete(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(reconcile, "LOADED", -2)


def the_last_pull_counts(patched: pytest.MonkeyPatch) -> None:
    patched.setattr(pull_room, "_first_pulled", lambda zone, sha256, pulled_at: pulled_at)


def priority_decides_nothing(patched: pytest.MonkeyPatch) -> None:
    numbered = settlement.NumberedExtract
    patched.setattr(pipeline.settlement, "NumberedExtract", lambda **row: numbered(**row | {"priority": 100}))


def every_batch_is_settled_by_itself(patched: pytest.MonkeyPatch) -> None:
    """Of a run, only what was read last of a place is seen."""
    settle = settlement.settle

    def settle_last(candidates: Any, stored: Any, standing: Any) -> Any:
        result = settle(candidates.slice(len(candidates) // 2), stored, standing)
        outcome = np.full(len(candidates), reconcile.SUPERSEDED, np.int8)
        outcome[len(candidates) // 2 :] = result.outcome
        return replace(result, outcome=outcome)

    patched.setattr(settlement, "settle", settle_last)


def on_sqlite(folder: Path) -> str:
    return f"sqlite:///{folder}/var/afstem.db"


WITHOUT_SHRINKING: dict[str, Any] = {
    "phases": [Phase.generate],
    "derandomize": True,
    "database": None,
    "report_multiple_bugs": False,
}


@pytest.mark.parametrize(
    "naive",
    [
        confirmations_are_not_remembered,
        *(
            pytest.param(naive, marks=pytest.mark.soak)
            for naive in (
                last_read_wins,
                last_run_wins,
                confirmations_move_no_time,
                tombstones_are_dropped,
                loaded_contacts_compete,
                the_last_pull_counts,
                priority_decides_nothing,
                every_batch_is_settled_by_itself,
            )
        ),
    ],
)
def test_control_a_store_that_is_not_what_was_said_is_found(
    naive: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    naive(monkeypatch)
    with pytest.raises(AssertionError):
        nights_go_by(on_sqlite, examples=20, steps=10, **WITHOUT_SHRINKING)


@pytest.mark.soak
@pytest.mark.parametrize("naive", [last_run_wins, last_read_wins, tombstones_are_dropped])
def test_control_arrivals_that_differ_are_found(
    naive: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    naive(monkeypatch)
    with pytest.raises(AssertionError):
        compare_arrivals(on_sqlite, examples=20, **WITHOUT_SHRINKING)
