"""A real spreadsheet for the soak tests of receipts: LibreOffice Calc without a window.

``python tests/spreadsheet.py`` installs Debian's where there is none, and ``make soak`` does so first.
"""

import re
import shutil
import subprocess
import sys
from pathlib import Path

from system_packages import ensure

MISSING = "no spreadsheet: run 'make spreadsheet' as root, or install LibreOffice Calc so that soffice is on the PATH"


def find_spreadsheet() -> str | None:
    """The path of the system's LibreOffice, if it has one."""
    return shutil.which("soffice")


class Spreadsheet:
    """Opens CSV files and workbooks as a person would, each time with a profile of its own in ``folder``."""

    def __init__(self, path: str, folder: Path) -> None:
        self._command = [path, f"-env:UserInstallation={(folder / 'profile').resolve().as_uri()}", "--headless"]
        self._folder = folder

    def formulas(self, path: Path, separators: str = "") -> list[str]:
        """The formulas that it finds in a file; ``separators`` are what it is told about one in CSV."""
        opened = self._convert(path, separators, "fods").read_text(encoding="utf-8")
        assert "<table:table-row" in opened
        return re.findall(r'table:formula="([^"]*)"', opened)

    def saved(self, path: Path, separators: str = "") -> Path:
        """The file as it is when it was opened and saved again, as CSV with ``;``."""
        return self._convert(path, separators, "csv:Text - txt - csv (StarCalc):59,34,76,1,,0,false,true,false")

    def _convert(self, path: Path, separators: str, into: str) -> Path:
        codes = "/".join(str(ord(sign)) for sign in separators)
        out = self._folder / "converted"
        opened = [f"--infilter=CSV:{codes},34,76"] if separators else []
        options = [*opened, "--convert-to", into, "--outdir", str(out), str(path)]
        subprocess.run([*self._command, *options], check=True, capture_output=True, timeout=300)
        return out / f"{path.stem}.{into.partition(':')[0]}"


if __name__ == "__main__":
    sys.exit(ensure("libreoffice-calc", find_spreadsheet(), MISSING))
