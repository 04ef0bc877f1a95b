"""The synthetic workspace: the same for the same seed, about nobody, and with every kind of dirt reaching its code.

What a record or an extract gets is said by `reference`, which shares no line with the package.
"""

import re
import zlib
from collections import Counter
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import reference
from reference import Actor, Expected, World

from afstem.errors import UsageError
from afstem.sample import DEFAULT_TODAY, MAX_ACTORS, WorkspaceSummary, write_workspace
from afstem.sample.actors import Delivery, InventedActor, invent_actors, place_name
from afstem.sample.broken_files import BROKEN_FILES, EMPTY_EXTRACTS, LEFT_ALONE
from afstem.sample.cpr import meets_modulus_11, synthetic_numbers
from afstem.sample.curiosities import CURIOSITIES
from afstem.sample.dirt import DIRT
from afstem.sample.extracts import fits, write_extract
from afstem.sample.oddities import POOLS, Oddity
from afstem.sample.population import Population, invent_population
from afstem.sample.surroundings import Surroundings, surroundings_of
from afstem.schema import ActorType, Outcome
from afstem.settings import load_actors, load_settings

STARTED_AT = datetime(2026, 11, 23, 3, tzinfo=UTC)
WEIGHTS = (4, 3, 2, 7, 6, 5, 4, 3, 2, 1)


@dataclass(frozen=True)
class Sample:
    """A workspace, what its writer says of it, and what the reference makes of it."""

    folder: Path
    summary: WorkspaceSummary
    expected: Expected


def sample(folder: Path, dirty: float, citizens: int = 1500, seed: int = 1) -> Sample:
    summary = write_workspace(folder, citizens=citizens, actors=12, dirty=dirty, seed=seed)
    return Sample(folder, summary, reference.run(folder, DEFAULT_TODAY, STARTED_AT))


@pytest.fixture(scope="module")
def dirty_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    """The arguments of ``sample_data``."""
    return sample(tmp_path_factory.mktemp("dirty") / "workspace", 0.08)


@pytest.fixture(scope="module")
def clean_sample(tmp_path_factory: pytest.TempPathFactory) -> Sample:
    return sample(tmp_path_factory.mktemp("clean") / "workspace", 0)


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# --- the same every time ----------------------------------------------------------------------------------------------


def test_same_arguments_same_bytes(dirty_sample: Sample, tmp_path: Path) -> None:
    again = write_workspace(tmp_path / "again", citizens=1500, actors=12, dirty=0.08, seed=1)
    assert again == dirty_sample.summary
    assert files_of(tmp_path / "again") == files_of(dirty_sample.folder)


def test_another_seed_other_records(dirty_sample: Sample, tmp_path: Path) -> None:
    write_workspace(tmp_path / "other", citizens=1500, actors=12, dirty=0.08, seed=2)
    one, other = files_of(dirty_sample.folder), files_of(tmp_path / "other")
    assert one.keys() == other.keys()
    varying = [name for name in one if Path(name).name.startswith(("kontaktdata.csv", "kontaktdata.p", "relations"))]
    assert len(varying) > 5
    assert all(one[name] != other[name] for name in varying if not name.endswith((".part", ".tmp")))


def test_small_enough_to_be_kept_beside_the_source(dirty_sample: Sample) -> None:
    assert 3000 <= dirty_sample.summary.records <= 4000
    assert sum(len(content) for content in files_of(dirty_sample.folder).values()) < 1_000_000


# --- about nobody -----------------------------------------------------------------------------------------------------


def texts_of(path: Path) -> str:
    """All that a file says, as text, however little of it is whole; bytes that are no text are replaced."""
    content = path.read_bytes()
    if content.startswith(b"\x1f\x8b"):
        content = zlib.decompressobj(wbits=31).decompress(content)
    if content[:4] == content[-4:] == b"PAR1":
        with pq.ParquetFile(path) as file:
            columns = [column.cast("string").cast("binary").to_pylist() for column in file.read().columns]
        # Ten places, for the one file that holds CPR numbers as integers.
        content = b"\n".join(cell.rjust(10, b"0") for column in columns for cell in column if cell is not None)
    return content.decode("utf-8", "replace")


