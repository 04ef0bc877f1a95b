"""Manifests (SPEC 2.4): every way of being wrong gets its code, and nothing but the right key proves anything."""

import base64
import hashlib
import json
import stat
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
import reference
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, SECP384R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_elliptic
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key as generate_rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st
from whole_run import run_again

from afstem.errors import ManifestRefused, UsageError
from afstem.forget import forget
from afstem.manifests import REASON_1013, REASONS_1012, REASONS_1014, WRITE_SCOPE, prove
from afstem.settings import Actor, ActorUser, load_actors, load_settings, signing_key
from afstem.sign import sign_file
from afstem.signing_keys import NoSigningKey, public_key

STARTED_AT = datetime(2026, 11, 23, 3, tzinfo=UTC)
SHA256 = "ab" * 32

EDWARDS, ELLIPTIC, STRANGER = Ed25519PrivateKey.generate(), generate_elliptic(SECP256R1()), Ed25519PrivateKey.generate()
CODE_OF_REASON = dict.fromkeys(REASONS_1012, 1012) | {REASON_1013: 1013, "manifest-digest": 1014}


def one_line(key: Any) -> str:
    written = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(written).decode()


def pem(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def openssh(key: Any) -> str:
    return key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode() + " batch@host"


ACTOR = Actor(
    id="kommune-a",
    name="A",
    type="kommune",  # type: ignore[arg-type]
    source="x",
    login="manifest",
    user=[
        ActorUser(name="batch", public_key=[pem(STRANGER), one_line(EDWARDS)], scopes=["other", WRITE_SCOPE]),
        ActorUser(name="elliptic", public_key=one_line(ELLIPTIC), scopes=[WRITE_SCOPE]),
        ActorUser(name="reader", public_key=one_line(EDWARDS), scopes=["read"]),
    ],
)
OTHER_KEY = Ed25519PrivateKey.generate()

GOOD: dict[str, Any] = {
    "iss": "kommune-a",
    "sub": "batch",
    "iat": 1_795_000_000,
    "scope": f"other {WRITE_SCOPE}",
    "sha256": SHA256,
    "records": 3,
}
assert GOOD["iat"] < STARTED_AT.timestamp()


def token(key: Any = EDWARDS, algorithm: str = "EdDSA", headers: dict[str, Any] | None = None, **claims: Any) -> str:
    """A token with these claims instead of the good ones; one that is `...` is left out."""
    payload = {name: value for name, value in (GOOD | claims).items() if value is not ...}
    return jwt.encode(payload, key, algorithm, headers)


def by_hand(header: Any, payload: Any, key: Any = EDWARDS) -> str:
    """What no library writes: anything as header and payload, rightly signed."""

    def encoded(part: Any) -> bytes:
        text = part if isinstance(part, bytes) else json.dumps(part).encode()
        return base64.urlsafe_b64encode(text).rstrip(b"=")

    signed = encoded(header) + b"." + encoded(payload)
    return (signed + b"." + base64.urlsafe_b64encode(key.sign(signed)).rstrip(b"=")).decode()


def proved(text: str | None, first_pulled_at: datetime = STARTED_AT) -> tuple[int, str] | tuple[datetime, int]:
    """(code, reason), or when the extract was made and how many records it has."""
    try:
        manifest = prove(text, ACTOR, SHA256, STARTED_AT, first_pulled_at)
    except ManifestRefused as refused:
        return refused.code, refused.reason
    return manifest.created_at, manifest.records


MADE = (datetime.fromtimestamp(GOOD["iat"], UTC), 3)
HEADER = {"alg": "EdDSA", "typ": "JWT"}
LATEST = (STARTED_AT + timedelta(minutes=5)).timestamp()

GOOD_TOKENS: dict[str, str] = {
    "EdDSA, the second key": token(),
    "EdDSA, the first key": token(STRANGER),
    "ES256": token(ELLIPTIC, "ES256", sub="elliptic"),
    "blanks around": f"\ufeff {token()}\r\n".removeprefix("\ufeff"),
    "capitals in the digest": token(sha256=SHA256.upper()),
    "claims that nobody asked for": token(jti="7", more={"a": [1]}),
    "a key id": token(headers={"kid": "2026"}),
    "valid at the moment": token(exp=STARTED_AT, nbf=STARTED_AT),
    "another type": token(headers={"typ": "afstem"}),
}


@pytest.mark.parametrize("name", GOOD_TOKENS)
def test_a_good_manifest_is_proved(name: str) -> None:
    assert proved(GOOD_TOKENS[name]) == MADE


def test_the_fraction_of_a_second_counts() -> None:
    made = proved(token(iat=1_795_000_000.25))[0]
    assert isinstance(made, datetime)
    assert made.microsecond == 250_000


WRONG_TOKENS: dict[str, tuple[str | None, str]] = {
    "none": (None, "manifest-missing"),
    "empty": ("", "manifest-malformed"),
    "a word": ("hello", "manifest-malformed"),
    "two parts": ("a.b", "manifest-malformed"),
    "five parts, as if encrypted": ("a.b.c.d.e", "manifest-malformed"),
    "control characters": ("\0.\x7f.\xff", "manifest-malformed"),
    "deep JSON": (by_hand(HEADER, b"[" * 40_000), "manifest-malformed"),
    "deep header": (by_hand(b"[" * 40_000, GOOD), "manifest-malformed"),
    "payload is a list": (by_hand(HEADER, [GOOD]), "manifest-malformed"),
    "payload is no UTF-8": (by_hand(HEADER, b'{"iss": "\xff"}'), "manifest-malformed"),
    "header is a list": (by_hand([HEADER], GOOD), "manifest-malformed"),
    "header without algorithm": (by_hand({"typ": "JWT"}, GOOD), "manifest-algorithm"),
    "algorithm is a list": (by_hand({"alg": ["EdDSA"]}, GOOD), "manifest-algorithm"),
    "none as algorithm": (token("", "none"), "manifest-algorithm"),
    "NONE as algorithm": (by_hand({"alg": "NONE"}, GOOD), "manifest-algorithm"),
    "shared secret": (token("0" * 64, "HS256"), "manifest-algorithm"),
    "shared secret that is the public key": (token(one_line(EDWARDS), "HS256"), "manifest-algorithm"),
    "RS256": (token(generate_rsa(65537, 2048), "RS256"), "manifest-algorithm"),
    "ES384": (token(generate_elliptic(SECP384R1()), "ES384"), "manifest-algorithm"),
    "something critical that nobody knows": (by_hand(HEADER | {"crit": ["x"], "x": 1}, GOOD), "manifest-malformed"),
    "detached": (by_hand(HEADER | {"crit": ["b64"], "b64": False}, GOOD), "manifest-malformed"),
    "addressed to another": (token(aud="somebody"), "manifest-malformed"),
    **{f"without {claim}": (token(**{claim: ...}), "manifest-malformed") for claim in GOOD},
    **{f"{claim} is null": (by_hand(HEADER, GOOD | {claim: None}), "manifest-malformed") for claim in GOOD},
    **{f"{claim} is a list": (by_hand(HEADER, GOOD | {claim: [GOOD[claim]]}), "manifest-malformed") for claim in GOOD},
    **{f"{claim} is true": (by_hand(HEADER, GOOD | {claim: True}), "manifest-malformed") for claim in GOOD},
    "iat is a text": (by_hand(HEADER, GOOD | {"iat": "1795000000"}), "manifest-malformed"),
    "iat is no number": (by_hand(HEADER, GOOD | {"iat": float("nan")}), "manifest-malformed"),
    "iat is without end": (by_hand(HEADER, GOOD | {"iat": float("inf")}), "manifest-malformed"),
    "iat before 1970": (token(iat=-1), "manifest-malformed"),
    "iat beyond all calendars": (token(iat=10**15), "manifest-malformed"),
    "records is a fraction": (token(records=3.5), "manifest-malformed"),
    "records is negative": (token(records=-3), "manifest-malformed"),
    "records is a text": (token(records="3"), "manifest-malformed"),
    "digest too short": (token(sha256=SHA256[1:]), "manifest-malformed"),
    "digest in base64": (token(sha256=base64.b64encode(bytes.fromhex(SHA256)).decode()), "manifest-malformed"),
    "digest with a line break": (token(sha256=SHA256 + "\n"), "manifest-malformed"),
    "another actor": (token(iss="kommune-b"), "manifest-other-actor"),
    "another actor in capitals": (token(iss="KOMMUNE-A"), "manifest-other-actor"),
    "unknown user": (token(sub="batch2"), "manifest-unknown-user"),
    "user in capitals": (token(sub="Batch"), "manifest-unknown-user"),
    "a key of nobody": (token(OTHER_KEY), "manifest-signature"),
    "the key of another user": (token(sub="elliptic"), "manifest-signature"),
    "says ES256, is EdDSA": (by_hand({"alg": "ES256"}, GOOD), "manifest-signature"),
    "a user's key for the other algorithm": (
        by_hand({"alg": "ES256"}, GOOD | {"sub": "elliptic"}),
        "manifest-signature",
    ),
    "another signature": (token()[:-20] + "A" * 20, "manifest-signature"),
    "no signature": (token().rpartition(".")[0] + ".", "manifest-signature"),
    "the signature of other claims": (
        ".".join([token().rpartition(".")[0], token(records=4).rpartition(".")[2]]),
        "manifest-signature",
    ),
    "a key it brings itself": (token(OTHER_KEY, headers={"jwk": {"kty": "OKP"}, "jku": "x"}), "manifest-signature"),
    "too young": (token(iat=LATEST + 1), "manifest-from-the-future"),
    "not yet valid": (token(nbf=LATEST + 1), "manifest-from-the-future"),
    "expired": (token(exp=(STARTED_AT - timedelta(minutes=5)).timestamp()), "manifest-expired"),
    "user without the scope": (token(sub="reader"), REASON_1013),
    "manifest without the scope": (token(scope="other"), REASON_1013),
    "half a scope": (token(scope=WRITE_SCOPE[:-1]), REASON_1013),
    "a scope that holds it": (token(scope=f"x{WRITE_SCOPE}"), REASON_1013),
    "no scope at all": (token(scope=""), REASON_1013),
    "another file": (token(sha256="cd" * 32), "manifest-digest"),
    # Who it is comes first, then what they may, then what they say.
    "all of it": (token(OTHER_KEY, sub="reader", sha256="cd" * 32, iat=LATEST + 1), "manifest-signature"),
    "no scope and another file": (token(sub="reader", sha256="cd" * 32), REASON_1013),
}


@pytest.mark.parametrize("name", WRONG_TOKENS)
def test_a_wrong_manifest_gets_its_code_and_reason(name: str) -> None:
    text, reason = WRONG_TOKENS[name]
    assert proved(text) == (CODE_OF_REASON[reason], reason)


def test_every_reason_has_its_token() -> None:
    assert {reason for _, reason in WRONG_TOKENS.values()} | {"manifest-records"} == {
        *REASONS_1012,
        REASON_1013,
        *REASONS_1014,
    }


@pytest.mark.parametrize("seconds", [0, -1, -3600])
def test_clocks_may_be_five_minutes_apart(seconds: int) -> None:
    assert proved(token(iat=LATEST + seconds))[1] == 3


def test_an_extract_that_waited_for_its_release_has_not_expired_meanwhile() -> None:
    expires = STARTED_AT - timedelta(days=3)
    assert proved(token(exp=expires)) == (1012, "manifest-expired")
    assert proved(token(exp=expires), first_pulled_at=expires - timedelta(hours=1)) == MADE


# --- mutations --------------------------------------------------------------------------------------------------------

TOKENS = st.sampled_from([token(), token(ELLIPTIC, "ES256", sub="elliptic")])
PLAIN = "ABCXYZabcxyz0189-_=.+/ {}\n\0é"


@st.composite
def mutants(draw: st.DrawFn) -> tuple[str, str]:
    """A good token, and what one to three changes have made of it."""
    good = draw(TOKENS)
    text = good
    for _ in range(draw(st.integers(1, 3))):
        place, many = draw(st.integers(0, len(text))), draw(st.integers(0, 8))
        text = text[:place] + draw(st.text(PLAIN, max_size=8)) + text[place + many :]
    return good, text


@given(mutants())
def test_no_mutant_proves_more_than_the_token_it_was_made_from(mutant: tuple[str, str]) -> None:
    """The control is in it: what differs in nothing that was signed is proved."""
    good, text = mutant
    outcome = proved(text)
    if outcome == MADE:
        assert text.strip().split(".")[:2] == good.split(".")[:2]
    else:
        assert outcome[0] == 1012
        assert text.strip() != good


@given(st.text(max_size=300) | st.binary(max_size=300).map(lambda octets: octets.decode("latin-1")))
def test_no_text_is_more_than_malformed(text: str) -> None:
    assert proved(text) == (1012, "manifest-malformed")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.fixed_dictionaries({}, optional=dict.fromkeys([*GOOD, "exp", "nbf", "aud", "jti"], json_values)),
    st.fixed_dictionaries({}, optional=dict.fromkeys(["typ", "kid", "crit", "b64", "cty"], json_values)),
)
def test_whatever_is_claimed_over_a_right_signature_is_judged(claims: dict[str, Any], headers: dict[str, Any]) -> None:
    outcome = proved(by_hand(HEADER | headers, GOOD | claims))
    assert outcome == MADE or outcome[0] in (1012, 1013, 1014) or isinstance(outcome[0], datetime)


