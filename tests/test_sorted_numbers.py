"""Where numbers stand among sorted keys, against Python's own sets and lists."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from afstem.schema import NO_CPR
from afstem.sorted_numbers import Places, contains

# Close together, so that they share buckets and strips, and at the borders of these; also beyond any CPR number.
numbers = st.one_of(
    st.integers(0, 200),
    st.builds(
        lambda strip, bucket, last: (strip << 20) + (bucket << 8) + last,
        st.integers(0, 3) | st.integers(0, 10_000),
        st.integers(0, 2) | st.just(4095),
        st.sampled_from([0, 1, 2, 127, 128, 254, 255]),
    ),
    st.sampled_from([101_010_000, 3_112_999_999, 9_999_999_999]),
)


@given(st.sets(numbers, max_size=60), st.lists(numbers | st.just(NO_CPR), max_size=60))
def test_numbers_are_found_where_they_stand(keys: set[int], asked: list[int]) -> None:
    ascending = np.array(sorted(keys), np.int64)
    wanted = np.array([*asked, *keys], np.int64)
    places = Places.of(ascending).find(wanted)
    expected = {number: place for place, number in enumerate(sorted(keys))}
    assert places.tolist() == [expected.get(number, -1) for number in wanted.tolist()]
    assert contains(ascending, wanted).tolist() == [number in keys for number in wanted.tolist()]


@pytest.mark.parametrize("keys", [[], [0], [3_112_999_999]])
def test_few_keys_and_no_numbers(keys: list[int]) -> None:
    places = Places.of(np.array(keys, np.int64))
    assert places.find(np.empty(0, np.int64)).tolist() == []
    assert places.find(np.array([NO_CPR, -(2**63), 2**62], np.int64)).tolist() == [-1, -1, -1]


def test_a_bucket_may_be_full() -> None:
    keys = np.arange(2 << 8, 5 << 8)
    numbers = np.arange(6 << 8)
    expected = np.where((numbers >= keys[0]) & (numbers <= keys[-1]), numbers - keys[0], -1)
    assert Places.of(keys).find(numbers).tolist() == expected.tolist()


def test_the_empty_range_of_cpr_numbers_takes_no_memory() -> None:
    random = np.random.default_rng(3)
    days, months, rest = (random.integers(low, high, 200_000) for low, high in ((1, 32), (1, 13), (0, 10**6)))
    keys = np.unique(days * 10**8 + months * 10**6 + rest)
    places = Places.of(keys)
    assert places.find(keys).tolist() == list(range(len(keys)))
    assert places.before.nbytes + places.last_byte.nbytes < 7_000_000
