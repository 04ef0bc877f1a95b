"""The only reader of configuration files and of the environment (SPEC 2.1, 2.2).

Every fault is one line that names file and key. Secrets do not stand in these files: the store's password comes
from the environment (``AFSTEM_STORE__URL``, or libpq's own ``PGPASSWORD`` and ``~/.pgpass``), those of sources from
``AFSTEM_SOURCE__…`` (`source_secrets`).
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import as_file, files
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from afstem.errors import SourceUnavailable, UsageError
from afstem.schema import ActorType
from afstem.signing_keys import NoSigningKey, SigningKey, private_key, public_key
from afstem.toml_file import read_toml

ENVIRONMENT_PREFIX = "AFSTEM_"
SIGNING_KEY, SIGNING_PASSPHRASE = "AFSTEM_SIGNING_KEY", "AFSTEM_SIGNING_PASSPHRASE"


Model = TypeVar("Model", bound=BaseModel)


class _Strict(BaseModel):
    """No unknown keys, no silent conversion, no change after reading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


Share = Annotated[float, Field(ge=0, le=1)]


class StoreSettings(_Strict):
    url: str = "sqlite:///var/afstem.db"
    """``sqlite:///`` and a path, or ``postgresql+psycopg://user@host/database``, libpq's parameters behind ``?``."""


class PathSettings(_Strict):
    actors: str = "actors.toml"
    """The file that names the actors."""
    landing: str = "var/landing"
    """Where extracts are kept as delivered, under their digests; personal, so for its owner alone."""
    reports: str = "reports"
    """Where each run leaves its report."""
    codelist: str | None = None
    """Which ``kontaktdatatype`` is which contact type; left out: the shipped ``kontaktdatatype.toml``."""
    permissions: str | None = None
    """Which type of organisation may write to whom; left out: the shipped ``permissions.toml``."""


class RunSettings(_Strict):
    timezone: str = "Europe/Copenhagen"
    """The service's: of the as-of date, and of times in extracts that bring no offset."""
    engine: Literal["local", "dask"] = "local"
    """Where extracts are judged: in processes on this machine, or on those of a Dask cluster."""
    cluster: Annotated[str, Field(pattern=r"^((tcp|tls)://[^@/]+:\d+)?$")] = ""
    """The address of the cluster's scheduler; left out: a cluster on this machine, which the run starts and ends."""
    cluster_seconds: Annotated[float, Field(gt=0, le=3600)] = 60.0
    """So long it is waited for the scheduler and for a worker, at the beginning and whenever there is none."""


class HoldSettings(_Strict):
    min_records: Annotated[int, Field(ge=0)] = 100
    """Smaller extracts are never held."""
    removal_share: Share = 0.10
    """Held if a greater share of the records are removals."""
    rejected_share: Share = 0.50
    """Held if a greater share of the records is rejected."""
    volume_drop: Share = 0.50
    """Held if a greater share is missing, against the actor's last applied extract."""


Seconds = Annotated[float, Field(gt=0, le=86_400)]


class PullSettings(_Strict):
    """How sources behind a network are pulled from; ``at_once`` and ``max_bytes`` hold for folders on disk too."""

    at_once: Annotated[int, Field(ge=1, le=64)] = 8
    """So many actors at the same time."""
    connect_seconds: Seconds = 15.0
    """Until a server has let us in."""
    read_seconds: Seconds = 30.0
    """Until a server gives anything more: the next 256 KiB of a file, or the answer to a question."""
    actor_seconds: Seconds = 1800.0
    """All the time that one actor may take, further tries included."""
    tries: Annotated[int, Field(ge=1, le=10)] = 3
    """So many in all, where the trouble may pass."""
    wait_seconds: Annotated[float, Field(ge=0, le=600)] = 2.0
    """Before the second try, and twice as long before each further one; by chance up to as much again."""
    settle_seconds: Annotated[float, Field(ge=0, le=600)] = 3.0
    """What was written to so recently, by the server's clock, is looked at again: it may still be on its way."""
    max_bytes: Annotated[int, Field(gt=0)] = 8 * 2**30
    """Of one file."""
    known_hosts: str | None = None
    """The host keys of SFTP servers, as OpenSSH writes them; left out: ``~/.ssh/known_hosts``."""
    ca_file: str | None = None
    """The certificates that HTTPS and S3 servers are trusted by; left out: the system's."""


class ReportSettings(_Strict):
    deadline: Annotated[str, Field(pattern=r"^([01]\d|2[0-3]):[0-5]\d$")] | None = None
    """By when the report must be there, in ``run.timezone``."""
    url: Annotated[str, Field(pattern=r"^https?://[^@]+$")] | None = None
    """Where a web server shows the folder ``paths.reports``, for links to the report."""


