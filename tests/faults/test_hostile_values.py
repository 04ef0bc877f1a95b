"""One bad record never costs its neighbours anything: hostile values in every column, format and database.

The good records of a night are the same in every example; what became of them is compared with a night of theirs alone.
"""

import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.dataset as ds
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from afstem.decode import message
from afstem.errors import AfstemError, UsageError
from afstem.schema import ContactType
from afstem.settings import load_actors, load_settings
from afstem.value_formats import VALUE_FORMATS, ValueFormat
from faults.hostile_values import (
    COLUMNS,
    ENCODINGS,
    FORMULAS,
    GOOD,
    HALVES,
    MARKUP,
    TEXTS,
    UNSEEN,
    Hostile,
    NeighboursLost,
    Night,
    all_at_once,
)


@st.composite
def hostile_records(draw: st.DrawFn, texts: Sequence[str]) -> dict[str, list[Hostile]]:
    """For each actor a few hostile records at random places."""
    hostile = st.builds(
        Hostile,
        place=st.integers(0, GOOD - 1),
        columns=st.one_of(
            st.sampled_from(COLUMNS).map(lambda name: (name,)),
            st.sampled_from(COLUMNS).map(lambda name: (name,)),
            st.just(COLUMNS),
            st.lists(st.sampled_from(COLUMNS), min_size=1, max_size=4, unique=True).map(tuple),
        ),
        text=st.one_of(
            st.sampled_from(texts),
            st.sampled_from(texts),
            st.lists(st.sampled_from(texts), min_size=2, max_size=4).map("".join),
            st.text(max_size=8),
        ),
        bare=st.booleans(),
    )
    return {actor: draw(st.lists(hostile, min_size=1, max_size=12)) for actor in ENCODINGS}


names_of_columns = st.lists(st.sampled_from([*MARKUP, *FORMULAS, *UNSEEN, "'=1", "ID"]), max_size=3, unique=True)


@pytest.fixture
def night(store_url: str, tmp_path: Path) -> Night:
    return Night(tmp_path / "workspace", store_url, citizens=30_000)


def test_every_hostile_value_in_every_column_costs_its_neighbours_nothing(night: Night) -> None:
    _, alone = night.run({})
    hostile = all_at_once(TEXTS)
    summary, among = night.run(hostile, names=[*MARKUP, *UNSEEN[:5]])
    assert among == alone
    assert summary["records"] > len(ENCODINGS) * (GOOD + len(hostile["csv"]))  # some break their line in two
    assert {outcome for outcomes, _, _ in among.values() for _, outcome, _ in outcomes} == {
        "applied",
        "unchanged",
        "superseded",
    }


@pytest.mark.parametrize("examples", [5, pytest.param(60, marks=pytest.mark.soak)])
def test_hostile_values_anywhere_cost_their_neighbours_nothing(night: Night, examples: int) -> None:
    _, alone = night.run({})

    @settings(max_examples=examples, deadline=None, database=None)
    @given(hostile_records(TEXTS), names_of_columns)
    def good_ones_fare_as_they_would_alone(hostile: dict[str, list[Hostile]], names: list[str]) -> None:
        _, among = night.run(hostile, names)
        assert among == alone

    good_ones_fare_as_they_would_alone()


@pytest.mark.parametrize("store_url", ["sqlite"], indirect=True)
def test_hostile_records_sent_again_unmended_get_the_same_verdicts(night: Night) -> None:
    """The receipt is an extract: its cells come back as they were submitted, formulas and all (README)."""
    # A line feed comes back as a picture of one; and what cannot be read has no cells (1014).
    every = [each for each in all_at_once(TEXTS)["csv"] if "\n" not in each.text]
    first, _ = night.run(dict.fromkeys(ENCODINGS, every), names=FORMULAS)
    second = night.send_receipts_again(first)
    before, after = codes_of(first), codes_of(second)
    assert {code for codes in before.values() for code in codes} >= {1001, 9153, 9156, 9157, 9158}
    assert after == before


def codes_of(summary: dict[str, Any]) -> dict[str, dict[int, int]]:
    """How often each code but 1014 was found, by actor."""
    found = ds.dataset(Path(summary["report"]) / "rejections", partitioning="hive").to_table().to_pylist()
    return {
        actor: Counter(row["code"] for row in found if row["actor"] == actor and row["code"] != 1014)
        for actor in ENCODINGS
    }


@pytest.mark.parametrize(
    "actor",
    ["../x", "a/b", "a.b", "A", "", "x" * 41, "a\n", "\na", "a b", "{{7*7}}", "<b>", "æ", "\u0661", "a\0", "\u202ea"],
)
def test_an_actor_id_that_could_be_more_than_a_name_is_refused(tmp_path: Path, actor: str) -> None:
    """It becomes a file name and a link; the message tells where it stands and is one line."""
    (tmp_path / "afstem.toml").write_text("")
    fields = f'name = "x"\ntype = "star"\nsource = "x"\nid = {json.dumps(actor)}\n'
    (tmp_path / "actors.toml").write_text(f"[[actor]]\n{fields}")
    with pytest.raises(UsageError, match=r"actors\.toml: actor\.1\.id: ") as refused:
        load_actors(load_settings(tmp_path / "afstem.toml"))
    assert str(refused.value).isprintable()


# --- the controls -----------------------------------------------------------------------------------------------------


def test_control_a_reader_that_believes_every_text_loses_the_neighbours(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(message, "_LONE_SURROGATE", re.compile("(?!)"))
    hostile = {"jsonl": [Hostile(3, ("kontaktdata",), HALVES[1], bare=False)]}
    with pytest.raises(NeighboursLost):
        night.run(hostile)


@pytest.mark.parametrize("store_url", ["postgresql"], indirect=True)
def test_control_a_store_that_is_given_every_value_loses_the_neighbours(
    night: Night, monkeypatch: pytest.MonkeyPatch
) -> None:
    naive = ValueFormat(lambda values: values, lambda value: "never")
    monkeypatch.setitem(VALUE_FORMATS, ContactType.MOBILE, naive)
    with pytest.raises(AfstemError):
        night.run({"csv": [Hostile(4, ("kontaktdata",), "2012\x003456", bare=False)]})
