"""A night of 200 actors on every kind of source, of which 20 misbehave, each in a way of its own."""

import base64
import json
import time
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

import asyncssh
import pytest
from source_servers import HOST, Loop, Proxy, SftpServer, WebServer, event_loop
from test_sources import CSV, LARGE, answer
from whole_run import run_again

ACTORS = 200
PASSWORD = "a pass phrase that is told nowhere"
CONFIG = """
[pull]
at_once         = 16
connect_seconds = 6.0
read_seconds    = 3.0
actor_seconds   = 40.0
tries           = 2
wait_seconds    = 0.1
settle_seconds  = 0.0
max_bytes       = 500_000
known_hosts     = "known_hosts"
"""

UNAVAILABLE = {
    "sftp-muted": "silent",
    "sftp-muted-midway": "silent",
    "sftp-cut": "not-reached",
    "sftp-cut-midway": "not-reached",
    "sftp-other-host-key": "not-trusted",
    "sftp-no-folder": "no-such-folder",
    "sftp-closed-port": "not-reached",
    "https-muted": "silent",
    "https-dripping": "silent",
    "https-cut-midway": "not-reached",
    "https-no-folder": "no-such-folder",
    "https-broken": "not-reached",
    "https-elsewhere": "not-reached",
    "https-restless": "changed-while-read",
    "folder-missing": "no-such-folder",
}
REFUSED = {
    "sftp-wrong-password": (1012, "logon-failed"),
    "https-wrong-password": (1012, "logon-failed"),
    "sftp-hidden-file": (1014, "not-opened"),
    "https-large-file": (1014, "too-large"),
    "https-forbidden-file": (1014, "not-opened"),
}
MISBEHAVING = UNAVAILABLE.keys() | REFUSED.keys()


@pytest.fixture
def loop() -> Iterator[Loop]:
    with event_loop() as running:
        yield running


def test_200_actors_of_which_20_misbehave(tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch) -> None:
    assert len(MISBEHAVING) == 20
    good = [f"{kind}-{number:03}" for number in range(ACTORS) for kind in [("folder", "sftp", "https")[number % 3]]]
    good = good[: ACTORS - len(MISBEHAVING)]
    login = "Basic " + base64.b64encode(f"batch:{PASSWORD}".encode()).decode()
    (tmp_path / "sftp").mkdir()
    sftp = SftpServer(tmp_path / "sftp", hidden={"hidden.csv"})
    loop.serve(sftp)
    with WebServer(tmp_path / "web", login).running() as web:
        proxies = {
            "sftp-muted": Proxy(sftp.port, "mute"),
            "sftp-muted-midway": Proxy(sftp.port, "mute", 100_000),
            "sftp-cut": Proxy(sftp.port, "cut"),
            "sftp-cut-midway": Proxy(sftp.port, "cut", 100_000),
            "sftp-other-host-key": Proxy(sftp.port),
            "https-muted": Proxy(web.port, "mute"),
            "https-dripping": Proxy(web.port, "drip", 100_000),
            "https-cut-midway": Proxy(web.port, "cut", 100_000),
        }
        for proxy in proxies.values():
            loop.serve(proxy)
        entries = []
        for number, actor in enumerate(sorted([*good, *MISBEHAVING])):
            kind = actor.partition("-")[0]
            port = proxies[actor].port if actor in proxies else {"sftp": sftp.port, "https": web.port}.get(kind)
            folders = {"sftp": tmp_path / "sftp" / actor / "in", "https": tmp_path / "web" / actor}
            folder = folders.get(kind, tmp_path / "in" / actor)
            sources = {"sftp": f"sftp://{actor}@{HOST}:{port}/in", "https": f"http://{HOST}:{port}/{actor}"}
            source = sources.get(kind, f"in/{actor}")
            sftp.passwords[actor] = PASSWORD
            if not actor.endswith(("missing", "no-folder")):
                folder.mkdir(parents=True)
                content = LARGE[: len(CSV) + 22 * 18_000] if "midway" in actor or "dripping" in actor else CSV
                (folder / "a.csv").write_bytes(content + f"{number}\n".encode())
            if actor == "sftp-closed-port":
                source = f"sftp://{actor}@{HOST}:1/in"
            entries.append(f'[[actor]]\nid = "{actor}"\nname = "{actor}"\ntype = "kommune"\nsource = "{source}"\n')
            variable = actor.upper().replace("-", "_")
            wrong = actor.endswith("wrong-password")
            monkeypatch.setenv(f"AFSTEM_SOURCE__{variable}__PASSWORD", "a wrong one" if wrong else PASSWORD)
            monkeypatch.setenv(f"AFSTEM_SOURCE__{variable}__USER", actor if kind == "sftp" else "batch")
        (tmp_path / "sftp" / "sftp-hidden-file" / "in" / "hidden.csv").write_bytes(CSV)
        (tmp_path / "web" / "https-large-file" / "large.csv").write_bytes(LARGE)
        (tmp_path / "web" / "https-forbidden-file" / "closed.csv").write_bytes(CSV)
        web.answers["/https-forbidden-file/closed.csv"] = answer(403)
        web.answers["/https-broken/"] = answer(500)
        web.answers["/https-elsewhere/"] = answer(302, Location=f"http://{HOST}:{web.port}/{good[2]}/")

        def restless(request: SimpleHTTPRequestHandler) -> None:
            answer(200, CSV, ETag=str(time.monotonic_ns()))(request)

        web.answers["/https-restless/a.csv"] = restless
        known = [proxy.port for name, proxy in proxies.items() if name.startswith("sftp") and "key" not in name]
        other = sftp.known_hosts(proxies["sftp-other-host-key"].port, key=asyncssh.generate_private_key("ssh-ed25519"))
        (tmp_path / "known_hosts").write_text(sftp.known_hosts(sftp.port, *known) + other)
        (tmp_path / "afstem.toml").write_text(CONFIG)
        (tmp_path / "actors.toml").write_text("\n".join(entries))
        summary = run_again(tmp_path)

    manifest = json.loads((Path(summary["report"]) / "run.json").read_text())
    reasons = {actor["id"]: actor["reason"] for actor in manifest["actors"] if actor["delivery"] == "unavailable"}
    assert reasons == UNAVAILABLE
    refused = {
        extract["actor"]: (extract["code"], extract["reason"])
        for extract in manifest["extracts"]
        if extract["state"] == "refused"
    }
    assert refused == REFUSED
    applied = {extract["actor"] for extract in manifest["extracts"] if extract["state"] == "applied"}
    others = {actor for actor, (code, _) in REFUSED.items() if code == 1014}
    assert applied == {*good, *others}
    assert len(good) == 180
    told = [path for path in Path(summary["report"]).rglob("*") if path.is_file()]
    assert not [path for path in told if PASSWORD.encode() in path.read_bytes()]