# --- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", [one_line, pem, openssh])
@pytest.mark.parametrize(("key", "algorithm"), [(EDWARDS, "EdDSA"), (ELLIPTIC, "ES256")], ids=["edwards", "elliptic"])
def test_a_public_key_is_read_in_every_spelling(spelling: Callable[[Any], str], key: Any, algorithm: str) -> None:
    read = public_key(spelling(key))
    assert read.algorithm == algorithm
    assert one_line_of_public(read.key) == one_line(key)


def one_line_of_public(key: Any) -> str:
    return base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()


NO_KEYS = {
    "nothing": "",
    "a word": "secret",
    "cut": one_line(EDWARDS)[:-8],
    "PEM of nothing": "-----BEGIN PUBLIC KEY-----\n-----END PUBLIC KEY-----",
    "not on the curve": base64.b64encode(
        bytes.fromhex("3059301306072a8648ce3d020106082a8648ce3d030107034200") + b"\x04" + b"\x01" * 64
    ).decode(),
    "P-384": one_line(generate_elliptic(SECP384R1())),
    "RSA": pem(generate_rsa(65537, 2048)),
    "Ed448": one_line(Ed448PrivateKey.generate()),
    "no ASCII": "é" * 40,
    "private": EDWARDS.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
}


@pytest.mark.parametrize("name", NO_KEYS)
def test_what_is_no_key_of_either_kind_is_none(name: str) -> None:
    with pytest.raises(NoSigningKey):
        public_key(NO_KEYS[name])


