"""A usual night of `afstem sample`: it repeats what the store holds, as often as asked, and is judged as meant.

What a record gets is said by `reference`, which shares no line with the package.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import reference
from reference import Actor, Claim, Expected, World
from test_cli import afstem
from test_sample import STARTED_AT, files_of

from afstem.errors import UsageError
from afstem.sample import DEFAULT_TODAY, NightPlan, WorkspaceSummary, write_workspace
from afstem.schema import NAMED_COLUMNS, ContactType

SIZES = {"citizens": 4000, "actors": 16, "seed": 1}
RECORDS, STORED = 8000, 9000

Place = tuple[str, str]


@dataclass(frozen=True)
class NightSample:
    """A night's workspace, what its writer says of it, and what the reference makes of it."""

    folder: Path
    summary: WorkspaceSummary
    expected: Expected
    held: dict[Place, Claim]
    actors: list[Actor]
    world: World

    def claims(self) -> Iterator[tuple[Place, Claim]]:
        """What each accepted record says."""
        for actor in self.actors:
            for path in reference.extracts_of(actor):
                for record in reference.read_extract(path, actor.encoding):
                    if not reference.judge(record, actor, self.world):
                        number = reference.cpr_number(record.personnummer)
                        claim = reference.claim_of(record, actor, self.world, STARTED_AT, "")
                        yield (number, reference.contact_type_of(record, self.world)), claim

    def is_news(self, place: Place, claim: Claim) -> bool:
        """Whether it says anything but what the store holds, at the same time or, from another actor, earlier."""
        held = self.held.get(place)
        if held is None or claim.value != held.value:
            return True
        return (
            (claim.registered_at != held.registered_at)
            if claim.actor == held.actor
            else (claim.registered_at >= held.registered_at)
        )


def night_sample(folder: Path, night: str, changed: float = 0.05, dirty: float = 0.03) -> NightSample:
    plan = NightPlan(night, RECORDS, STORED, changed)
    summary = write_workspace(folder, dirty=dirty, plan=plan, **SIZES)
    world = reference.read_world(folder / "reference", World(DEFAULT_TODAY, STARTED_AT))
    return NightSample(
        folder,
        summary,
        reference.run(folder, DEFAULT_TODAY, STARTED_AT),
        reference.read_first_filling(folder / "reference", world),
        reference.read_actors(folder / "actors.toml", folder),
        world,
    )