def could_have_been_issued(digits: str) -> bool:
    """A real date, and either a 1 January or modulus 11 (DOMAIN.md 6). Ten zeros are the number for "unknown"."""
    if digits == "0000000000" or reference.cpr_number(digits) is None:
        return False
    new_year = digits.startswith("0101")
    return new_year or sum(w * int(digit) for w, digit in zip(WEIGHTS, digits, strict=True)) % 11 == 0


def test_a_number_that_could_have_been_issued_is_noticed() -> None:
    """Else the next test proves nothing. Of the year 2057, so that no number of anybody stands here."""
    serials = [f"{serial}" for serial in range(5000, 5100)]
    assert sum(could_have_been_issued("311257" + serial) for serial in serials) in (9, 10)
    assert all(could_have_been_issued("010157" + serial) for serial in serials)
    assert not any(could_have_been_issued("310257" + serial) for serial in serials)


def test_no_cpr_number_could_have_been_issued(dirty_sample: Sample) -> None:
    found = set()
    for path in dirty_sample.folder.rglob("*"):
        if path.is_file():
            for match in re.finditer(r"(?<!\d)(\d{6})-?(\d{4})(?!\d)", texts_of(path)):
                found.add(match[1] + match[2])
    assert sum(reference.cpr_number(digits) is not None for digits in found) >= dirty_sample.summary.citizens
    assert not [digits for digits in found if could_have_been_issued(digits)]


@pytest.mark.parametrize("seed", [0, 1, 2**31])
def test_synthetic_numbers_are_different_valid_and_unissuable(seed: int) -> None:
    numbers = synthetic_numbers(np.arange(0, 40_000_000, 400), seed)
    assert len(np.unique(numbers)) == len(numbers)
    assert not meets_modulus_11(numbers).any()
    texts = [f"{number:010}" for number in numbers[::20]]
    assert all(reference.cpr_number(text) == text for text in texts)
    assert not any(could_have_been_issued(text) for text in texts)


def test_neighbouring_citizens_have_different_numbers() -> None:
    assert len(np.unique(synthetic_numbers(np.arange(500_000), 7))) == 500_000


def test_emails_are_of_reserved_names(dirty_sample: Sample) -> None:
    stored = {value for value, _, _ in dirty_sample.expected.store.values() if value and "@" in value}
    assert len(stored) > 500
    others = {value for value in stored if not re.search(r"[@.]example\.(com|net|org)$", value)}
    # No reserved name is one slip from a very common one, which the notice N2 is about.
    assert {value.rpartition("@")[2] for value in others} <= {"gmial.com", "hotmail.con", "outlok.dk"}
    assert 0 < len(others) < 20


def test_every_notice_is_shown(dirty_sample: Sample) -> None:
    found = {notice for record in dirty_sample.expected.records for notice in record.notices}
    assert found == {"N1", "N2", "N3", "N4", "N5"}


# --- every kind occurs, and reaches its code --------------------------------------------------------------------------


def test_every_kind_of_dirt_occurs(dirty_sample: Sample) -> None:
    kinds = [oddity.name for oddity in (*DIRT, *CURIOSITIES)]
    assert len(set(kinds)) == len(kinds)
    assert dirty_sample.summary.kinds.keys() == set(kinds)


@pytest.mark.parametrize("seed", range(10, 13))
@pytest.mark.parametrize("actors", [12, 35, MAX_ACTORS])
def test_every_kind_of_dirt_occurs_in_the_smallest_workspace(actors: int, seed: int, tmp_path: Path) -> None:
    summary = write_workspace(tmp_path / "w", citizens=500, actors=actors, dirty=1e-9, seed=seed)
    assert summary.kinds.keys() == {oddity.name for oddity in (*DIRT, *CURIOSITIES)}


def test_every_code_and_outcome_occurs(dirty_sample: Sample) -> None:
    records = dirty_sample.expected.records
    codes = {code for record in records for code in record.codes}
    assert codes == set(reference.ORDER)
    assert {record.outcome for record in records} == set(Outcome)
    extracts = {(extract.state, extract.code) for extract in dirty_sample.expected.extracts}
    whole = {("refused", 1012), ("refused", 1013), ("refused", 1014), ("already-applied", None)}
    assert extracts == {("applied", None), ("held", None)} | whole
    assert dirty_sample.expected.unavailable == ["kommune-013"]