class MetricsSettings(_Strict):
    textfile: Annotated[str, Field(pattern=r"\.prom$")] | None = None
    """The file that every run but a dry one replaces, in the folder of the node exporter's textfile collector."""


class _File(_Strict):
    store: StoreSettings = StoreSettings()
    paths: PathSettings = PathSettings()
    run: RunSettings = RunSettings()
    hold: HoldSettings = HoldSettings()
    pull: PullSettings = PullSettings()
    report: ReportSettings = ReportSettings()
    metrics: MetricsSettings = MetricsSettings()


@dataclass(frozen=True)
class Settings:
    """``afstem.toml`` with the environment laid over it; every path is absolute."""

    config: Path
    store_url: str
    actors: Path
    landing: Path
    reports: Path
    codelist: Path
    permissions: Path
    run: RunSettings
    hold: HoldSettings
    pull: PullSettings
    deadline: str | None
    report_url: str | None
    metrics: Path | None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.run.timezone)


class ActorUser(_Strict):
    """One who may sign manifests for an actor (SPEC 2.4); with several keys while one takes another's place."""

    name: Annotated[str, Field(min_length=1)]
    """The ``sub`` of a manifest."""
    public_key: str | Annotated[list[str], Field(min_length=1)]
    """Ed25519 or P-256, in PEM or as OpenSSH writes it; a manifest that fits any of several is taken."""
    scopes: list[str] = []
    """What the user may do; delivering extracts needs `manifests.WRITE_SCOPE`."""

    @property
    def public_keys(self) -> list[str]:
        return [self.public_key] if isinstance(self.public_key, str) else self.public_key


class Actor(_Strict):
    """One ``[[actor]]`` of ``actors.toml``; ``source`` is absolute, or a URL."""

    id: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,40}$")]
    """What everything calls the actor, files and tables too."""
    name: Annotated[str, Field(min_length=1)]
    """What people call it."""
    type: Annotated[ActorType, Field(strict=False)]
    """The type of organisation, which decides what it may write."""
    source: Annotated[str, Field(min_length=1)]
    """A folder (relative to the configuration), or a ``file://``, ``sftp://``, ``https://`` or ``s3://`` URL of one."""
    encoding: Literal["utf-8", "windows-1252", "iso-8859-1"] = "utf-8"
    """Of its CSV files; JSON is UTF-8, and Parquet says itself."""
    login: Literal["source", "manifest"] = "source"
    """What proves who sent an extract: that the source let us in, or a manifest beside each extract."""
    priority: int = 100
    """Of records with the same times that of the actor with the smaller one wins."""
    endpoint: str | None = None
    """Where an ``s3://`` source is that is not Amazon's."""
    region: str | None = None
    """Of an ``s3://`` source, where its server wants one."""
    user: list[ActorUser] = []
    """Who may sign; needed with ``login = "manifest"``."""


class _ActorsFile(_Strict):
    actor: list[Actor] = []


