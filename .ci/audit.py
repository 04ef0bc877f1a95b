"""Ask pip-audit whether what the lock installs is known to be vulnerable, and never take silence for a yes.

    python .ci/audit.py requirements-dev.lock [--or-say-so]

pip-audit ends with 0 also where it could ask about nothing: each package is then "skipped". Here that is an outcome of
its own. Exit codes: 0 all packages were audited and none is vulnerable; 1 at least one is; 3 not all could be audited,
which is 0 with ``--or-say-so``, for a machine without a network.
"""

import json
import subprocess
import sys
from typing import Any

SOUND, VULNERABLE, NOT_AUDITED = 0, 1, 3


def judge(report: dict[str, Any]) -> tuple[int, list[str]]:
    """The exit code, and the lines to tell, of what pip-audit reports with ``--format json``."""
    packages = report["dependencies"]
    skipped = [package for package in packages if "skip_reason" in package]
    vulnerable = ((package, found) for package in packages for found in package.get("vulns", ()))
    lines = [
        f"{package['name']} {package['version']}: {found['id']}, fixed in {found['fix_versions']}"
        for package, found in vulnerable
    ]
    outcome = VULNERABLE if lines else SOUND
    if skipped or not packages:
        first = f": {skipped[0]['skip_reason']}" if skipped else ""
        lines.append(f"not audited: {len(skipped)} of {len(packages)} packages{first}")
        outcome = outcome or NOT_AUDITED
    else:
        lines.append(f"{len(packages)} packages audited, {len(lines)} vulnerabilities")
    return outcome, lines


def audit(lock: str) -> tuple[int, list[str]]:
    # The lock is complete and hashed, so nothing is resolved, downloaded or installed.
    command = [sys.executable, "-m", "pip_audit", "--require-hashes", "--disable-pip", "--requirement", lock]
    done = subprocess.run(
        [*command, "--format", "json", "--progress-spinner", "off"], capture_output=True, text=True, check=False
    )
    try:
        return judge(json.loads(done.stdout))
    except ValueError:
        *_, last = ["pip-audit says nothing", *done.stderr.split("\n")[:-1]]
        return NOT_AUDITED, [f"not audited: {last}"]


if __name__ == "__main__":
    outcome, lines = audit(sys.argv[1])
    print("\n".join(lines))
    sys.exit(0 if outcome == NOT_AUDITED and "--or-say-so" in sys.argv else outcome)
