"""Contact values that every rule accepts: which value a citizen has in which version.

A value is a function of citizen, contact type and version, so nothing has to be remembered: version 0 is what the
store holds at first (a record that confirms it changes nothing), later versions are what extracts bring.
"""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from afstem.sample.text_columns import Ints, spell
from afstem.schema import ContactType

CODES = {ContactType.MOBILE: "1", ContactType.LANDLINE: "2", ContactType.EMAIL: "3"}
"""Identifiers of the shipped codelist (SPEC 2.5)."""

STORED_VERSION = 0

# Three-digit ranges in which every number is both mobile and fixed line in phonenumbers' metadata. No third digit
# 0: those ranges come and go in it.
_MOBILE_RANGES = np.array(
    [
        first * 10 + third
        for first in (*range(20, 30), 30, 31, 40, 41, 42, 50, 51, 52, 53, 60, 61)
        for third in range(1, 10)
    ]
)
_LANDLINE_RANGES = np.array(
    [first * 10 + third for first in (32, 33, 63, 72, 74, 75, 76, 86, 87, 88, 96, 97, 98, 99) for third in range(1, 10)]
)
# ruff: noqa: SIM905 - a line of words reads better than a column of quoted ones
_GIVEN_NAMES = (
    "anna anders bente birk clara carl dorte david ella emil freja finn gerda gustav hanne henrik ida ivan jonna jens "
    "karen kaj lise lars maja mads nina niels olga oscar petra peter ruth rasmus signe svend tove troels ulla viggo"
).split()
_SURNAMES = (
    "birkelund damgaard egholm fuglsang gadegaard hedelund iversby juelsbo klitmark lyngholm moseby nordlund odderbaek "
    "pilegren ravnsmark skovager tjoernely uldum vangsted westermose"
).split()
_LOCAL_PARTS = pa.array([f"{given}.{surname}" for given in _GIVEN_NAMES for surname in _SURNAMES])
# RFC 2606 and RFC 6761 set these names aside; email_validator takes them for ordinary ones.
_DOMAINS = pa.array(
    [f"@{host}example.{end}" for host in ("", "post.", "mail.", "hjem.") for end in ("com", "net", "org")]
)


def phone_numbers(ordinals: Ints, contact_type: ContactType, version: Ints, seed: int) -> Ints:
    """Danish numbers of eight digits, as integers, one for each citizen and version."""
    ranges = _LANDLINE_RANGES if contact_type == ContactType.LANDLINE else _MOBILE_RANGES
    drawn = scattered(ordinals, contact_type, version, seed)
    return ranges[drawn % len(ranges)] * 100_000 + (drawn >> 20) % 100_000


def email_addresses(ordinals: Ints, version: Ints, seed: int) -> pa.StringArray:
    """Addresses as email_validator would normalise them, one for each citizen and version."""
    drawn = scattered(ordinals, ContactType.EMAIL, version, seed)
    return pc.binary_join_element_wise(
        _LOCAL_PARTS.take(pa.array(drawn % len(_LOCAL_PARTS))),
        spell((drawn >> 12) % 1_000_000, 6, ["######"]),
        _DOMAINS.take(pa.array((drawn >> 34) % len(_DOMAINS))),
        "",
    )


def scattered(ordinals: Ints, contact_type: int, version: Ints | int, seed: int) -> Ints:
    """62 bits for each citizen that look drawn (the finaliser of splitmix64); versions go from 0 to 63."""
    salt = (seed * 1_000_003 + contact_type + 1) * 0x9E3779B97F4A7C15 % 2**64
    bits: npt.NDArray[np.uint64] = (ordinals * 64 + version).astype(np.uint64) + np.uint64(salt)
    bits = (bits ^ (bits >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    bits = (bits ^ (bits >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    bits = bits ^ (bits >> np.uint64(31))
    return (bits >> np.uint64(2)).astype(np.int64)
