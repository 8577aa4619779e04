"""One virtual environment a contender, made on demand under ``build/bench`` and kept."""

import json
import subprocess
import sys
from pathlib import Path

from benchmarks.clock import tell
from benchmarks.contenders import Contender

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"
SHOWN = ("redis", "hiredis", "uvloop")
ASK = """
import importlib.metadata as m, json, sys
print(json.dumps({name: m.version(name) for name in sys.argv[1:] if any(m.distributions(name=name))}))
"""


def interpreter(contender: Contender) -> str:
    """The Python that has the contender installed."""
    return str(FOLDER / contender.environment / "bin" / "python") if contender.packages else sys.executable


def prepare(contender: Contender, *, fresh: bool) -> None:
    """Install the contender unless that was done before; *fresh* brings it to the latest version again."""
    if not contender.packages:
        return
    stamp = FOLDER / contender.environment / "installed.txt"
    wanted = " ".join(contender.packages)
    if not fresh and stamp.exists() and stamp.read_text() == wanted:
        return
    tell(f"installing {contender.environment}: {wanted}")
    _run([sys.executable, "-m", "venv", "--clear", str(FOLDER / contender.environment)])
    pip = [interpreter(contender), "-m", "pip", "install", "--quiet", "--upgrade", "--disable-pip-version-check"]
    _run([*pip, *_with_prereleases(contender), *contender.packages])
    stamp.write_text(wanted)


def versions(contender: Contender) -> dict[str, str]:
    """Versions of the contender and of the packages that matter for speed, by distribution name."""
    names = [contender.main_package, *(package.partition("[")[0] for package in contender.packages), *SHOWN]
    asked = subprocess.run([interpreter(contender), "-c", ASK, *names], capture_output=True, check=True, text=True)
    found: dict[str, str] = json.loads(asked.stdout)
    return found


def _with_prereleases(contender: Contender) -> list[str]:
    """Allow pre-releases of potatoQ, which has published nothing else."""
    return ["--pre"] if contender.environment == "potatoq" else []


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[1:3]} failed:\n{done.stderr[-2000:]}")
