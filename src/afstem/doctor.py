"""Doctor: what would hinder tonight's run, told today, a line each, with what to do about it.

It looks, lists and asks for the time. It changes nothing, makes no store and pulls no file; all it writes are files
without a name, gone at once, to learn whether a folder takes any and whose clock dates them. Nothing of what a server,
a driver or an extract says is told, and no URL with what it logs in with.
"""

import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from afstem import clock, codelist, permissions
from afstem.decode import is_extract_name
from afstem.errors import (
    DONE,
    DONE_WITH_REFUSALS,
    AfstemError,
    DiskTrouble,
    LoginRefused,
    SourceUnavailable,
    StoreFailed,
    UsageError,
    said,
    told_without_content,
)
from afstem.masking import tell_file_name
from afstem.private_files import read_json
from afstem.report.history import run_folders
from afstem.report.texts import reason_texts
from afstem.settings import Actor, Settings, check_keys, load_actors, load_settings, secret_files
from afstem.sources import check_sources, is_remote, open_source
from afstem.store import Store
from afstem.toml_file import read_toml

Level = Literal["well", "warning", "fault"]
"""All is well; a run would do its work, but not all of it or not for long; a run would fail."""

SOURCES_SECONDS = 120.0
"""For all sources together. One of a dead server costs `[pull] connect_seconds`, a folder of a dead one for ever."""

CLOCK_TOLERANCE = timedelta(seconds=10)
"""More than a second that a file system rounds by and a slow answer takes, and far less than a manifest is allowed."""

GIB, MIB = 2**30, 2**20

FEW_INODES, TOO_FEW_INODES = 10_000, 1_000

SOURCE_REMEDIES = {
    "no-such-folder": "have it made, or mend the actor's source",
    "not-reached": "see that the server runs and that the network lets us through",
    "silent": "see that the server runs and that the network lets us through",
    "too-slow": "ask again: what others waited for took all the time; or see why the server is slow",
    "not-trusted": "make sure who the server is, then add its host key to known_hosts or its authority to pull.ca_file",
    "no-credentials": "set its AFSTEM_SOURCE__… variables, and see that the files and blocks they name are there",
    "too-many-files": "have the actor clear its folder",
}
"""By the reason why a source cannot be listed (a test holds them together with what sources raise)."""


@dataclass(frozen=True)
class Remark:
    """One line: what it is about, how bad it is, what was found, and what to do."""

    about: str
    level: Level
    says: str
    do: str | None = None


@dataclass(frozen=True)
class Patient:
    """What is examined: everything that the configuration names."""

    settings: Settings
    actors: dict[str, Actor]
    store: Store | None
    """None where its URL is none."""

    @property
    def sqlite(self) -> Path | None:
        return self.store.file if self.store else None

    def folders(self) -> dict[str, Path]:
        """The folders that a run writes into, by what they are for."""
        folders = {"landing": self.settings.landing, "reports": self.settings.reports}
        folders |= {"store": self.sqlite.parent} if self.sqlite else {}
        return folders | ({"metrics": self.settings.metrics.parent} if self.settings.metrics else {})


Check = Callable[[Patient], Iterable[Remark]]


def examine(config: Path, further: Iterable[tuple[str, Check]] = ()) -> list[Remark]:
    """Everything that there is to say, in the order in which it is best mended; ``further`` are checks by name.

    Whatever one check meets, the others are made all the same.
    """
    try:
        settings = load_settings(config)
    except UsageError as error:
        return [_misconfigured(error)]
    patient, remarks = _configured(settings)
    for about, check in (*_CHECKS, *further):
        try:
            with told_without_content():
                remarks += check(patient)
        except AfstemError as error:
            remarks.append(Remark(about, "fault", str(error)))
    if patient.store:
        patient.store.close()
    return remarks


def verdict(remarks: Iterable[Remark]) -> tuple[Level, int]:
    """The worst of it, and the exit code that tonight's run would have (SPEC 7)."""
    levels = {(remark.level, remark.about) for remark in remarks}
    if ("fault", "configuration") in levels:
        return "fault", UsageError.exit_code
    if any(level == "fault" for level, _ in levels):
        return "fault", AfstemError.exit_code
    return ("warning", DONE_WITH_REFUSALS) if any(level == "warning" for level, _ in levels) else ("well", DONE)


