"""Python packages that Debian does not have, fetched once by pip into the cache. They are for the programs under test and what plays an
application; the tests themselves need Debian's only."""
from __future__ import annotations

import fcntl
import subprocess
import sys
from pathlib import Path

from .servers import cache_dir

OPENFEATURE = ("openfeature-sdk==0.10.0", "openfeature-provider-ofrep==0.3.0")


def packages(name: str, wanted: tuple[str, ...]) -> Path:
    """A folder for PYTHONPATH that has them."""
    home = cache_dir() / "python" / "-".join([name, *(w.partition("==")[2] for w in wanted)])
    home.mkdir(parents=True, exist_ok=True)
    with open(home.parent / f".{home.name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / ".done").exists():
            done = subprocess.run(
                [sys.executable, "-m", "pip", "install", "-q", "--no-input", "--disable-pip-version-check", "--root-user-action=ignore", "--target", str(home), *wanted],
                capture_output=True, text=True, timeout=300,
            )
            if done.returncode != 0:
                raise RuntimeError(f"pip could not fetch {' '.join(wanted)}:\n{done.stdout}{done.stderr}")
            (home / ".done").touch()
    return home


def openfeature() -> Path:
    return packages("openfeature", OPENFEATURE)