@pytest.mark.parametrize("dirty", [0.08, 0.4])
def test_summary_says_what_the_rules_say(dirty: float, tmp_path: Path) -> None:
    written = sample(tmp_path / "w", dirty, citizens=700, seed=3)
    records, extracts = written.expected.records, written.expected.extracts
    primary = Counter(record.primary_code for record in records if record.outcome == "rejected")
    assert written.summary.records == len(records)
    assert written.summary.rejected == primary
    assert primary.total() / len(records) == pytest.approx(dirty, rel=0.25)
    assert written.summary.refused == Counter(extract.code for extract in extracts if extract.state == "refused")
    assert written.summary.extracts == sum(extract.state in ("applied", "held") for extract in extracts)


def test_without_dirt_nothing_is_rejected(clean_sample: Sample) -> None:
    expected = clean_sample.expected
    assert len(expected.records) == clean_sample.summary.records > 4000
    assert not [record.codes for record in expected.records if record.codes]
    assert {extract.state for extract in expected.extracts} == {"applied"}
    assert expected.unavailable == []
    assert clean_sample.summary.rejected == clean_sample.summary.refused == {}
    assert clean_sample.summary.kinds.keys() == {oddity.name for oddity in CURIOSITIES}


def test_everything_holds_on_a_later_day(clean_sample: Sample) -> None:
    later = reference.run(clean_sample.folder, date(2031, 1, 1), STARTED_AT)
    assert not [record.codes for record in later.records if record.codes]


@dataclass(frozen=True)
class Stage:
    """Where single kinds are tried: the first extract of each actor that may write, and the world they stand in."""

    population: Population
    extracts: list[tuple[InventedActor, Delivery, Surroundings]]
    world: World


@pytest.fixture(scope="module")
def stage(dirty_sample: Sample) -> Stage:
    actors = invent_actors(12, dirty=True)
    population = invent_population(1500, actors, seed=1)
    extracts = [
        (actor, actor.deliveries[0], surroundings_of(population, position, actor))
        for position, actor in enumerate(actors)
        if actor.may_write
    ]
    world = reference.read_world(dirty_sample.folder / "reference", World(DEFAULT_TODAY, STARTED_AT))
    return Stage(population, extracts, world)


@pytest.mark.parametrize("oddity", [*DIRT, *CURIOSITIES], ids=lambda oddity: oddity.name)
def test_each_kind_reaches_its_code_wherever_it_can_stand(oddity: Oddity, stage: Stage, tmp_path: Path) -> None:
    able = [extract for extract in stage.extracts if fits(oddity, extract[1].layout, extract[2].pools)]
    assert able
    for number, (actor, delivery, around) in enumerate(able):
        path = tmp_path / f"{number}{delivery.layout.suffix}"
        few = replace(around, citizens=around.citizens[:30])
        write_extract(path, stage.population, few, delivery, [oddity] * 8, 0, DEFAULT_TODAY, (1, number))
        records = reference.read_extract(path, actor.encoding)
        assert isinstance(records, list)
        judged = (reference.judge(record, Actor(actor.id, actor.type), stage.world) for record in records)
        primary = Counter(codes[0] for codes in judged if codes)
        assert primary == ({} if oddity.code is None else {oddity.code: 8 * oddity.records})


def test_kinds_draw_only_on_pools_that_there_are(stage: Stage) -> None:
    assert {oddity.needs for oddity in (*DIRT, *CURIOSITIES)} <= set(POOLS)
    assert all(around.pools.keys() == set(POOLS) for _, _, around in stage.extracts)


# --- files ------------------------------------------------------------------------------------------------------------