def write_workspace(folder: Path, users: str, login: str = "manifest") -> Path:
    (folder / "afstem.toml").write_text("")
    (folder / "actors.toml").write_text(
        f'[[actor]]\nid = "kommune-a"\nname = "A"\ntype = "kommune"\nsource = "in"\nlogin = "{login}"\n{users}'
    )
    (folder / "in").mkdir(exist_ok=True)
    return folder


def user(key: str, name: str = "batch", scope: str = WRITE_SCOPE) -> str:
    return f'[[actor.user]]\nname = "{name}"\npublic_key = {key}\nscopes = ["{scope}"]\n'


@pytest.mark.parametrize(
    ("users", "said"),
    [
        ("", 'kommune-a.user: login = "manifest" needs [[actor.user]]'),
        (user('"secret words"'), "kommune-a.user.batch.public_key: no Ed25519 or P-256 public key"),
        (user("[]"), "public_key"),
        (user(f'["{one_line(EDWARDS)}", "secret words"]'), "no Ed25519 or P-256 public key"),
        (user(f'"{one_line(EDWARDS)}"') * 2, "'batch' stands twice"),
        (user("7"), "public_key"),
    ],
    ids=["no user", "no key", "no keys", "one of two", "twice", "a number"],
)
def test_a_wrong_user_is_one_line_that_names_file_and_key(users: str, said: str, tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, users)
    with pytest.raises(UsageError) as raised:
        run_again(workspace)
    assert str(raised.value).startswith(str(workspace / "actors.toml"))
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_users_may_stand_ready_before_the_login_is_a_manifest(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, user(f'"{one_line(EDWARDS)}"'), login="source")
    assert load_actors(load_settings(workspace / "afstem.toml", {}))["kommune-a"].user[0].name == "batch"
    assert run_again(workspace)["status"] == "completed"