def load_settings(config: Path, environment: Mapping[str, str] | None = None) -> Settings:
    """Read ``afstem.toml``; relative paths in it start at its own folder.

    ``environment`` is the process's own unless given. Raises `UsageError` for a missing file, an unknown key or a
    wrong type.
    """
    content = read_toml(config)
    _lay_over(content, os.environ if environment is None else environment)
    file = _validated(_File, content, config)
    folder = config.resolve().parent
    try:
        ZoneInfo(file.run.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise UsageError(f"{config}: run.timezone: no such time zone") from None
    return Settings(
        config=config.resolve(),
        store_url=_absolute_store_url(file.store.url, folder),
        actors=(folder / file.paths.actors).resolve(),
        landing=(folder / file.paths.landing).resolve(),
        reports=(folder / file.paths.reports).resolve(),
        codelist=_chosen_or_shipped(file.paths.codelist, folder, "kontaktdatatype.toml"),
        permissions=_chosen_or_shipped(file.paths.permissions, folder, "permissions.toml"),
        run=file.run,
        hold=file.hold,
        pull=_with_absolute_paths(file.pull, folder),
        deadline=file.report.deadline,
        report_url=file.report.url,
        metrics=(folder / file.metrics.textfile).resolve() if file.metrics.textfile else None,
    )


def load_actors(settings: Settings, environment: Mapping[str, str] | None = None) -> dict[str, Actor]:
    """The actors by id, in the order of their ids; raises `UsageError` naming file, actor and key.

    Also for a variable of the environment that would be a secret of no actor.
    """
    content = read_toml(settings.actors)
    actors: dict[str, Actor] = {}
    for actor in _validated(_ActorsFile, content, settings.actors).actor:
        if actor.id in actors:
            raise UsageError(f"{settings.actors}: actor.id: {actor.id!r} stands twice")
        _check_users(actor, settings.actors)
        actors[actor.id] = actor.model_copy(update={"source": _absolute_source(actor, settings)})
    _check_secrets(actors, os.environ if environment is None else environment)
    return dict(sorted(actors.items()))


SECRETS = ("user", "password", "key", "passphrase", "token", "access_key", "secret_key", "session_token")
"""What a login at a source may need; which of them, says the kind of source."""

SECRET_PREFIX = "AFSTEM_SOURCE__"  # noqa: S105 - the name of variables
_SPELLINGS = {"": "itself", "_FILE": "a file that holds it", "_BLOCK": "a Prefect Secret block"}
"""How a variable's name ends, and what its value then is."""


class SourceSecrets:
    """The secrets of one actor's login, which no text shows."""

    def __init__(self, found: Mapping[str, str]) -> None:
        self._found = found

    def get(self, name: str) -> str | None:
        return self._found.get(name)


def source_secrets(actor: Actor, environment: Mapping[str, str] | None = None) -> SourceSecrets:
    """The actor's secrets: ``AFSTEM_SOURCE__<ACTOR>__PASSWORD``, else ``AFSTEM_SOURCE__PASSWORD``, which is for all.

    With ``_FILE`` behind it a variable names a file, with ``_BLOCK`` a Prefect Secret block. Raises `SourceUnavailable`
    where one of these is not to be had: it is that actor's trouble alone.
    """
    environment = os.environ if environment is None else environment
    found: dict[str, str] = {}
    for name in SECRETS:
        for owner in (f"{_in_capitals(actor.id)}__", ""):
            variable = f"{SECRET_PREFIX}{owner}{name.upper()}"
            if written := [ending for ending in _SPELLINGS if variable + ending in environment]:
                found[name] = _secret(written[0], environment[variable + written[0]])
                break
    return SourceSecrets(found)


def _secret(ending: str, value: str) -> str:
    try:
        if ending == "_FILE":
            return Path(value).read_text(encoding="utf-8").rstrip("\r\n")
        if ending == "_BLOCK":
            from prefect.blocks.system import Secret

            return str(Secret.load(value).get())  # type: ignore[union-attr]
    except Exception:  # noqa: BLE001 - whatever it is, it may quote the secret
        raise SourceUnavailable("no-credentials", transient=False) from None
    return value


def secret_files(environment: Mapping[str, str] | None = None) -> dict[str, Path]:
    """The files that variables say hold a secret, by variable."""
    environment = os.environ if environment is None else environment
    return {
        variable: Path(value)
        for variable, value in sorted(environment.items())
        if variable.startswith(SECRET_PREFIX) and variable.endswith("_FILE")
    }


def _in_capitals(actor: str) -> str:
    return actor.upper().replace("-", "_")


def _check_secrets(actors: Mapping[str, Actor], environment: Mapping[str, str]) -> None:
    names = [name.upper() + ending for name in SECRETS for ending in _SPELLINGS]
    known = {owner + name for name in names for owner in ("", *(f"{_in_capitals(actor)}__" for actor in actors))}
    for variable in environment:
        if variable.startswith(SECRET_PREFIX) and variable.removeprefix(SECRET_PREFIX) not in known:
            raise UsageError(f"environment: {variable}: no such actor, or none of {', '.join(names[::3])}")


def check_keys(settings: Settings, actors: Mapping[str, Actor]) -> None:
    """Raise `UsageError` for a public key that is none; apart from `load_actors`, for it imports what reads keys."""
    for actor in actors.values():
        for user in actor.user if actor.login == "manifest" else ():
            for key in user.public_keys:
                try:
                    public_key(key)
                except NoSigningKey:
                    raise UsageError(
                        f"{settings.actors}: {actor.id}.user.{user.name}.public_key: no Ed25519 or P-256 public key"
                    ) from None


def signing_key(file: Path | None, environment: Mapping[str, str] | None = None) -> SigningKey:
    """The private key of an actor that signs: from a file, else from ``AFSTEM_SIGNING_KEY``.

    A key with a passphrase needs ``AFSTEM_SIGNING_PASSPHRASE``. Raises `UsageError`, which tells nothing of the key.
    """
    environment = os.environ if environment is None else environment
    if file is None and SIGNING_KEY not in environment:
        raise UsageError(f"no key to sign with: name its file with --key, or put the key into {SIGNING_KEY}")
    try:
        content = environment[SIGNING_KEY].encode() if file is None else file.read_bytes()
    except OSError as error:
        raise UsageError(f"{file}: cannot be read: {error.strerror}") from None
    try:
        return private_key(content, environment.get(SIGNING_PASSPHRASE))
    except NoSigningKey:
        raise UsageError(
            f"{file or SIGNING_KEY}: no Ed25519 or P-256 private key, or {SIGNING_PASSPHRASE} is not its passphrase"
        ) from None


def _check_users(actor: Actor, path: Path) -> None:
    if actor.login == "manifest" and not actor.user:
        raise UsageError(f'{path}: {actor.id}.user: login = "manifest" needs [[actor.user]]')
    names = [user.name for user in actor.user]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise UsageError(
            f"{path}: {actor.id}.user.name: {twice!r} stands twice; a user's keys are one list: public_key = [...]"
        )


def _validated(model: type[Model], content: dict[str, Any], path: Path) -> Model:
    try:
        return model.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part + 1) if isinstance(part, int) else part for part in first["loc"])
        what = "unknown key" if first["type"] == "extra_forbidden" else first["msg"]
        raise UsageError(f"{path}: {key}: {what}") from None


