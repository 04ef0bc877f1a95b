"""The manifests of an actor that signs, and the catalogue of manifests that prove nothing: one row for each.

The keys are made from the seed, so that the same seed writes the same bytes: they keep no secret. Each row stands
beside an extract of its own, for the same bytes twice are read once.
"""

import base64
import datetime
import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from afstem.manifests import WRITE_SCOPE
from afstem.pull import MANIFEST_ENDING
from afstem.sample.broken_files import Numbers
from afstem.schema import NEEDED_COLUMNS

USER, READER = "batch", "opslag"
"""A user that may write, and one that may not."""

_NEVER = 4_102_444_800
"""In the year 2100."""

Claims = dict[str, Any]


class Signer:
    """One actor that signs: its users, their keys, and when it signs."""

    def __init__(self, actor: str, seed: int, today: datetime.date) -> None:
        self.actor = actor
        self._seed = seed
        evening = datetime.datetime.combine(today, datetime.time(20), datetime.UTC)
        self.signed_at = int((evening - datetime.timedelta(days=1)).timestamp())

    def actors_toml(self) -> str:
        """What makes the actor one that signs, in ``actors.toml``; the writer is changing its key, so it has two."""
        coming, present, reader = map(self.public_key, ("coming", USER, READER))
        return (
            'login    = "manifest"\n'
            f'[[actor.user]]\nname       = "{USER}"\npublic_key = ["{coming}", "{present}"]\n'
            f'scopes     = ["{WRITE_SCOPE}"]\n'
            f'[[actor.user]]\nname       = "{READER}"\npublic_key = "{reader}"\nscopes     = []\n'
        )

    def public_key(self, name: str) -> str:
        from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

        written = self.key(name).public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        return base64.b64encode(written).decode()

    def claims(self, content: bytes, records: int) -> Claims:
        return {
            "iss": self.actor,
            "sub": USER,
            "iat": self.signed_at,
            "scope": WRITE_SCOPE,
            "sha256": hashlib.sha256(content).hexdigest(),
            "records": records,
        }

    def token(self, claims: Claims, key: str = USER) -> str:
        import jwt

        return jwt.encode(claims, self.key(key), "EdDSA")

    def sign(self, path: Path, records: int) -> None:
        """Write the manifest of an extract that was written."""
        write_token(path, self.token(self.claims(path.read_bytes(), records)))

    def key(self, name: str) -> Any:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        secret = hashlib.sha256(f"afstem sample {self._seed} {self.actor} {name}".encode()).digest()
        return Ed25519PrivateKey.from_private_bytes(secret)


def write_token(path: Path, token: str | None) -> None:
    if token is not None:
        path.with_name(path.name + MANIFEST_ENDING).write_text(token + "\n")


@dataclass(frozen=True)
class ManifestKind:
    """A manifest that proves nothing; ``code`` is what its extract is refused with. No token: no file."""

    name: str
    code: int
    token: Callable[[Signer, Claims], str | None]


def _claiming(**claims: Any) -> Callable[[Signer, Claims], str]:
    return lambda signer, good: signer.token(good | claims)


def _unsigned(_: Signer, good: Claims) -> str:
    """As those who know of old libraries write it, which believe a token that says that it is not signed."""
    parts = ({"alg": "none", "typ": "JWT"}, good)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


def _signed_with_what_everybody_knows(signer: Signer, good: Claims) -> str:
    """The public key as the secret of HS256: the other old trick."""
    import jwt

    return jwt.encode(good, signer.public_key(USER), "HS256")


WRONG_MANIFESTS = (
    ManifestKind("uden-manifest", 1012, lambda *_: None),
    ManifestKind("ulaeseligt-manifest", 1012, lambda *_: "underskrevet af os"),
    ManifestKind("manifest-uden-antal", 1012, lambda s, good: s.token({k: good[k] for k in good if k != "records"})),
    ManifestKind("manifest-uden-underskrift", 1012, _unsigned),
    ManifestKind("manifest-med-delt-hemmelighed", 1012, _signed_with_what_everybody_knows),
    ManifestKind("manifest-med-fremmed-noegle", 1012, lambda signer, good: signer.token(good, "fremmed")),
    ManifestKind("manifest-af-anden-aktoer", 1012, _claiming(iss="star")),
    ManifestKind("manifest-af-ukendt-bruger", 1012, _claiming(sub="vikar")),
    ManifestKind("manifest-fra-fremtiden", 1012, _claiming(iat=_NEVER)),
    ManifestKind("manifest-der-er-udloebet", 1012, _claiming(exp=1_600_000_000)),
    ManifestKind("bruger-uden-ret", 1013, lambda signer, good: signer.token(good | {"sub": READER}, READER)),
    ManifestKind("manifest-uden-ret", 1013, _claiming(scope=WRITE_SCOPE.replace(".write", ".read"))),
    ManifestKind("manifest-til-anden-fil", 1014, _claiming(sha256="0" * 64)),
    ManifestKind("manifest-med-forkert-antal", 1014, _claiming(records=999)),
)


def write_wrongly_signed(folder: Path, signer: Signer, numbers: Numbers) -> list[int]:
    """Write an extract with each of the manifests that prove nothing; the codes that they get."""
    lines = "".join(f"{number:010};1;26123456;\n" for number in numbers)
    for kind in WRONG_MANIFESTS:
        path = folder / f"{kind.name}.csv"
        path.write_text(";".join((*NEEDED_COLUMNS, kind.name)) + "\n" + lines)
        write_token(path, kind.token(signer, signer.claims(path.read_bytes(), len(numbers))))
    return [kind.code for kind in WRONG_MANIFESTS]