# --- a run ------------------------------------------------------------------------------------------------------------


@dataclass
class Night:
    """A workspace with one actor that signs, and its source."""

    workspace: Path

    def deliver(self, name: str, content: bytes, text: str | None) -> Path:
        path = self.workspace / "in" / name
        path.write_bytes(content)
        if text is not None:
            path.with_name(name + ".jwt").write_text(text)
        return path

    def run(self, *release: str, **asked: Any) -> dict[str, tuple[str, int | None, str | None]]:
        """State, code and reason of each extract by its name."""
        self.summary = run_again(self.workspace, release=release, **asked)
        manifest = json.loads((Path(self.summary["report"]) / "run.json").read_text())
        return {
            extract["file"]: (extract["state"], extract["code"], extract["reason"]) for extract in manifest["extracts"]
        }


CSV = b"personnummer;kontaktdatatype;kontaktdata\n0207901231;1;26123456\nx\n"


def signed(content: bytes, records: int, key: Any = EDWARDS, algorithm: str = "EdDSA", **claims: Any) -> str:
    return token(key, algorithm, sha256=hashlib.sha256(content).hexdigest(), records=records, **claims)


@pytest.fixture
def night(tmp_path: Path) -> Night:
    return Night(write_workspace(tmp_path, user(f'["{one_line(EDWARDS)}", "{one_line(ELLIPTIC)}"]')))


