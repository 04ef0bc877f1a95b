"""Who wins: the columns against the reference, and the promises of SPEC 5.3 on their own."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import reference
from hypothesis import given, settings
from hypothesis import strategies as st

from afstem.reconcile import CANDIDATE_SCHEMA, LOADED, OUTCOMES, Standing, contact_numbers, numbers_and_types, settle
from afstem.schema import NO_TIME

EXTRACTS = [
    # created_at, priority, actor, sha256: two of one actor that tie in everything but the digest among them
    (10, 100, "a", "11"),
    (10, 100, "a", "22"),
    (10, 50, "b", "33"),
    (10, 100, "c", "00"),
    (20, 200, "a", "44"),
]
VALUES = [None, "x", "y"]

claims = st.tuples(
    st.integers(0, 1),  # citizen
    st.integers(0, 2),  # contact type
    st.sampled_from(VALUES),
    st.integers(5, 8),  # registered at
    st.integers(0, len(EXTRACTS) - 1),
)


def standing() -> Standing:
    def ranks(keys: list) -> np.ndarray:
        return np.array([sorted(set(keys)).index(key) for key in keys], np.int64)

    def and_loaded(ranked: np.ndarray) -> np.ndarray:
        return np.append(ranked, LOADED)

    return Standing(
        and_loaded(ranks([(created, -priority, actor) for created, priority, actor, _ in EXTRACTS])),
        and_loaded(ranks([sha256 for *_, sha256 in EXTRACTS])),
        and_loaded(ranks([actor for _, _, actor, _ in EXTRACTS])),
    )


REFERENCE = len(EXTRACTS)
"""The source_no of what was loaded as reference data."""


def table(rows: list[tuple]) -> pa.Table:
    """Of (citizen, contact type, value, registered at, source, record_no); sorted as the store's would be."""
    numbered = [(int(contact_numbers(citizen, kind)), *rest) for citizen, kind, *rest in rows]
    return pa.table([list(column) for column in zip(*numbered, strict=True)] or [[]] * 5, schema=CANDIDATE_SCHEMA)


def place_of(row: dict) -> tuple[int, int]:
    citizen, kind = numbers_and_types(row["contact"])
    return int(citizen), int(kind)


def reference_claim(value: str | None, registered: int, extract: int, record_no: int) -> reference.Claim:
    epoch = datetime(2025, 1, 1, tzinfo=UTC)
    if extract == REFERENCE:
        moment = epoch + timedelta(seconds=registered)
        return reference.Claim(value, registered_at=moment, created_at=moment, actor="loaded", loaded=True)
    created, priority, actor, sha256 = EXTRACTS[extract]
    return reference.Claim(
        value=value,
        registered_at=epoch + timedelta(seconds=registered),
        created_at=epoch + timedelta(seconds=created),
        actor=actor,
        priority=priority,
        record_no=record_no,
        sha256=sha256,
    )


@settings(max_examples=400, deadline=None)
@given(
    st.lists(claims, max_size=10),
    st.dictionaries(
        st.tuples(st.integers(0, 2), st.integers(0, 2)),
        st.tuples(st.sampled_from(VALUES), st.integers(5, 8), st.sampled_from([REFERENCE, 0, 2, 4])),
        max_size=5,
    ),
    st.randoms(use_true_random=False),
)
def test_columns_agree_with_the_reference(said: list, held: dict, order: object) -> None:
    numbered = [(*claim, 100 + place) for place, claim in enumerate(said)]
    order.shuffle(numbered)
    stored = table(
        [(*place, value, registered, extract, 1) for place, (value, registered, extract) in held.items()]
    ).sort_by("contact")
    settlement = settle(table(numbered), stored, standing())
    changes = {
        place_of(row): (row["value"], row["registered_at"], row["source_no"], row["record_no"])
        for row in settlement.changes.to_pylist()
    }
    confirmed = {place_of(row): (row["source_no"], row["record_no"]) for row in settlement.confirmed.to_pylist()}
    for rows in (settlement.changes, settlement.confirmed):
        assert rows["contact"].to_pylist() == sorted(rows["contact"].to_pylist())
    for place in {claim[:2] for claim in numbered}:
        rivals = [claim for claim in numbered if claim[:2] == place]
        earlier = reference_claim(*held[place], 1) if place in held else None
        winner, outcomes = reference.reconcile([reference_claim(*rival[2:]) for rival in rivals], earlier)
        told = [OUTCOMES[settlement.outcome[numbered.index(rival)]] for rival in rivals]
        assert told == outcomes
        if winner is earlier:
            assert place not in changes
            assert place not in confirmed
        elif place in confirmed:
            # What anybody can read of the stored contact stays true; only where it was said last is kept elsewhere.
            assert reference_claim(*held[place][:2], *confirmed.pop(place)) == winner
            assert earlier.value == winner.value
            assert (earlier.registered_at, earlier.actor) == (winner.registered_at, winner.actor)
            assert place not in changes
        else:
            value, registered, extract, record_no = changes.pop(place)
            assert reference_claim(value, registered, extract, record_no) == winner
            assert earlier is None or (value, registered, winner.actor) != (
                earlier.value,
                held[place][1],
                earlier.actor,
            )
    assert not changes
    assert not confirmed


def test_a_loaded_contact_without_a_time_loses() -> None:
    stored = table([(1, 0, "x", NO_TIME, REFERENCE, -1)])
    settlement = settle(table([(1, 0, "y", 5, 0, 1)]), stored, standing())
    assert settlement.changes.to_pylist()[0]["before"] == "x"
    assert [OUTCOMES[place] for place in settlement.outcome] == ["applied"]


def test_nothing_said_changes_nothing() -> None:
    settlement = settle(table([]), table([(1, 0, "x", 5, 0, 1)]), standing())
    assert len(settlement.outcome) == len(settlement.changes) == len(settlement.confirmed) == 0
