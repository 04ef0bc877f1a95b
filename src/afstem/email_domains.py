"""Email domains: which are so common that they tell nothing of a citizen, and which are a slip from one of these.

The list is short, stands in ``data/email_domains.toml``, and holds public providers alone. What citizens of the store
use is not added to it: a domain of a few would tell of them, and one of many is on the list.
"""

import tomllib
from functools import cache, lru_cache
from importlib.resources import files

import numpy as np
import pyarrow as pa

from afstem.text_bytes import Bools, TextBytes, bytes_of

SHORTEST_MISSPELT = 8
"""Nearly every neighbour of a shorter domain belongs to somebody."""

_LONGEST_CHARACTER = 4
"""Bytes of it."""

_WORD = 8
_MULTIPLIER = np.uint64(0x9E37_79B9_7F4A_7C15)


@cache
def very_common() -> frozenset[str]:
    """Domains, in lower case, that so many people use that they say nothing of any of them."""
    return frozenset(_listed()["very_common"])


@cache
def _listed() -> dict[str, list[str]]:
    return tomllib.loads(files("afstem").joinpath("data", "email_domains.toml").read_text(encoding="utf-8"))


@lru_cache(maxsize=100_000)
def meant(domain: str) -> str | None:
    """The very common domain that this one (in lower case) is one slip from, if that is exactly one; else None."""
    if not SHORTEST_MISSPELT - 1 <= len(domain) <= _longest_misspelt():
        return None
    if domain in very_common() or domain in _listed()["own_right"]:
        return None
    near = [common for common in very_common() if len(common) >= SHORTEST_MISSPELT and is_one_slip_from(domain, common)]
    return near[0] if len(near) == 1 else None


def are_misspelt(addresses: pa.StringArray) -> Bools:
    """Which addresses (as stored: one at-sign, the domain in lower case) have a domain that is `meant` as another; the
    empty text has none. Each distinct domain is looked at once."""
    column = bytes_of(addresses)
    misspelt = np.zeros(len(addresses), np.bool_)
    given = np.flatnonzero(column.lengths)
    at_signs = np.flatnonzero(column.octets == ord("@"))
    if len(at_signs) != len(given):
        raise AssertionError("a stored address has one at-sign")
    ends = column.starts[given] + column.lengths[given]
    lengths = ends - at_signs - 1
    rows = np.flatnonzero((lengths >= SHORTEST_MISSPELT - 1) & (lengths < _longest_misspelt() + _LONGEST_CHARACTER))
    if not len(rows):
        return misspelt
    # With its at-sign a domain is eight bytes at least, so its last eight and those before say all of it.
    keys = lengths[rows].astype(np.uint64)
    for at in range(0, int(lengths[rows].max()) + 1, _WORD):
        words = column.windows(np.minimum(at_signs[rows] + at, ends[rows] - _WORD), _WORD).view(np.uint64).reshape(-1)
        keys = (keys ^ words) * _MULTIPLIER
    distinct = pa.array(keys).dictionary_encode()
    places = distinct.indices.to_numpy()
    example = np.empty(len(distinct.dictionary), np.int64)
    example[places] = rows  # any of them
    domains = (_text(column, at_signs[row] + 1, ends[row]) for row in example.tolist())
    verdicts = np.array([meant(domain) is not None for domain in domains], np.bool_)
    misspelt[given[rows]] = verdicts[places]
    return misspelt


def _text(column: TextBytes, begin: int, end: int) -> str:
    return column.octets[begin:end].tobytes().decode()


@cache
def _longest_misspelt() -> int:
    return max(map(len, very_common())) + 1


def is_one_slip_from(text: str, other: str) -> bool:
    """Whether one character is missing, too much or another one, or two neighbours have changed places."""
    shorter, longer = sorted((text, other), key=len)
    if len(longer) - len(shorter) > 1 or text == other:
        return False
    same = next((at for at in range(len(shorter)) if shorter[at] != longer[at]), len(shorter))
    if len(shorter) < len(longer):
        return shorter[same:] == longer[same + 1 :]
    swapped = shorter[same : same + 2] == longer[same : same + 2][::-1]
    return shorter[same + 1 :] == longer[same + 1 :] or (swapped and shorter[same + 2 :] == longer[same + 2 :])