def test_each_extract_of_a_night_gets_what_its_manifest_proves(night: Night) -> None:
    contents = {name: CSV + name.encode() + b"\n" for name in "abcdefg"}
    night.deliver("a.csv", contents["a"], signed(contents["a"], 3))
    night.deliver("b.csv", contents["b"], signed(contents["b"], 2))
    night.deliver("c.csv", contents["c"], None)
    night.deliver("d.csv", contents["d"], signed(contents["a"], 3))
    night.deliver("e.csv", contents["e"], signed(contents["e"], 3, scope="read"))
    night.deliver("f.csv", contents["f"], signed(contents["f"], 3)).with_name("f.csv.jwt").chmod(0o600)
    (night.workspace / "in" / "g.csv.jwt").symlink_to(night.workspace / "in" / "a.csv.jwt")
    night.deliver("g.csv", contents["g"], None)
    night.deliver("h.csv", CSV, "x" * 1_000_000)
    night.deliver("alone.csv.jwt", b"no extract", None)
    assert night.run() == {
        "a.csv": ("applied", None, None),
        "b.csv": ("refused", 1014, "manifest-records"),
        "c.csv": ("refused", 1012, "manifest-missing"),
        "d.csv": ("refused", 1014, "manifest-digest"),
        "e.csv": ("refused", 1013, "insufficient-scope"),
        "f.csv": ("applied", None, None),
        "g.csv": ("refused", 1012, "manifest-malformed"),
        "h.csv": ("refused", 1012, "manifest-malformed"),
    }
    assert night.summary["records"] == 6
    assert night.summary["findings"] == {"1010": 2, "1012": 3, "1013": 1, "1014": 6, "4575": 2}


def test_what_was_refused_is_applied_once_it_is_signed(night: Night) -> None:
    night.deliver("a.csv", CSV, None)
    assert night.run() == {"a.csv": ("refused", 1012, "manifest-missing")}
    night.deliver("a.csv", CSV, signed(CSV, 2, OTHER_KEY))
    assert night.run() == {"a.csv": ("refused", 1012, "manifest-signature")}
    night.deliver("a.csv", CSV, signed(CSV, 2, ELLIPTIC, "ES256"))
    assert night.run() == {"a.csv": ("applied", None, None)}
    night.deliver("a.csv", CSV, None)
    assert night.run() == {"a.csv": ("already-applied", None, None)}


def test_the_same_bytes_wrongly_and_rightly_signed_in_one_night(night: Night) -> None:
    night.deliver("a.csv", CSV, None)
    night.deliver("b.csv", CSV, signed(CSV, 2))
    night.deliver("c.csv", CSV, "nonsense")
    states = night.run()
    assert states == {
        "a.csv": ("refused", 1012, "manifest-missing"),
        "b.csv": ("applied", None, None),
        "c.csv": ("already-applied", None, None),
    }