def told(remarks: list[Remark]) -> dict[str, Any]:
    """What a command prints."""
    level, _ = verdict(remarks)
    return {"status": level, "remarks": [asdict(remark) for remark in remarks]}


# --- configuration ----------------------------------------------------------------------------------------------------


def _configured(settings: Settings) -> tuple[Patient, list[Remark]]:
    remarks = []
    actors: dict[str, Actor] = {}
    store = None
    try:
        actors = load_actors(settings)
        check_keys(settings, actors)
        check_sources(settings, actors)
    except UsageError as error:
        remarks.append(_misconfigured(error))
    for load, path in ((codelist.load, settings.codelist), (permissions.load, settings.permissions)):
        try:
            load(path)
        except UsageError as error:
            remarks.append(_misconfigured(error))
    try:
        store = Store.open(settings.store_url)
    except UsageError as error:
        remarks.append(_misconfigured(error))
    if not actors and not remarks:
        says = f"{settings.actors} names no actor"
        remarks.append(Remark("configuration", "warning", says, "add an [[actor]]; docs/reference.md has its keys"))
    well = Remark("configuration", "well", f"{settings.config}, {len(actors):,} actors, {settings.run.timezone}")
    return Patient(settings, actors, store), remarks or [well]


def _misconfigured(error: UsageError) -> Remark:
    return Remark("configuration", "fault", str(error), "mend it there; docs/reference.md has every key")


# --- the store --------------------------------------------------------------------------------------------------------


def _store(patient: Patient) -> Iterator[Remark]:
    if patient.store is None:
        return  # which is told of the configuration
    try:
        health = patient.store.health()
    except StoreFailed as error:
        do = None if patient.sqlite else "see that the server runs, and that store.url, role and password are right"
        yield _about_store("fault", str(error), do)
        return
    if health.moment:
        yield from _compared("the store's server", health.moment)
    kind = "SQLite" if patient.sqlite else f"PostgreSQL as {health.role}"
    if health.is_newer:
        yield _about_store("fault", f"its tables are of a newer version ({health.version})", "install that afstem")
    elif not health.is_newest and not health.may_upgrade:
        lacks = "there is no store yet" if health.version is None else f"its tables are of version {health.version}"
        command = "init" if health.version is None else "upgrade"
        yield _about_store(
            "fault", f"{lacks}, and {health.role} may not make them", f"its owner: afstem store {command}"
        )
    elif health.version is None:
        yield _about_store("warning", "there is no store yet", "afstem store init, or the next run makes it")
    elif not health.is_newest:
        says = f"its tables are of version {health.version}"
        yield _about_store("warning", says, "back it up, then afstem store upgrade, or the next run alters them")
    elif health.lacks:
        says = f"{health.role} may not {', '.join(health.lacks)}"
        yield _about_store("fault", says, f"its owner: afstem store init --run-role {health.role}")
    else:
        yield _about_store("well", f"{kind}, version {health.version}, {patient.store.size():,} bytes")
        if not patient.store.knows_citizens():
            yield _about_store("warning", "it knows no citizen: every record is 1010", "afstem reference load FOLDER")
    if health.exceeds:
        says = f"{health.role} {' and '.join(health.exceeds)}: more than a run needs"
        yield _about_store("warning", says, "afstem store init --run-role ROLE as the owner, and ROLE in store.url")


def _about_store(level: Level, says: str, do: str | None = None) -> Remark:
    return Remark("store", level, says, do)


# --- sources ----------------------------------------------------------------------------------------------------------


def _sources(patient: Patient) -> Iterator[Remark]:
    deadline = time.monotonic() + SOURCES_SECONDS
    threads = ThreadPoolExecutor(patient.settings.pull.at_once)
    asked = {
        actor: threads.submit(_waiting_extracts, patient.actors[actor], patient.settings, deadline)
        for actor in patient.actors
    }
    done, _ = wait(asked.values(), SOURCES_SECONDS + 5)
    threads.shutdown(wait=False, cancel_futures=True)  # a dead disk keeps its thread
    listed, extracts = 0, 0
    do: str | None
    for actor, future in asked.items():
        source = patient.actors[actor].source
        if future not in done:
            says, do = f"has not answered in {SOURCES_SECONDS:.0f} s", SOURCE_REMEDIES["not-reached"]
        elif (trouble := future.exception()) is None:
            listed, extracts = listed + 1, extracts + future.result()
            continue
        elif isinstance(trouble, LoginRefused) and is_remote(source):
            says, do = "the login is refused (1012)", "mend its AFSTEM_SOURCE__… secrets, or its rights on the server"
        elif isinstance(trouble, LoginRefused):
            says, do = "the folder may not be entered (1012)", "let the user that runs afstem read it"
        elif isinstance(trouble, SourceUnavailable):
            says, do = reason_texts(None, trouble.reason).en, SOURCE_REMEDIES.get(trouble.reason)
        else:
            says, do = f"internal error: {said(trouble)}", "report it"
        yield Remark("sources", "warning", f"{actor}: {says}", do)
    if listed or not asked:
        yield Remark("sources", "well", f"{listed:,} of {len(asked):,} can be listed; they hold {extracts:,} extracts")


