"""Read one TOML file, or say in one line why not."""

import tomllib
from pathlib import Path
from typing import Any

from afstem.errors import UsageError


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file; raises `UsageError` with one line for a missing or broken one."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path}: is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{path}: {error}") from None