@pytest.fixture(scope="module", params=["parquet", "csv"])
def night(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> NightSample:
    return night_sample(tmp_path_factory.mktemp("night") / "w", request.param)


@pytest.fixture(scope="module")
def unchanged_night(tmp_path_factory: pytest.TempPathFactory) -> NightSample:
    return night_sample(tmp_path_factory.mktemp("unchanged") / "w", "parquet", changed=0)


def test_same_arguments_same_bytes(night: NightSample, tmp_path: Path) -> None:
    form = "csv" if any(night.folder.rglob("*.csv")) else "parquet"
    again = write_workspace(tmp_path / "again", dirty=0.03, plan=NightPlan(form, RECORDS, STORED), **SIZES)
    assert again == night.summary
    assert files_of(tmp_path / "again") == files_of(night.folder)


def test_every_record_is_judged_as_meant(night: NightSample) -> None:
    records = night.expected.records
    primary = Counter(record.primary_code for record in records if record.outcome == "rejected")
    assert night.summary.records == len(records)
    assert night.summary.rejected == primary
    assert primary.keys() == set(reference.ORDER)
    assert night.summary.refused == {}


def test_there_is_no_trouble(night: NightSample) -> None:
    assert night.expected.unavailable == []
    assert {extract.state for extract in night.expected.extracts} == {"applied"}
    assert len({extract.actor for extract in night.expected.extracts}) == night.summary.actors
    assert len(night.expected.extracts) == night.summary.extracts == night.summary.actors
    assert {actor.type for actor in night.actors} <= reference.PERMISSIONS.keys()


def test_numbers_are_about_those_asked_for(night: NightSample) -> None:
    assert night.summary.records == pytest.approx(RECORDS, rel=0.03)
    assert night.summary.contacts == pytest.approx(STORED, rel=0.03)
    assert night.summary.relations == pytest.approx(3 * night.summary.citizens, rel=0.1)
    assert sum(night.summary.rejected.values()) == pytest.approx(0.03 * RECORDS, rel=0.1)


def test_few_records_bring_news_of_every_kind(night: NightSample) -> None:
    news = [(night.held.get(place), claim) for place, claim in night.claims() if night.is_news(place, claim)]
    assert len(news) == pytest.approx(0.05 * RECORDS, rel=0.15)
    assert sum(held is None for held, _ in news) > 20
    assert sum(held is not None and claim.value is None for held, claim in news) > 20
    assert sum(held is not None and claim.value not in (None, held.value) for held, claim in news) > 100


def test_curious_values_are_among_the_news(night: NightSample) -> None:
    stored = [value or "" for value, _, _ in night.expected.store.values()]
    assert any(value.startswith("+46") for value in stored)
    assert any("@" in value and not value.isascii() for value in stored)


def test_the_others_repeat_value_and_time_of_what_is_stored(unchanged_night: NightSample) -> None:
    claims = list(unchanged_night.claims())
    assert len(claims) > 0.9 * RECORDS
    own = [(place, claim) for place, claim in claims if claim.actor == unchanged_night.held[place].actor]
    assert 0.2 < len(own) / len(claims) < 0.8
    for place, claim in own:
        held = unchanged_night.held[place]
        assert (claim.value, claim.registered_at) == (held.value, held.registered_at)


def test_whoever_it_is_not_stored_from_knows_it_from_longer_ago(unchanged_night: NightSample) -> None:
    told = Counter(place for place, _ in unchanged_night.claims())
    assert max(told.values()) > 1
    for place, claim in unchanged_night.claims():
        held = unchanged_night.held[place]
        assert claim.value == held.value
        assert claim.actor == held.actor or claim.registered_at < held.registered_at


def test_where_nothing_changed_nothing_changes(unchanged_night: NightSample) -> None:
    assert unchanged_night.expected.history == []
    assert {record.outcome for record in unchanged_night.expected.records} == {"unchanged", "rejected"}


def test_spellings_differ(night: NightSample) -> None:
    texts = {
        (record.personnummer or "")[6:7] == "-" and (record.kontaktdata or "")[:1]
        for actor in night.actors
        for path in reference.extracts_of(actor)
        for record in reference.read_extract(path, actor.encoding)
    }
    assert {False, "+", "2"} <= texts


def test_files_are_of_one_format(night: NightSample) -> None:
    endings = {path.suffix for path in night.folder.rglob("extracts/*/*")}
    assert len(endings) == 1
    assert {path.suffix for path in (night.folder / "reference").iterdir()} == {".parquet"}
    if endings == {".parquet"}:
        for path in night.folder.rglob("extracts/*/*"):
            schema = pq.read_schema(path)
            assert tuple(schema.names) == NAMED_COLUMNS
            assert set(schema.types) == {pa.string()}


def test_all_contact_types_are_stored_and_told(night: NightSample) -> None:
    slugs = {contact_type.slug for contact_type in ContactType}
    assert {contact_type for _, contact_type in night.held} == slugs
    assert {contact_type for (_, contact_type), _ in night.claims()} == slugs


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        (NightPlan("csv", changed=1.1), "changed"),
        (NightPlan("csv", changed=float("nan")), "changed"),
        (NightPlan("csv", records=100_000_000), "records"),
        (NightPlan("csv", stored=100_000_000), "stored"),
        (NightPlan("csv", records=8000, stored=0, changed=0.5), "records"),
    ],
)
def test_more_than_there_is_room_for_is_refused(wrong: NightPlan, named: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=named):
        write_workspace(tmp_path / "w", dirty=0.03, plan=wrong, **SIZES)
    assert not (tmp_path / "w").exists()


@pytest.mark.parametrize("actors", [1, 200])
def test_a_night_of_few_or_many_actors(actors: int, tmp_path: Path) -> None:
    plan = NightPlan("parquet", changed=1)
    summary = write_workspace(tmp_path / "w", citizens=3000, actors=actors, dirty=0, seed=2, plan=plan)
    assert summary.extracts == summary.actors == actors
    assert summary.records == pytest.approx(3000, rel=0.05)
    assert summary.rejected == {}


def test_the_command_writes_a_night_and_refuses_half_a_wish(tmp_path: Path) -> None:
    told = afstem("sample", "w", "--night", "csv", "--citizens", "300", "--records", "400", cwd=tmp_path)
    assert (told.returncode, told.stderr) == (0, "")
    assert (tmp_path / "w" / "reference" / "contacts.parquet").is_file()
    wrong = afstem("sample", "v", "--changed", "0.1", cwd=tmp_path)
    assert wrong.returncode == 2
    assert "--night" in wrong.stderr
    assert not (tmp_path / "v").exists()