def test_broken_files_are_refused_and_empty_ones_are_not(dirty_sample: Sample) -> None:
    found = {extract.file: (extract.state, extract.code) for extract in dirty_sample.expected.extracts}
    assert all(found[kind.name] == ("refused", 1014) for kind in BROKEN_FILES)
    assert all(found[kind.name] == ("applied", None) for kind in EMPTY_EXTRACTS)
    assert not {record.file for record in dirty_sample.expected.records} & {kind.name for kind in EMPTY_EXTRACTS}
    assert not found.keys() & LEFT_ALONE.keys()
    assert all((dirty_sample.folder / "extracts" / "kommune-011" / name).is_file() for name in LEFT_ALONE)


def test_every_format_is_delivered(dirty_sample: Sample) -> None:
    endings = {
        "." + record.file.partition(".")[2] for record in dirty_sample.expected.records if record.outcome != "rejected"
    }
    assert endings == set(reference.ENDINGS)


def test_an_actor_that_delivered_nothing_has_a_folder_with_nothing_to_read(dirty_sample: Sample) -> None:
    assert [path.name for path in (dirty_sample.folder / "extracts" / "a-kasse-03").iterdir()] == [".gitkeep"]


def test_configuration_is_read_by_the_program(dirty_sample: Sample) -> None:
    actors = load_actors(load_settings(dirty_sample.folder / "afstem.toml", environment={}))
    assert {actor.type for actor in actors.values()} == set(ActorType)
    assert {actor.encoding for actor in actors.values()} == {"utf-8", "windows-1252", "iso-8859-1"}
    assert len({actor.priority for actor in actors.values()}) > 3


def test_reference_tables_have_the_rows_they_are_said_to_have(dirty_sample: Sample) -> None:
    for name in ("citizens", "relations", "subscriptions", "contacts"):
        rows = reference.read_reference_table(dirty_sample.folder / "reference", name)
        assert len(rows) == getattr(dirty_sample.summary, name) > 0


# --- actors -----------------------------------------------------------------------------------------------------------


def test_many_actors_are_different_and_mostly_ordinary() -> None:
    actors = invent_actors(MAX_ACTORS, dirty=True)
    assert len({actor.id for actor in actors}) == len({actor.name for actor in actors}) == MAX_ACTORS
    assert all(re.fullmatch(r"[a-z0-9-]{1,40}", actor.id) for actor in actors)
    types = Counter(actor.type for actor in actors)
    assert types[ActorType.STAR] == 1
    assert types[ActorType.A_KASSE] == 22
    assert types[ActorType.KOMMUNE] + types[ActorType.JOBCENTER] > 160


def test_csv_is_written_in_the_encoding_that_the_actor_declares() -> None:
    for actor in invent_actors(MAX_ACTORS, dirty=True):
        for delivery in actor.deliveries:
            if delivery.layout.format == "csv":
                assert delivery.layout.encoding == actor.encoding


def test_places_are_different() -> None:
    assert len({place_name(number) for number in range(200)}) == 200


def test_workspace_of_many_actors(tmp_path: Path) -> None:
    summary = write_workspace(tmp_path / "w", citizens=800, actors=60, dirty=0.05, seed=4)
    expected = reference.run(tmp_path / "w", DEFAULT_TODAY, STARTED_AT)
    assert len(expected.records) == summary.records
    assert Counter(record.primary_code for record in expected.records if record.codes) == summary.rejected


# --- wrong usage ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "wrong",
    [
        {"citizens": 0},
        {"citizens": 6_000_001},
        {"actors": 0},
        {"actors": 201},
        {"dirty": 1.1},
        {"dirty": -0.1},
        {"dirty": float("nan")},
        {"seed": -1},
    ],
)
def test_numbers_out_of_bounds_are_refused(wrong: dict[str, float], tmp_path: Path) -> None:
    arguments = {"citizens": 500, "actors": 12, "dirty": 0.1, "seed": 1} | wrong
    with pytest.raises(UsageError, match=next(iter(wrong))):
        write_workspace(tmp_path / "w", **arguments)  # type: ignore[arg-type]
    assert not (tmp_path / "w").exists()


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageError, match="no empty folder"):
        write_workspace(tmp_path, citizens=500, actors=12, dirty=0.1, seed=1)
    assert files_of(tmp_path) == {"mine.txt": b"mine"}
