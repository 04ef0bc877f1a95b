"""A real spreadsheet for the soak tests of receipts: LibreOffice Calc without a window.

``python tests/spreadsheet.py`` installs Debian's where there is none, and ``make soak`` does so first.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

MISSING = "no spreadsheet: run 'make spreadsheet' as root, or install LibreOffice Calc so that soffice is on the PATH"


class Spreadsheet:
    """Opens CSV files as a person would, each time with a profile of its own in ``folder``."""

    def __init__(self, folder: Path) -> None:
        path = shutil.which("soffice")
        if path is None:
            raise FileNotFoundError(MISSING)
        self._command = [path, f"-env:UserInstallation={(folder / 'profile').resolve().as_uri()}", "--headless"]
        self._folder = folder

    def formulas(self, path: Path, separators: str) -> list[str]:
        """The formulas that it finds in a file."""
        opened = self._convert(path, separators, "fods").read_text(encoding="utf-8")
        assert "<table:table-row" in opened
        return re.findall(r'table:formula="([^"]*)"', opened)

    def saved(self, path: Path, separators: str) -> Path:
        """The file as it is when it was opened and saved again, as CSV with ``;``."""
        return self._convert(path, separators, "csv:Text - txt - csv (StarCalc):59,34,76,1,,0,false,true,false")

    def _convert(self, path: Path, separators: str, into: str) -> Path:
        codes = "/".join(str(ord(sign)) for sign in separators)
        out = self._folder / "converted"
        options = [f"--infilter=CSV:{codes},34,76", "--convert-to", into, "--outdir", str(out), str(path)]
        subprocess.run([*self._command, *options], check=True, capture_output=True, timeout=300)
        return out / f"{path.stem}.{into.partition(':')[0]}"


def install() -> int:
    """Install Debian's LibreOffice Calc where no spreadsheet is; the exit code."""
    if shutil.which("soffice"):
        return 0
    if not shutil.which("apt-get") or os.geteuid() != 0:
        print(MISSING, file=sys.stderr)
        return 1
    print("installing Debian's LibreOffice Calc for the soak tests of the receipts")
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
    subprocess.run(["apt-get", "update", "--quiet"], **quiet)
    subprocess.run(["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", "libreoffice-calc"], **quiet)
    return 0


if __name__ == "__main__":
    sys.exit(install())
