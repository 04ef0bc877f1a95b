"""Manifests: the token beside an extract, which proves who sent it (SPEC 2.4).

A manifest is a JSON Web Token (RFC 7519) that one of the actor's users has signed, over the extract's SHA-256 and the
number of its records. What it takes to read one is imported where there is one: most actors have none.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from afstem.errors import ManifestRefused
from afstem.evaluate import CLOCK_TOLERANCE
from afstem.settings import Actor
from afstem.signing_keys import ALGORITHMS, SigningKey, public_key

if TYPE_CHECKING:
    from jwt.types import Options

WRITE_SCOPE = "Borgerkommunikation.BorgersKontaktinformationService.informationer.write"
"""The scope that lets a user write: both its entry in ``actors.toml`` and its manifests must have it."""

REASONS_1012 = (
    "manifest-missing",  # no token beside the extract
    "manifest-malformed",  # no JSON Web Token, or a claim is missing or not what it should be
    "manifest-algorithm",  # signed with another algorithm than EdDSA and ES256, or not at all
    "manifest-other-actor",
    "manifest-unknown-user",
    "manifest-signature",  # none of the user's keys has signed it
    "manifest-from-the-future",  # made later than the run began, or not valid yet then
    "manifest-expired",  # had expired when the extract was first pulled
)
"""Why a manifest does not prove who sent the extract, in the order in which it is judged."""

REASON_1013 = "insufficient-scope"
REASONS_1014 = ("manifest-digest", "manifest-records")
"""Why a manifest is not about the file that it stands beside."""

_LAST_SECOND = 253_402_300_799
"""Of the year 9999, as far as `datetime` goes."""

_Time = Annotated[float, Field(ge=0, le=_LAST_SECOND, allow_inf_nan=False)]


class Claims(BaseModel):
    """What a manifest says; other claims are left alone, but for ``aud``, which would address it to somebody else."""

    model_config = ConfigDict(strict=True, frozen=True)

    iss: str
    sub: str
    iat: _Time
    scope: str
    """Words with blanks between (RFC 8693)."""
    sha256: Annotated[str, Field(pattern="^[0-9a-fA-F]{64}$")]
    records: Annotated[int, Field(ge=0)]
    exp: _Time | None = None
    nbf: _Time | None = None


@dataclass(frozen=True)
class Manifest:
    """What is proved: how many records are delivered, and when the extract was made (SPEC 5.3)."""

    records: int
    created_at: datetime


def prove(token: str | None, actor: Actor, sha256: str, started_at: datetime, first_pulled_at: datetime) -> Manifest:
    """What the token beside one of the actor's extracts, which has this digest, proves.

    It may not be younger than the start of the run, give or take what clocks are wrong by; whether it has expired is
    judged as of the first time the extract was pulled, for a held extract waits for its release.

    Raises `ManifestRefused`: 1012 where it is not proved that one of the actor's users says so, 1013 where that user
    may not write, 1014 where it is said of another file.
    """
    if token is None:
        raise ManifestRefused(1012, "manifest-missing")
    token = token.strip()
    claims = _read(token)
    if claims.iss != actor.id:
        raise ManifestRefused(1012, "manifest-other-actor")
    user = next((user for user in actor.user if user.name == claims.sub), None)
    if user is None:
        raise ManifestRefused(1012, "manifest-unknown-user")
    if not any(_is_signed_with(token, public_key(key)) for key in user.public_keys):
        raise ManifestRefused(1012, "manifest-signature")
    if max(claims.iat, claims.nbf or 0) > (started_at + CLOCK_TOLERANCE).timestamp():
        raise ManifestRefused(1012, "manifest-from-the-future")
    if claims.exp is not None and claims.exp <= (first_pulled_at - CLOCK_TOLERANCE).timestamp():
        raise ManifestRefused(1012, "manifest-expired")
    if WRITE_SCOPE not in user.scopes or WRITE_SCOPE not in claims.scope.split():
        raise ManifestRefused(1013, REASON_1013)
    if claims.sha256.lower() != sha256:
        raise ManifestRefused(1014, "manifest-digest")
    return Manifest(claims.records, datetime.fromtimestamp(claims.iat, UTC))


def make_token(claims: Claims, key: SigningKey) -> str:
    """A manifest, signed."""
    import jwt

    return jwt.encode(claims.model_dump(exclude_none=True), key.key, key.algorithm)


def _read(token: str) -> Claims:
    """What a token says, which is not yet believed."""
    import jwt

    try:
        read = jwt.decode_complete(token, options={"verify_signature": False})
    except (jwt.InvalidTokenError, ValueError):
        raise ManifestRefused(1012, "manifest-malformed") from None
    if read["header"].get("alg") not in ALGORITHMS:
        raise ManifestRefused(1012, "manifest-algorithm")
    try:
        return Claims.model_validate(read["payload"])
    except ValidationError:
        raise ManifestRefused(1012, "manifest-malformed") from None


def _is_signed_with(token: str, key: SigningKey) -> bool:
    """Whether the key's owner has signed the token, with the one algorithm that this key is for."""
    import jwt

    try:
        # Times are judged by the run's start, never by the clock; what is left to the library is signature and ``aud``.
        times_aside: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
        jwt.decode(token, key.key, algorithms=[key.algorithm], options=times_aside)
    except (jwt.InvalidSignatureError, jwt.InvalidAlgorithmError):
        return False
    except jwt.InvalidTokenError:
        raise ManifestRefused(1012, "manifest-malformed") from None
    return True
