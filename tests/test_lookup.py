"""What the store knows about the citizens of a batch, against one set membership at a time."""

from datetime import date

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from afstem.lookup import Citizens, Knowledge, look_up
from afstem.periods import OPEN_END
from afstem.permissions import Relations
from afstem.schema import NO_CPR

NUMBERS = [0, 101_000_000, 101_000_001, 101_000_064, 102_000_000, 3_112_999_999]
some = st.sets(st.sampled_from(NUMBERS))


def ascending(numbers: set[int]) -> np.ndarray:
    return np.array(sorted(numbers), np.int64)


@given(some, some, some, some, st.booleans(), st.lists(st.tuples(st.sampled_from([NO_CPR, *NUMBERS]), st.booleans())))
def test_every_fact_is_looked_up_for_every_record(
    citizens: set[int],
    dead: set[int],
    related: set[int],
    subscribed: set[int],
    everyone: bool,
    records: list[tuple[int, bool]],
) -> None:
    relations = Relations(
        ascending(related),
        np.zeros(len(related), np.uint8),
        np.zeros(len(related), np.int32),
        np.full(len(related), OPEN_END, np.int32),
    )
    knowledge = Knowledge(
        Citizens(ascending(citizens), ascending(dead & citizens)),
        relations,
        ascending(subscribed),
        frozenset({"alle borgere"} if everyone else {"egne borgere"}),
        date(2026, 3, 1),
    )
    numbers = np.array([number for number, _ in records], np.int64)
    removes = np.array([removes for _, removes in records], np.bool_)
    known = look_up(numbers, knowledge, removes)
    assert known.known.tolist() == [number in citizens and number != 0 for number, _ in records]
    assert known.dead.tolist() == [number in dead & citizens for number, _ in records]
    assert known.may_write.tolist() == [everyone or number in related for number, _ in records]
    assert known.email_subscribed.tolist() == [removes and number in subscribed for number, removes in records]
    assert look_up(numbers, knowledge).email_subscribed.tolist() == [number in subscribed for number, _ in records]
