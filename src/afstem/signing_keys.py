"""The keys that manifests are signed with: Ed25519 (EdDSA) and NIST P-256 (ES256).

Each key stands for one algorithm (RFC 8037, RFC 7518), so what a token says of its own algorithm decides nothing. A key
is read in any form in which common tools write one: PEM (openssl), the line of an ``.pub`` file or a private key of
OpenSSH (ssh-keygen), and, for a public key that shall stand on one line, the base64 text of PEM alone.
"""

import base64
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

Algorithm = Literal["EdDSA", "ES256"]
ALGORITHMS: tuple[Algorithm, ...] = ("EdDSA", "ES256")

_OPENSSH_PRIVATE = b"-----BEGIN OPENSSH PRIVATE KEY-----"
_PEM = b"-----BEGIN"
_OPENSSH_PUBLIC = (b"ssh-", b"ecdsa-")


class NoSigningKey(Exception):
    """A text that is no key of either kind; nothing is told of the text."""


@dataclass(frozen=True)
class SigningKey:
    """A public or a private key, and the one algorithm that it is for."""

    key: Any
    algorithm: Algorithm


@lru_cache(maxsize=1024)
def public_key(text: str) -> SigningKey:
    """A public key; raises `NoSigningKey`."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    from cryptography.hazmat.primitives.serialization import (
        load_der_public_key,
        load_pem_public_key,
        load_ssh_public_key,
    )

    written = text.strip().encode()
    try:
        if written.startswith(_PEM):
            key: Any = load_pem_public_key(written)
        elif written.startswith(_OPENSSH_PUBLIC):
            key = load_ssh_public_key(written)
        else:
            key = load_der_public_key(base64.b64decode(written, validate=True))
    except (ValueError, UnsupportedAlgorithm):
        raise NoSigningKey from None
    return _of_kind(key, Ed25519PublicKey, EllipticCurvePublicKey)


def private_key(content: bytes, passphrase: str | None = None) -> SigningKey:
    """A private key; raises `NoSigningKey`, also where the passphrase is wrong, missing or not needed."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key, load_ssh_private_key

    password = passphrase.encode() if passphrase else None
    load: Any = load_ssh_private_key if content.strip().startswith(_OPENSSH_PRIVATE) else load_pem_private_key
    try:
        key = load(content.strip(), password)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise NoSigningKey from None
    return _of_kind(key, Ed25519PrivateKey, EllipticCurvePrivateKey)


def _of_kind(key: Any, edwards: type[Any], elliptic: type[Any]) -> SigningKey:
    if isinstance(key, edwards):
        return SigningKey(key, "EdDSA")
    if isinstance(key, elliptic) and key.curve.name == "secp256r1":
        return SigningKey(key, "ES256")
    raise NoSigningKey
