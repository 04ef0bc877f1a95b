"""Email domains: which are so common that they tell nothing of a citizen, and which are a slip from one of these.

The list is short, stands in ``data/email_domains.toml``, and holds public providers alone. What citizens of the store
use is not added to it: a domain of a few would tell of them, and one of many is on the list.
"""

import tomllib
from functools import cache, lru_cache
from importlib.resources import files

SHORTEST_MISSPELT = 8
"""Nearly every neighbour of a shorter domain belongs to somebody."""


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
    if not SHORTEST_MISSPELT - 1 <= len(domain) <= max(map(len, very_common())) + 1:
        return None
    if domain in very_common() or domain in _listed()["own_right"]:
        return None
    near = [common for common in very_common() if len(common) >= SHORTEST_MISSPELT and is_one_slip_from(domain, common)]
    return near[0] if len(near) == 1 else None


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
