"""Sources behind a network (SPEC 2.2), against real servers: what is landed, and every way in which it may go wrong."""

import base64
import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any

import asyncssh
import boto3
import pytest
from moto.server import ThreadedMotoServer
from source_servers import HOST, Loop, Proxy, SftpServer, WebServer, certificate, event_loop

from afstem import pull as pull_room
from afstem import sources
from afstem.errors import LoginRefused, SourceUnavailable, UsageError
from afstem.pull import LandedExtract, LeftExtract, pull
from afstem.settings import Actor, PullSettings, load_actors, load_settings, source_secrets
from afstem.sources import s3 as s3_room

STARTED_AT = datetime(2026, 11, 23, 3, tzinfo=UTC)
CSV = b"personnummer;kontaktdatatype;kontaktdata\n0207901231;1;26123456\n"
LARGE = CSV + b"0207901231;1;26123456\n" * 40_000
PASSWORD = "correct horse battery"

LIMITS = PullSettings(
    connect_seconds=5.0, read_seconds=5.0, actor_seconds=30.0, tries=3, wait_seconds=0.02, settle_seconds=0.0
)
IMPATIENT = LIMITS.model_copy(update={"connect_seconds": 0.6, "read_seconds": 0.6, "tries": 2})


@pytest.fixture(scope="module")
def loop() -> Iterator[Loop]:
    with event_loop() as running:
        yield running


@dataclass
class Place:
    """One kind of server with an actor's folder on it, and how to reach it."""

    kind: str
    folder: Path
    """Where the files lie; of S3, where they are put into the bucket from."""
    port: int
    limits: PullSettings = LIMITS
    secrets: dict[str, str] = field(default_factory=dict)
    bucket: Any = None

    def put(self, name: str, content: bytes) -> None:
        if self.bucket is not None:
            self.bucket.put_object(Key=f"in/{name}", Body=content)
        else:
            (self.folder / name).write_bytes(content)

    def actor(self, port: int | None = None, **more: Any) -> Actor:
        port = port or self.port
        urls = {
            "sftp": f"sftp://batch@{HOST}:{port}/in",
            "https": f"http://{HOST}:{port}/in/",
            "s3": "s3://extracts/in",
        }
        if self.kind == "s3":
            more = {"endpoint": f"http://{HOST}:{port}", "region": "eu-north-1"} | more
        return Actor(**{"id": "kommune-a", "name": "A", "type": "kommune", "source": urls[self.kind]} | more)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def sftp_server(loop: Loop, tmp_path_factory: pytest.TempPathFactory) -> SftpServer:
    server = SftpServer(
        tmp_path_factory.mktemp("sftp"),
        passwords={"batch": PASSWORD},
        keys={"batch": asyncssh.generate_private_key("ssh-ed25519")},
    )
    loop.serve(server)
    return server


@pytest.fixture(scope="module")
def web_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebServer]:
    login = "Basic " + base64.b64encode(f"batch:{PASSWORD}".encode()).decode()
    with WebServer(tmp_path_factory.mktemp("web"), login).running() as server:
        yield server


@pytest.fixture(scope="module")
def s3_port() -> Iterator[int]:
    server = ThreadedMotoServer(HOST, 0, verbose=False)
    server.start()
    yield server.get_host_and_port()[1]
    server.stop()


