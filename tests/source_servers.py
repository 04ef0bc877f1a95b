"""Real servers on this machine for tests of sources, and a proxy before them that delays, cuts, mutes and drips."""

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import asyncssh
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

HOST = "127.0.0.1"


class Loop:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._listening: list[Any] = []

    def serve(self, server: "SftpServer | Proxy") -> None:
        """Start a server, which is stopped with the loop."""
        self._listening.append(self.run(server.start()))

    def run(self, call: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result(30)

    def stop(self) -> None:
        async def cancel_all() -> None:
            for server in self._listening:
                server.close()
            others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in others:
                task.cancel()
            await asyncio.gather(*others, return_exceptions=True)

        self.run(cancel_all())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


@contextlib.contextmanager
def event_loop() -> Iterator[Loop]:
    loop = Loop()
    try:
        yield loop
    finally:
        loop.stop()


# --- SFTP -------------------------------------------------------------------------------------------------------------


@dataclass
class SftpServer:
    """Users with their passwords and keys, each shut into a folder of its own."""

    root: Path
    passwords: dict[str, str] = field(default_factory=dict)
    keys: dict[str, asyncssh.SSHKey] = field(default_factory=dict)
    hidden: set[str] = field(default_factory=set)
    """Names of files and folders that may not be opened or listed."""
    on_read: Callable[[Path], None] = lambda path: None
    """Called when a file is opened."""
    host_key: asyncssh.SSHKey = field(default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519"))
    logins: int = 0
    port: int = 0

    async def start(self) -> Any:
        server = self

        class Users(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                server.logins += 1
                return True

            def password_auth_supported(self) -> bool:
                return True

            def validate_password(self, username: str, password: str) -> bool:
                return server.passwords.get(username) == password

            def public_key_auth_supported(self) -> bool:
                return True

            def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
                return username in server.keys and server.keys[username].convert_to_public() == key

        class Folder(asyncssh.SFTPServer):
            def __init__(self, chan: Any) -> None:
                root = server.root / chan.get_extra_info("username")
                root.mkdir(exist_ok=True)
                super().__init__(chan, chroot=str(root).encode())

            def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
                real = Path(self.map_path(path).decode())
                if real.name in server.hidden:
                    raise asyncssh.SFTPPermissionDenied("no")
                server.on_read(real)
                return super().open(path, pflags, attrs)

            async def scandir(self, path: bytes) -> Any:
                if Path(path.decode()).name in server.hidden:
                    raise asyncssh.SFTPPermissionDenied("no")
                async for entry in super().scandir(path):
                    yield entry

        listening = await asyncssh.listen(
            HOST, self.port, server_host_keys=[self.host_key], server_factory=Users, sftp_factory=Folder
        )
        self.port = listening.get_port()
        return listening

    def known_hosts(self, *ports: int, key: asyncssh.SSHKey | None = None) -> str:
        public = (key or self.host_key).export_public_key().decode()
        return "".join(f"[{HOST}]:{port} {public}" for port in ports or (self.port,))


# --- HTTP -------------------------------------------------------------------------------------------------------------


@dataclass
class WebServer:
    """A folder listed as links; what stands in ``answers`` is answered in its own way instead."""

    root: Path
    login: str | None = None
    """The Authorization header that lets in."""
    answers: dict[str, Callable[[SimpleHTTPRequestHandler], None]] = field(default_factory=dict)
    """By the beginning of the path."""
    tls: ssl.SSLContext | None = None
    port: int = 0

    @contextlib.contextmanager
    def running(self) -> Iterator["WebServer"]:
        served = self

        class Handler(SimpleHTTPRequestHandler):
            def __init__(self, *arguments: Any) -> None:
                super().__init__(*arguments, directory=str(served.root))

            def do_GET(self) -> None:
                self._answer(super().do_GET)

            def do_HEAD(self) -> None:
                self._answer(super().do_HEAD)

            def _answer(self, usual: Callable[[], None]) -> None:
                if served.login and self.headers.get("Authorization") != served.login:
                    self.send_error(401)
                    return
                for begin, answer in served.answers.items():
                    if self.path.startswith(begin):
                        answer(self)
                        return
                usual()

            def log_message(self, *_: Any) -> None:
                pass

        class Quiet(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, *_: Any) -> None:
                """A client that gives up is what is tested."""

        with Quiet((HOST, 0), Handler) as server:
            if self.tls:
                server.socket = self.tls.wrap_socket(server.socket, server_side=True)
            self.port = server.server_address[1]
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield self
            finally:
                server.shutdown()
                thread.join()


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """A certificate that is its own authority, and a server's context with it."""
    import ipaddress

    key = generate_private_key(SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "afstem test")])
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime.now(UTC) - timedelta(days=1))
        .not_valid_after(datetime.now(UTC) + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))]), critical=False)
        .sign(key, SHA256())
    )
    public, both = folder / "ca.pem", folder / "server.pem"
    public.write_bytes(made.public_bytes(Encoding.PEM))
    both.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()) + made.public_bytes(Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(both)
    return public, context


# --- the proxy --------------------------------------------------------------------------------------------------------


@dataclass
class Proxy:
    """Passes on what comes and goes, but for what is to go wrong on the way back.

    After ``after`` bytes of an answer the connection is cut, or nothing comes any more (``mute``), or a byte now and
    then (``drip``). ``times`` is how many connections fare so, None all; the others are passed on. Every piece comes
    ``delay`` seconds late.
    """

    upstream: int
    how: str = "pass"
    after: int = 0
    times: int | None = None
    delay: float = 0.0
    connections: int = 0
    port: int = 0

    async def start(self) -> Any:
        server = await asyncio.start_server(self._serve, HOST, 0)
        self.port = server.sockets[0].getsockname()[1]
        return server

    async def _serve(self, client: asyncio.StreamReader, back: asyncio.StreamWriter) -> None:
        self.connections += 1
        how = self.how if self.times is None or self.connections <= self.times else "pass"
        server, forth = await asyncio.open_connection(HOST, self.upstream)
        pumps = [
            asyncio.ensure_future(self._pump(*streams)) for streams in ((client, forth, "pass"), (server, back, how))
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for pump in pumps:
                pump.cancel()
            await asyncio.gather(*pumps, return_exceptions=True)
            for writer in (forth, back):
                writer.transport.abort()
                with contextlib.suppress(OSError):
                    await writer.wait_closed()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, how: str) -> None:
        passed = 0
        with contextlib.suppress(ConnectionError):
            while piece := await reader.read(4096):
                await asyncio.sleep(self.delay)
                left = max(0, self.after - passed)
                passed += len(piece)
                if how == "pass" or len(piece) <= left:
                    writer.write(piece)
                    await writer.drain()
                    continue
                writer.write(piece[:left])
                await writer.drain()
                if how == "cut":
                    return
                if how == "mute":
                    await asyncio.sleep(3600)
                for octet in piece[left:]:
                    await asyncio.sleep(0.2)
                    writer.write(bytes([octet]))
                    await writer.drain()
