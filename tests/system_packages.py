"""Programs of the system that some tests need, installed from Debian where they are missing and we may."""

import os
import shutil
import subprocess
import sys


def ensure(package: str, found: str | None, missing: str) -> int:
    """Install a package of Debian's unless its program was found; the exit code. ``missing`` tells what else to do."""
    if found:
        return 0
    if shutil.which("apt-get") and os.geteuid() == 0:
        print(f"installing {package} from Debian")
        install = ["apt-get", "install", "--yes", "--quiet", "--no-install-recommends", package]
        quiet = {"stdout": subprocess.DEVNULL, "env": os.environ | {"DEBIAN_FRONTEND": "noninteractive"}}
        subprocess.run(["apt-get", "update", "--quiet"], check=False, **quiet)  # a source may fail that is not needed
        if subprocess.run(install, check=False, **quiet).returncode == 0:
            return 0
    print(missing, file=sys.stderr)
    return 1