def _lay_over(content: dict[str, Any], environment: Mapping[str, str]) -> None:
    """Override keys in place: ``AFSTEM_STORE__URL`` is ``[store] url``. Variables without ``__`` are not keys."""
    for variable, text in sorted(environment.items()):
        section_name, separator, key = variable.removeprefix(ENVIRONMENT_PREFIX).lower().partition("__")
        if not variable.startswith(ENVIRONMENT_PREFIX) or not separator or variable.startswith(SECRET_PREFIX):
            continue
        section = _File.model_fields.get(section_name)
        field = section.annotation.model_fields.get(key) if section and section.annotation else None
        if field is None:
            raise UsageError(f"environment: {variable}: unknown key {section_name}.{key}")
        try:
            kind: Any = Annotated[field.annotation, field]
            value = TypeAdapter(kind).validate_strings(text)
        except ValidationError as error:
            what = error.errors(include_input=False, include_url=False)[0]["msg"]
            raise UsageError(f"environment: {variable}: {section_name}.{key}: {what}") from None
        if not isinstance(content.setdefault(section_name, {}), dict):
            raise UsageError(f"environment: {variable}: {section_name} is no table in the file")
        content[section_name][key] = value


def _absolute_store_url(url: str, folder: Path) -> str:
    prefix = "sqlite:///"
    if url.startswith(prefix):
        return prefix + str((folder / url.removeprefix(prefix)).resolve())
    return url


def _absolute_source(actor: Actor, settings: Settings) -> str:
    if "://" not in actor.source:
        return str(settings.config.parent / actor.source)
    if actor.source.startswith("file://"):
        return actor.source
    _check_url(actor.source, f"{settings.actors}: {actor.id}.source")
    if actor.endpoint is not None:
        _check_url(actor.endpoint, f"{settings.actors}: {actor.id}.endpoint")
    return actor.source


def _check_url(url: str, where: str) -> None:
    """Raise `UsageError` for what is no address of a source, holds a secret, or would be read unencrypted."""
    try:
        parts = urlsplit(url)
        scheme, host, password, _ = parts.scheme, parts.hostname, parts.password, parts.port
    except ValueError:
        raise UsageError(f"{where}: not a URL") from None
    if scheme not in ("sftp", "s3", "https", "http"):
        raise UsageError(f"{where}: must be a folder, or begin with file://, sftp://, s3:// or https://")
    if password is not None or parts.query or parts.fragment:
        raise UsageError(f"{where}: secrets do not stand in files; use {SECRET_PREFIX}<ACTOR>__PASSWORD")
    if not host:
        raise UsageError(f"{where}: names no host")
    if scheme == "http" and host not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(f"{where}: http:// is not encrypted; use https://")


def _with_absolute_paths(pull: PullSettings, folder: Path) -> PullSettings:
    """``~`` is the user's own folder."""
    paths = {"known_hosts": pull.known_hosts, "ca_file": pull.ca_file}
    return pull.model_copy(
        update={key: str(folder / Path(path).expanduser()) for key, path in paths.items() if path is not None}
    )


def _chosen_or_shipped(chosen: str | None, folder: Path, name: str) -> Path:
    return shipped(name) if chosen is None else folder / chosen


def shipped(name: str) -> Path:
    """The path of a data file that comes with afstem."""
    with as_file(files("afstem") / "data" / name) as path:
        return path