def test_the_manifest_says_when_the_extract_was_made(night: Night) -> None:
    night.deliver("a.csv", CSV, signed(CSV, 2, iat=1_700_000_000))
    night.run()
    manifest = json.loads((Path(night.summary["report"]) / "run.json").read_text())
    assert manifest["extracts"][0]["created_at"] == "2023-11-14T22:13:20.000000Z"


def test_a_held_extract_is_released_by_the_manifest_that_came_with_it(night: Night) -> None:
    content = CSV.splitlines(keepends=True)[0] + b"0207901231;1;\n" * 120
    path = night.deliver("a.csv", content, signed(content, 120))
    assert night.run() == {"a.csv": ("held", None, None)}
    [extract] = night.summary["extracts"]
    landed = list((night.workspace / "var" / "landing" / "kommune-a").iterdir())
    assert sorted(path.suffix for path in landed) == [".csv", ".json", ".jwt"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in landed} == {0o600}
    path.unlink()
    path.with_name("a.csv.jwt").unlink()
    assert night.run(extract["id"]) == {"a.csv": ("applied", None, None)}


def test_a_key_that_was_taken_away_releases_nothing(night: Night) -> None:
    content = CSV.splitlines(keepends=True)[0] + b"0207901231;1;\n" * 120
    night.deliver("a.csv", content, signed(content, 120))
    assert night.run() == {"a.csv": ("held", None, None)}
    write_workspace(night.workspace, user(f'"{one_line(STRANGER)}"'))
    [extract] = night.summary["extracts"]
    assert night.run(extract["id"]) == {"a.csv": ("refused", 1012, "manifest-signature")}


def test_forgetting_an_extract_forgets_its_manifest(night: Night) -> None:
    night.deliver("a.csv", CSV, signed(CSV, 2))
    night.run()
    forget(night.workspace / "afstem.toml", 0, dry_run=False)
    landed = (night.workspace / "var" / "landing" / "kommune-a").iterdir()
    assert [path.suffix for path in landed] == [".json"]


def test_the_reference_verifies_tokens_by_hand_and_agrees(tmp_path: Path) -> None:
    """Of all good and wrong tokens but a few that only a library looks for."""
    actor = reference.Actor(
        ACTOR.id,
        "kommune",
        signs=True,
        users={
            "batch": ([one_line(STRANGER), one_line(EDWARDS)], [WRITE_SCOPE]),
            "elliptic": ([one_line(ELLIPTIC)], [WRITE_SCOPE]),
            "reader": ([one_line(EDWARDS)], []),
        },
    )
    path = tmp_path / "a.csv"
    path.write_bytes(b"")
    asked = 0
    for name, (text, reason) in ({name: (text, "") for name, text in GOOD_TOKENS.items()} | WRONG_TOKENS).items():
        if name in (
            "something critical that nobody knows",
            "detached",
            "iat is without end",
            "deep JSON",
            "deep header",
        ):
            continue
        path.with_name("a.csv.jwt").unlink(missing_ok=True)
        if text is not None:
            path.with_name("a.csv.jwt").write_bytes(text.encode("latin-1"))
        refusal = reference.judge_manifest(path, actor, STARTED_AT, STARTED_AT)
        # The file is empty, so a token that proves all else is about another one.
        assert refusal is not None
        assert refusal.code == (CODE_OF_REASON[reason] if reason else 1014), name
        asked += 1
    assert asked > 60


# --- signing ----------------------------------------------------------------------------------------------------------


def private(key: Any, kind: PrivateFormat = PrivateFormat.PKCS8, passphrase: bytes | None = None) -> bytes:
    encryption = BestAvailableEncryption(passphrase) if passphrase else NoEncryption()
    return key.private_bytes(Encoding.PEM, kind, encryption)