@pytest.fixture
def sftp(sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder = sftp_server.root / "batch" / "in"
    emptied(folder)
    sftp_server.hidden, sftp_server.on_read = set(), lambda path: None
    known_hosts = tmp_path / "known_hosts"
    known_hosts.write_text(sftp_server.known_hosts())
    monkeypatch.setenv("AFSTEM_SOURCE__KOMMUNE_A__PASSWORD", PASSWORD)
    limits = LIMITS.model_copy(update={"known_hosts": str(known_hosts)})
    return Place("sftp", folder, sftp_server.port, limits)


@pytest.fixture
def https(web_server: WebServer, monkeypatch: pytest.MonkeyPatch) -> Place:
    folder = web_server.root / "in"
    emptied(folder)
    web_server.answers = {}
    monkeypatch.setenv("AFSTEM_SOURCE__USER", "batch")
    monkeypatch.setenv("AFSTEM_SOURCE__PASSWORD", PASSWORD)
    return Place("https", folder, web_server.port)


@pytest.fixture
def s3(s3_port: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("AFSTEM_SOURCE__KOMMUNE_A__ACCESS_KEY", "AKIAEXAMPLE")
    monkeypatch.setenv("AFSTEM_SOURCE__KOMMUNE_A__SECRET_KEY", PASSWORD)
    session = boto3.Session("AKIAEXAMPLE", PASSWORD, region_name="eu-north-1")
    bucket = session.resource("s3", endpoint_url=f"http://{HOST}:{s3_port}").Bucket("extracts")
    if bucket.creation_date:
        bucket.objects.all().delete()
    else:
        bucket.create(CreateBucketConfiguration={"LocationConstraint": "eu-north-1"})
    return Place("s3", tmp_path, s3_port, bucket=bucket)


@pytest.fixture(params=["sftp", "https", "s3"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def emptied(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()


def proxy_before(place: Place, loop: Loop, **how: Any) -> Proxy:
    proxy = Proxy(place.port, **how)
    loop.serve(proxy)
    if place.limits.known_hosts:
        path = Path(place.limits.known_hosts)
        path.write_text(path.read_text() + path.read_text().replace(f":{place.port}", f":{proxy.port}"))
    return proxy


def pulled(
    place: Place, landing: Path, port: int | None = None, limits: PullSettings | None = None, **more: Any
) -> Any:
    """What came of a pull: names with digests, or with the reasons of what was left."""
    limits = (limits or place.limits).model_copy(update={"known_hosts": place.limits.known_hosts})
    extracts = pull(place.actor(port, **more), landing, STARTED_AT, None, limits)
    return {
        extract.file: extract.reason if isinstance(extract, LeftExtract) else extract.sha256 for extract in extracts
    }


def reason_of(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(SourceUnavailable) as raised:
        call(*arguments, **named)
    assert not raised.value.transient
    assert PASSWORD not in repr(raised.value) + str(raised.value.__cause__)
    return raised.value.reason


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# --- every kind of source -------------------------------------------------------------------------------------------


def test_extracts_are_landed_under_their_digests(place: Place, tmp_path: Path) -> None:
    place.put("a.csv", CSV)
    place.put("stor fil æøå #1?.csv", LARGE)
    place.put("tom.csv", b"")
    for left in ("b.csv.part", "b.csv.tmp", ".c.csv", "README.txt"):
        place.put(left, CSV)
    assert pulled(place, tmp_path / "landing") == {
        "a.csv": digest(CSV),
        "stor fil æøå #1?.csv": digest(LARGE),
        "tom.csv": digest(b""),
    }
    landed = sorted((tmp_path / "landing" / "kommune-a").glob("*.csv"))
    assert {path.stem: digest(path.read_bytes()) for path in landed} == {path.stem: path.stem for path in landed}
    assert not list((tmp_path / "landing" / "kommune-a").glob(".*"))


def test_a_folder_without_extracts_delivers_nothing(place: Place, tmp_path: Path) -> None:
    assert pulled(place, tmp_path / "landing") == {}


def test_packed_extracts_come_as_they_lie(place: Place, tmp_path: Path) -> None:
    packed = bytes.fromhex("1f8b08000000000000032bce4d010026e1d9d404000000")
    place.put("a.csv.gz", packed)
    assert pulled(place, tmp_path / "landing") == {"a.csv.gz": digest(packed)}


def test_a_manifest_comes_along(place: Place, tmp_path: Path) -> None:
    place.put("a.csv", CSV)
    place.put("a.csv.jwt", b"e30.e30.e30\n")
    place.put("b.csv", LARGE)
    actor = place.actor(login="manifest")
    first, second = pull(actor, tmp_path / "landing", STARTED_AT, None, place.limits)
    assert isinstance(first, LandedExtract)
    assert isinstance(second, LandedExtract)
    assert (first.token, second.token) == ("e30.e30.e30\n", None)


def test_a_file_that_is_too_large_is_left(place: Place, tmp_path: Path) -> None:
    place.put("a.csv", CSV)
    place.put("b.csv", LARGE)
    small = place.limits.model_copy(update={"max_bytes": 100_000})
    assert pulled(place, tmp_path / "landing", limits=small) == {"a.csv": digest(CSV), "b.csv": "too-large"}


def test_a_wrong_password_is_1012(place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if place.kind != "s3":
        monkeypatch.setenv("AFSTEM_SOURCE__KOMMUNE_A__PASSWORD", "guessed")
    with pytest.raises(LoginRefused), refusing_s3(place):
        pulled(place, tmp_path / "landing")


@contextlib.contextmanager
def refusing_s3(place: Place) -> Iterator[None]:
    """The stand-in for S3 knows no secrets, so an answer of S3 stands in for the stand-in."""
    if place.kind != "s3":
        yield
        return

    def refuse(request: SimpleHTTPRequestHandler) -> None:
        body = b"<?xml version='1.0'?><Error><Code>InvalidAccessKeyId</Code><Message>no</Message></Error>"
        request.send_response(403)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    with WebServer(place.folder, answers={"/": refuse}).running() as server:
        place.port = server.port
        yield


def test_a_closed_port_is_not_reached(place: Place, tmp_path: Path, loop: Loop) -> None:
    proxy = proxy_before(place, loop)
    free = proxy.port - 1 if proxy.port % 2 else 1
    assert reason_of(pulled, place, tmp_path / "landing", port=free) in ("not-reached", "not-trusted")


def test_a_folder_that_is_not_there(place: Place, tmp_path: Path) -> None:
    place.put("a.csv", CSV)
    source = place.actor().source.rstrip("/").replace("/in", "/nowhere").replace("extracts/nowhere", "nowhere/in")
    assert reason_of(pulled, place, tmp_path / "landing", source=source) == "no-such-folder"


@pytest.mark.parametrize("after", [0, 400_000])
def test_a_connection_that_is_cut_once_is_made_again(place: Place, tmp_path: Path, loop: Loop, after: int) -> None:
    place.put("a.csv", CSV)
    place.put("b.csv", LARGE)
    proxy = proxy_before(place, loop, how="cut", after=after, times=1)
    assert pulled(place, tmp_path / "landing", proxy.port) == {"a.csv": digest(CSV), "b.csv": digest(LARGE)}
    assert proxy.connections >= 2


@pytest.mark.parametrize(("how", "reason"), [("cut", "not-reached"), ("mute", "silent")])
@pytest.mark.parametrize("after", [0, 100_000])
def test_trouble_that_does_not_end_makes_the_actor_unavailable(
    place: Place, tmp_path: Path, loop: Loop, how: str, reason: str, after: int
) -> None:
    place.put("a.csv", LARGE)
    proxy = proxy_before(place, loop, how=how, after=after)
    assert reason_of(pulled, place, tmp_path / "landing", proxy.port, IMPATIENT) == reason
    assert not list((tmp_path / "landing").rglob("*.csv"))
    assert not list((tmp_path / "landing").rglob(".*"))


def test_what_drips_in_is_given_up(place: Place, tmp_path: Path, loop: Loop) -> None:
    place.put("a.csv", LARGE)
    proxy = proxy_before(place, loop, how="drip", after=100_000)
    assert reason_of(pulled, place, tmp_path / "landing", proxy.port, IMPATIENT) == "silent"
    patient = LIMITS.model_copy(update={"actor_seconds": 1.0})
    assert reason_of(pulled, place, tmp_path / "landing", proxy.port, patient) in ("silent", "too-slow")


def test_a_slow_network_is_none_the_worse(place: Place, tmp_path: Path, loop: Loop) -> None:
    place.put("a.csv", CSV)
    proxy = proxy_before(place, loop, delay=0.02)
    assert pulled(place, tmp_path / "landing", proxy.port) == {"a.csv": digest(CSV)}


def test_what_has_landed_is_not_read_again(
    place: Place, tmp_path: Path, loop: Loop, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    land = pull_room._land

    def cut_after_two(source: Any, entry: Any, *rest: Any) -> Any:
        read.append(entry.name)
        if len(read) == 3:
            raise SourceUnavailable("not-reached", transient=True)
        return land(source, entry, *rest)

    monkeypatch.setattr(pull_room, "_land", cut_after_two)
    for name in "abc":
        place.put(f"{name}.csv", CSV + name.encode())
    assert len(pulled(place, tmp_path / "landing")) == 3
    assert read == ["a.csv", "b.csv", "c.csv", "c.csv"]


# --- files that change ----------------------------------------------------------------------------------------------


def between(monkeypatch: pytest.MonkeyPatch, name: str, happens: Any, times: int = 10) -> None:
    """Let something happen to a file when its last byte has been read, before it is looked at again."""
    land = pull_room._land
    left = [times]

    class Changing:
        def __init__(self, source: Any) -> None:
            self._source = source

        def __getattr__(self, attribute: str) -> Any:
            return getattr(self._source, attribute)

        def read(self, read: str) -> Any:
            yield from self._source.read(read)
            if read == name and left[0]:
                left[0] -= 1
                happens()

    monkeypatch.setattr(pull_room, "_land", lambda source, *rest: land(Changing(source), *rest))


def test_a_file_that_grows_while_it_is_read_is_read_again(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.csv", CSV)
    between(monkeypatch, "a.csv", lambda: place.put("a.csv", LARGE), times=1)
    assert pulled(place, tmp_path / "landing") == {"a.csv": digest(LARGE)}
    assert [path.stem for path in (tmp_path / "landing").rglob("*.csv")] == [digest(LARGE)]


def test_a_file_that_never_stands_still_makes_its_actor_unavailable(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a.csv", CSV)
    sizes = iter(range(1, 100))
    between(monkeypatch, "a.csv", lambda: place.put("a.csv", CSV + b"x" * next(sizes)))
    assert reason_of(pulled, place, tmp_path / "landing") == "changed-while-read"
    assert not list((tmp_path / "landing").rglob("*.csv"))


def test_a_file_that_is_taken_away_between_listing_and_reading_is_not_delivered(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its folder is listed once more: what took its place is delivered."""
    place.put("a.csv", CSV)
    place.put("b.csv", CSV)

    def renamed() -> None:
        if place.bucket is not None:
            place.bucket.delete_objects(Delete={"Objects": [{"Key": "in/b.csv"}]})
        else:
            (place.folder / "b.csv").unlink()
        place.put("c.csv", LARGE)

    between(monkeypatch, "a.csv", renamed, times=1)
    assert pulled(place, tmp_path / "landing") == {"a.csv": digest(CSV), "c.csv": digest(LARGE)}


@pytest.mark.parametrize("kind", ["sftp", "s3"])
def test_what_was_just_written_is_looked_at_again(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An upload that stands still while it is read, and goes on afterwards."""
    place: Place = request.getfixturevalue(kind)
    place.put("a.csv", CSV)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        if not slept:
            place.put("a.csv", LARGE)
        slept.append(seconds)

    monkeypatch.setattr(pull_room.time, "sleep", sleep)
    limits = place.limits.model_copy(update={"settle_seconds": 3600.0})
    assert pulled(place, tmp_path / "landing", limits=limits) == {"a.csv": digest(LARGE)}
    assert max(slept) > 3000


# --- SFTP -----------------------------------------------------------------------------------------------------------


def test_a_key_logs_in(sftp: Place, sftp_server: SftpServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    sftp.put("a.csv", CSV)
    monkeypatch.delenv("AFSTEM_SOURCE__KOMMUNE_A__PASSWORD")
    (tmp_path / "key").write_bytes(sftp_server.keys["batch"].export_private_key(passphrase="sesame"))
    monkeypatch.setenv("AFSTEM_SOURCE__KEY_FILE", str(tmp_path / "key"))
    assert reason_of(pulled, sftp, tmp_path / "landing") == "no-credentials"
    monkeypatch.setenv("AFSTEM_SOURCE__PASSPHRASE", "sesame")
    assert pulled(sftp, tmp_path / "landing") == {"a.csv": digest(CSV)}
    (tmp_path / "key").write_bytes(asyncssh.generate_private_key("ssh-ed25519").export_private_key())
    monkeypatch.delenv("AFSTEM_SOURCE__PASSPHRASE")
    with pytest.raises(LoginRefused):
        pulled(sftp, tmp_path / "landing")


@pytest.mark.parametrize("known", ["another key", "another host", "nothing", "no file"])
def test_a_host_that_is_not_known_gets_no_password(
    sftp: Place, sftp_server: SftpServer, tmp_path: Path, known: str
) -> None:
    sftp.put("a.csv", CSV)
    path = Path(str(sftp.limits.known_hosts))
    content = {
        "another key": sftp_server.known_hosts(key=asyncssh.generate_private_key("ssh-ed25519")),
        "another host": path.read_text().replace(HOST, "127.0.0.2"),
        "nothing": "",
        "no file": None,
    }[known]
    path.unlink()
    if content is not None:
        path.write_text(content)
    logins = sftp_server.logins
    assert reason_of(pulled, sftp, tmp_path / "landing") == "not-trusted"
    assert sftp_server.logins == logins


def test_nothing_to_log_in_with(sftp: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AFSTEM_SOURCE__KOMMUNE_A__PASSWORD")
    assert reason_of(pulled, sftp, tmp_path / "landing") == "no-credentials"


def test_links_and_files_that_may_not_be_opened_are_their_own_trouble(
    sftp: Place, sftp_server: SftpServer, tmp_path: Path
) -> None:
    sftp.put("a.csv", CSV)
    sftp.put("hidden.csv", CSV)
    sftp_server.hidden.add("hidden.csv")
    (sftp.folder / "link.csv").symlink_to(sftp.folder / "a.csv")
    (sftp.folder / "folder.csv").mkdir()
    assert pulled(sftp, tmp_path / "landing") == {
        "a.csv": digest(CSV),
        "hidden.csv": "not-opened",
        "link.csv": "not-a-file",
    }
    (sftp.folder / "folder.csv").rmdir()


def test_a_link_in_the_place_of_a_listed_file_is_not_followed(
    sftp: Place, sftp_server: SftpServer, tmp_path: Path
) -> None:
    sftp.put("a.csv", CSV)
    sftp.put("b.csv", CSV)
    sftp.put("secret.txt", LARGE)

    def replace(path: Path) -> None:
        if path.name == "a.csv":
            (sftp.folder / "b.csv").unlink(missing_ok=True)
            (sftp.folder / "b.csv").symlink_to(sftp.folder / "secret.txt")

    sftp_server.on_read = replace
    assert pulled(sftp, tmp_path / "landing") == {"a.csv": digest(CSV), "b.csv": "not-a-file"}


def test_a_folder_that_may_not_be_entered_is_1012(sftp: Place, sftp_server: SftpServer, tmp_path: Path) -> None:
    sftp_server.hidden.add("in")
    with pytest.raises(LoginRefused):
        pulled(sftp, tmp_path / "landing")


# --- HTTPS ----------------------------------------------------------------------------------------------------------


def answer(status: int, body: bytes = b"", **headers: str) -> Any:
    def send(request: SimpleHTTPRequestHandler) -> None:
        request.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            request.send_header(name.replace("_", "-"), value)
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(body)

    return send


@pytest.mark.parametrize(
    ("status", "reason"), [(404, "no-such-folder"), (500, "not-reached"), (503, "not-reached"), (302, "not-reached")]
)
def test_answers_of_a_web_server(https: Place, web_server: WebServer, tmp_path: Path, status: int, reason: str) -> None:
    web_server.answers["/in"] = answer(status, Location="http://example.com/in/")
    assert reason_of(pulled, https, tmp_path / "landing") == reason


def test_a_server_that_fails_once_is_asked_again(https: Place, web_server: WebServer, tmp_path: Path) -> None:
    https.put("a.csv", CSV)

    def fail_once(request: SimpleHTTPRequestHandler) -> None:
        web_server.answers.clear()
        answer(503)(request)

    web_server.answers["/in"] = fail_once
    assert pulled(https, tmp_path / "landing") == {"a.csv": digest(CSV)}


def test_only_links_into_the_folder_are_extracts(https: Place, web_server: WebServer, tmp_path: Path) -> None:
    https.put("a.csv", CSV)
    page = (
        "<a href='../b.csv'>b</a><a href='http://example.com/in/c.csv'>c</a><a href='/in/sub/d.csv'>d</a>"
        "<a href='e.csv?version=1'>e</a><A HREF=\"/in/a.csv#top\">a</A><a href='/in/..%2ff.csv'>f</a><a>g.csv</a>"
    )
    web_server.answers["/in/a.csv"] = answer(200, CSV)
    web_server.answers["/in/"] = answer(200, page.encode(), Content_Type="text/html")
    assert pulled(https, tmp_path / "landing") == {"a.csv": digest(CSV)}


def test_a_server_that_answers_no_head_is_read_all_the_same(
    https: Place, web_server: WebServer, tmp_path: Path
) -> None:
    https.put("a.csv", CSV)

    def no_head(request: SimpleHTTPRequestHandler) -> None:
        answer(405)(request) if request.command == "HEAD" else answer(200, CSV)(request)

    web_server.answers["/in/a.csv"] = no_head
    assert pulled(https, tmp_path / "landing") == {"a.csv": digest(CSV)}


def test_a_file_that_may_not_be_read_is_its_own_trouble(https: Place, web_server: WebServer, tmp_path: Path) -> None:
    https.put("a.csv", CSV)
    https.put("b.csv", CSV)
    web_server.answers["/in/b.csv"] = answer(403)
    assert pulled(https, tmp_path / "landing") == {"a.csv": digest(CSV), "b.csv": "not-opened"}


def test_a_body_that_is_shorter_than_promised_is_not_landed(
    https: Place, web_server: WebServer, tmp_path: Path
) -> None:
    https.put("a.csv", CSV)
    web_server.answers["/in/a.csv"] = answer(200, CSV[:-10], Content_Length=str(len(CSV)))
    assert reason_of(pulled, https, tmp_path / "landing", limits=IMPATIENT) in ("not-reached", "silent")


def test_the_server_must_prove_who_it_is(tmp_path: Path) -> None:
    authority, context = certificate(tmp_path)
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.csv").write_bytes(CSV)
    with WebServer(tmp_path, login="Bearer token-7", tls=context).running() as server:
        place = Place("https", tmp_path, server.port)
        source = f"https://{HOST}:{server.port}/in"
        assert reason_of(pulled, place, tmp_path / "landing", source=source) == "not-trusted"
        trusting = LIMITS.model_copy(update={"ca_file": str(authority)})
        with pytest.raises(LoginRefused):
            pulled(place, tmp_path / "landing", limits=trusting, source=source)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AFSTEM_SOURCE__KOMMUNE_A__TOKEN", "token-7")
            assert pulled(place, tmp_path / "landing", limits=trusting, source=source) == {"a.csv": digest(CSV)}


# --- S3 -------------------------------------------------------------------------------------------------------------


def test_a_folder_of_more_objects_than_one_page(s3: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(5):
        s3.put(f"{number}.csv", CSV + str(number).encode())
    s3.put("below/6.csv", CSV)
    listed = s3_room.S3.entries

    async def in_pages_of_two(self: Any) -> Any:
        client = self._client

        class Paged:
            def __getattr__(self, name: str) -> Any:
                return getattr(client, name)

            async def list_objects_v2(self, **asked: Any) -> Any:
                return await client.list_objects_v2(**asked, MaxKeys=2)

        self._client = Paged()
        return await listed(self)

    monkeypatch.setattr(s3_room.S3, "entries", in_pages_of_two)
    assert list(pulled(s3, tmp_path / "landing")) == [f"{number}.csv" for number in range(5)]


# --- configuration --------------------------------------------------------------------------------------------------


def configured(folder: Path, source: str, config: str = "", more: str = "") -> dict[str, Actor]:
    (folder / "afstem.toml").write_text(config)
    (folder / "actors.toml").write_text(
        f'[[actor]]\nid = "kommune-a"\nname = "A"\ntype = "kommune"\nsource = "{source}"\n{more}'
    )
    return load_actors(load_settings(folder / "afstem.toml", {}), {})


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("gopher://h/x", "must be a folder, or begin with"),
        ("sftp://u:secret@h/x", "secrets do not stand in files"),
        ("https://h/x?token=secret", "secrets do not stand in files"),
        ("http://h/x", "not encrypted"),
        ("sftp:///x", "names no host"),
        ("sftp://h:port/x", "not a URL"),
        ("https://[h/x", "not a URL"),
    ],
)
def test_a_wrong_source_is_one_line(source: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        configured(tmp_path, source)
    assert str(raised.value).startswith(f"{tmp_path / 'actors.toml'}: kommune-a.source: ")
    assert said in str(raised.value)
    assert "secret@" not in str(raised.value)
    assert "=secret" not in str(raised.value)


def test_an_endpoint_is_judged_like_a_source(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"kommune-a\.endpoint: http:// is not encrypted"):
        configured(tmp_path, "s3://b/x", more='endpoint = "http://minio:9000"\n')


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("tries = 0", "pull.tries"),
        ("tries = 1.5", "pull.tries"),
        ("at_once = 65", "pull.at_once"),
        ("read_seconds = 0.0", "pull.read_seconds"),
        ("max_bytes = -1", "pull.max_bytes"),
        ("password = 'x'", "pull.password: unknown key"),
    ],
)
def test_wrong_limits_are_one_line(line: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError) as raised:
        configured(tmp_path, "in", f"[pull]\n{line}\n")
    assert said in str(raised.value)


def test_paths_of_trust_start_at_the_configuration(tmp_path: Path) -> None:
    configured(tmp_path, "in", "[pull]\nknown_hosts = 'known'\nca_file = '/etc/ca'\n")
    limits = load_settings(tmp_path / "afstem.toml", {"AFSTEM_PULL__TRIES": "5"}).pull
    assert (limits.known_hosts, limits.ca_file, limits.tries) == (str(tmp_path / "known"), "/etc/ca", 5)


def test_the_actors_own_secret_goes_before_that_of_all(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("from a file\n")
    actor = Actor(id="a-b", name="A", type="kommune", source="sftp://h/x")  # type: ignore[arg-type]
    environment = {
        "AFSTEM_SOURCE__PASSWORD": "of all",
        "AFSTEM_SOURCE__A_B__USER": "batch",
        "AFSTEM_SOURCE__A_B__PASSWORD_FILE": str(tmp_path / "secret"),
        "AFSTEM_SOURCE__A__TOKEN": "of another",
    }
    secrets = source_secrets(actor, environment)
    assert [secrets.get(name) for name in ("user", "password", "token")] == ["batch", "from a file", None]
    assert "file" not in repr(secrets)
    environment["AFSTEM_SOURCE__A_B__PASSWORD_FILE"] = str(tmp_path / "nowhere")
    assert reason_of(source_secrets, actor, environment) == "no-credentials"


@pytest.mark.parametrize("variable", ["AFSTEM_SOURCE__KOMMUNE_B__PASSWORD", "AFSTEM_SOURCE__KOMMUNE_A__PASWORD"])
def test_a_secret_of_nobody_is_told(variable: str, tmp_path: Path) -> None:
    configured(tmp_path, "in")
    settings = load_settings(tmp_path / "afstem.toml", {variable: "secret words"})
    with pytest.raises(UsageError) as raised:
        load_actors(settings, {variable: "secret words"})
    assert variable in str(raised.value)
    assert "words" not in str(raised.value)


def test_a_library_that_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    actors = configured(tmp_path, "sftp://h/x")
    monkeypatch.setattr(sources, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'afstem\[sftp\]'"):
        sources.check_sources(load_settings(tmp_path / "afstem.toml", {}), actors)