def _waiting_extracts(actor: Actor, settings: Settings, deadline: float) -> int:
    with open_source(actor, settings.pull, deadline) as source:
        return sum(entry.kind == "file" and is_extract_name(entry.name) for entry in source.entries())


# --- clocks -----------------------------------------------------------------------------------------------------------


def _clocks(patient: Patient) -> list[Remark]:
    remarks = [*_disk_clocks(patient), *_future(patient)]
    return remarks or [Remark("clock", "well", f"{clock.now():%Y-%m-%d %H:%M:%S}Z, as its disks have it")]


def _disk_clocks(patient: Patient) -> Iterator[Remark]:
    for name, folder in patient.folders().items():
        try:
            moment = _dated(folder)
        except OSError:
            continue  # what is wrong with the folder is told of the disk
        yield from _compared(f"the disk of {name}", moment)


def _compared(what: str, moment: datetime) -> Iterator[Remark]:
    ahead = moment - clock.now()
    if abs(ahead) > CLOCK_TOLERANCE:
        where = "ahead of" if ahead > timedelta(0) else "behind"
        says = f"{what} is {abs(ahead).total_seconds():,.0f} s {where} this machine"
        yield Remark("clock", "warning", says, "keep the clocks of both by NTP (timedatectl tells)")


def _future(patient: Patient) -> Iterator[Remark]:
    """What was written later than now: this machine's clock is behind, or was set back."""
    now = clock.now()
    settings = patient.settings
    seen = {str(path): path for path in (settings.config, settings.actors, settings.landing, settings.reports)}
    seen["afstem itself"] = Path(__file__)
    times = {name: _changed(path) for name, path in seen.items() if path.exists()}
    if folders := run_folders(settings.reports):
        begun = datetime.strptime(folders[-1].name[:16], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        times[f"the report {folders[-1].name}"] = begun
    name, latest = max(times.items(), key=lambda item: item[1])
    if latest - now > CLOCK_TOLERANCE:
        says = f"{name} is from {latest:%Y-%m-%d %H:%M:%S}Z, which is in the future"
        yield Remark("clock", "warning", says, "set this machine's clock: records newer than it are 1014")


def _dated(folder: Path) -> datetime:
    """When a file that is written to the folder now is from, by the clock of its file system."""
    with tempfile.TemporaryFile(dir=_there(folder)) as file:
        file.write(b"?")
        file.flush()
        return datetime.fromtimestamp(os.fstat(file.fileno()).st_mtime, UTC)


def _changed(path: Path) -> datetime:
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)


# --- disks ------------------------------------------------------------------------------------------------------------


def _disks(patient: Patient) -> Iterator[Remark]:
    for name, folder in patient.folders().items():
        if name == "metrics" and not folder.is_dir():
            yield Remark("disk", "warning", f"metrics: there is no {folder}", "make it, where the node exporter reads")
            continue
        try:
            _dated(folder)
        except OSError as error:
            do = DiskTrouble.remedy(error) or "see what is wrong with it"
            yield Remark("disk", "fault", f"{name}: {folder} takes no file: {error.strerror}", do)
            continue
        night = _last_night(name, patient.settings)
        room = os.statvfs(_there(folder))
        free, inodes = room.f_bavail * room.f_frsize, room.f_favail
        says = f"{name}: {free // MIB:,} MiB free"
        if free < max(64 * MIB, 2 * night):
            yield Remark(
                "disk", "fault", says, f"make room in {folder}: afstem forget --older-than DAYS, or a larger disk"
            )
        elif free < max(GIB, 10 * night):
            yield Remark("disk", "warning", says, f"make room in {folder}: afstem forget --older-than DAYS")
        elif room.f_files and inodes < FEW_INODES:
            level: Level = "fault" if inodes < TOO_FEW_INODES else "warning"
            yield Remark(
                "disk", level, f"{name}: {inodes:,} inodes free", f"remove small files around {folder} (df -i)"
            )
        else:
            yield Remark("disk", "well", says)