@pytest.mark.parametrize("key", [EDWARDS, ELLIPTIC], ids=["edwards", "elliptic"])
@pytest.mark.parametrize(
    ("kind", "passphrase"),
    [(PrivateFormat.PKCS8, None), (PrivateFormat.PKCS8, b"open sesame"), (PrivateFormat.OpenSSH, None)],
    ids=["openssl", "with a passphrase", "openssh"],
)
def test_what_is_signed_is_proved(
    key: Any, kind: PrivateFormat, passphrase: bytes | None, night: Night, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_bytes(private(key, kind, passphrase))
    environment = {"AFSTEM_SIGNING_PASSPHRASE": passphrase.decode()} if passphrase else {}
    path = night.deliver("a.csv", CSV, None)
    told = sign_file(path, "kommune-a", "batch", signing_key(file, environment), "utf-8")
    assert (told["manifest"], told["records"]) == ("a.csv.jwt", 2)
    assert night.run() == {"a.csv": ("applied", None, None)}
    assert sorted(path.name for path in path.parent.iterdir()) == ["a.csv", "a.csv.jwt"]


def test_a_key_comes_from_the_environment_too() -> None:
    assert signing_key(None, {"AFSTEM_SIGNING_KEY": private(EDWARDS).decode()}).algorithm == "EdDSA"


@pytest.mark.parametrize(
    ("file", "environment", "said"),
    [
        (None, {}, "AFSTEM_SIGNING_KEY"),
        ("nowhere", {}, "nowhere: cannot be read: No such file or directory"),
        ("locked", {}, "AFSTEM_SIGNING_PASSPHRASE"),
        ("locked", {"AFSTEM_SIGNING_PASSPHRASE": "wrong secret"}, "AFSTEM_SIGNING_PASSPHRASE"),
        ("rsa", {}, "no Ed25519 or P-256 private key"),
        ("public", {}, "no Ed25519 or P-256 private key"),
        (None, {"AFSTEM_SIGNING_KEY": "my secret"}, "no Ed25519 or P-256 private key"),
    ],
)
def test_a_key_that_is_none_is_told_in_one_line(
    file: str | None, environment: dict[str, str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "locked").write_bytes(private(EDWARDS, passphrase=b"right secret"))
    (tmp_path / "rsa").write_bytes(private(generate_rsa(65537, 2048)))
    (tmp_path / "public").write_text(pem(EDWARDS))
    with pytest.raises(UsageError) as raised:
        signing_key(None if file is None else tmp_path / file, environment)
    assert said in str(raised.value)
    assert "secret" not in str(raised.value)


def test_sign_from_the_shell(night: Night, tmp_path: Path) -> None:
    path = night.deliver("a.csv", CSV, "an older one")
    (tmp_path / "key").write_bytes(private(EDWARDS))
    words = [sys.executable, "-m", "afstem", "sign", str(path), "--actor", "kommune-a", "--user", "batch"]
    done = subprocess.run([*words, "--key", str(tmp_path / "key")], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "a.csv.jwt: 2 records of a.csv signed\n")
    assert night.run() == {"a.csv": ("applied", None, None)}
    broken = night.deliver("b.csv", b"no header that we know\n", None)
    words[4] = str(broken)
    refused = subprocess.run([*words, "--key", str(tmp_path / "key")], capture_output=True, text=True, check=False)
    assert refused.returncode == 2
    assert "header-missing-column" in refused.stderr
    assert not broken.with_name("b.csv.jwt").exists()
    words[4] = str(night.workspace / "actors.toml")
    assert subprocess.run([*words, "--key", str(tmp_path / "key")], capture_output=True, check=False).returncode == 2


def test_what_manifests_need_is_imported_for_them_alone(tmp_path: Path) -> None:
    workspace = write_workspace(tmp_path, user(f'"{one_line(EDWARDS)}"'), login="source")
    code = (
        "import sys; from pathlib import Path; from afstem import pipeline; "
        f"pipeline.run(pipeline.Request(Path({str(workspace / 'afstem.toml')!r}))); "
        "print(sorted({'jwt', 'cryptography'} & set(sys.modules)))"
    )
    for login, imported in (("source", "[]"), ("manifest", "['cryptography', 'jwt']")):
        write_workspace(tmp_path, user(f'"{one_line(EDWARDS)}"'), login)
        Night(workspace).deliver("a.csv", CSV + login.encode() + b"\n", signed(CSV, 2))
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert done.stdout.strip() == imported