def _last_night(name: str, settings: Settings) -> int:
    """What the last run has put there; nothing before the first, and of the store, which grows by little."""
    folders = run_folders(settings.reports)
    if not folders or name in ("store", "metrics"):
        return 0
    if name == "reports":
        return sum(path.stat().st_size for path in folders[-1].rglob("*") if path.is_file())
    try:
        return sum(extract["bytes"] for extract in read_json(folders[-1] / "run.json")["extracts"])
    except (OSError, ValueError, KeyError):
        return 0  # damaged: `afstem show --verify` is for that


def _there(folder: Path) -> Path:
    """The folder, or the nearest above it that is there, which it will be made in."""
    return next(path for path in (folder, *folder.parents) if path.exists())


# --- who may read what ------------------------------------------------------------------------------------------------


def _permissions(patient: Patient) -> Iterator[Remark]:
    remarks = [*_open_to_others(patient), *_secrets(patient), *_umask()]
    yield from remarks or [Remark("permissions", "well", "what is personal is for its owner alone")]


def _open_to_others(patient: Patient) -> Iterator[Remark]:
    settings = patient.settings
    private = {"the landing zone": [settings.landing]}
    private["receipts"] = [folder / "receipts" for folder in run_folders(settings.reports)]
    if patient.store:
        private["the store"] = patient.store.files()
    for what, tops in private.items():
        open_ones = [path for top in tops if top.exists() for path in _all_of(top) if _is_open(path)]
        if open_ones:
            says = f"{what}: others may reach {_first(open_ones)}"
            yield Remark("permissions", "warning", says, f"chmod -R go-rwx {_above(open_ones, tops)}")
        others = [path for top in tops if top.exists() for path in _all_of(top) if path.lstat().st_uid != os.geteuid()]
        if others:
            says = f"{what}: another user owns {_first(others)}"
            do = f"run as that user, or chown -R it to the user that runs afstem: {_above(others, tops)}"
            yield Remark("permissions", "warning", says, do)


def _all_of(top: Path) -> Iterator[Path]:
    yield top
    if top.is_dir():
        yield from top.rglob("*")


def _is_open(path: Path) -> bool:
    told = path.lstat()
    return not stat.S_ISLNK(told.st_mode) and bool(told.st_mode & 0o077)


def _first(paths: list[Path]) -> str:
    return tell_file_name(str(paths[0])) + (f" and {len(paths) - 1:,} more" if len(paths) > 1 else "")


def _above(paths: list[Path], tops: list[Path]) -> Path:
    return next(top for top in tops if top == paths[0] or top in paths[0].parents)


def _secrets(patient: Patient) -> Iterator[Remark]:
    for variable, path in secret_files().items():
        if path.exists() and _is_open(path.resolve()):
            yield Remark("permissions", "warning", f"{variable}: others may read {path}", f"chmod 600 {path}")
    url = read_toml(patient.settings.config).get("store", {}).get("url", "")
    if _has_password(url):
        says = f"the store's password stands in {patient.settings.config}"
        yield Remark("permissions", "warning", says, "take it out: AFSTEM_STORE__URL, PGPASSWORD or ~/.pgpass")


def _has_password(url: str) -> bool:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except ArgumentError:
        return False  # a fault of the configuration, or laid over by the environment
    return bool(parsed.password or parsed.query.get("password"))


def _umask() -> Iterator[Remark]:
    """Linux tells it; asked in the usual way it would have to be changed, for every thread."""
    status = Path("/proc/self/status").read_text(encoding="ascii")
    mask = next((line.split()[1] for line in status.splitlines() if line.startswith("Umask:")), "0022")
    if not int(mask, 8) & 0o002:
        yield Remark(
            "permissions", "warning", f"umask {mask}: everybody may alter reports", "umask 027 where it is run"
        )


_CHECKS: tuple[tuple[str, Check], ...] = (
    ("store", _store),
    ("sources", _sources),
    ("clock", _clocks),
    ("disk", _disks),
    ("permissions", _permissions),
)
