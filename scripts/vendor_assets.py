"""Files of others that the dashboard's pages and its tests load: fetched once, by hand, and checked for ever.

``python scripts/vendor_assets.py`` asks npm for each package of a ``vendor.json``, compares the archive with the
integrity that is noted there, and takes the files that are named out of it. ``--check`` asks nobody: it compares the
files that are here with their hashes. A new version: write it and its integrity (``npm view htmx.org@4.0.1
dist.integrity``) into ``vendor.json``, run this, and note the hashes that it tells.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

import msgspec

ROOT: Final = Path(__file__).parents[1]
FOLDERS: Final = (ROOT / "src/umbel/dashboard/static/vendor", ROOT / "tests/dashboard/browser/axe")
LIST: Final = "vendor.json"


class File(msgspec.Struct, forbid_unknown_fields=True):
    """One *file* here, what it is called *within* the archive, and its hash, in hexadecimal digits."""

    file: str
    within: str
    sha256: str


class Package(msgspec.Struct, forbid_unknown_fields=True):
    """A *package* of npm: its exact *version*, its *integrity* as npm tells it, the *files* that are taken of it."""

    package: str
    version: str
    integrity: str
    licence: str
    files: list[File]


def packages(folder: Path) -> list[Package]:
    """What *folder* has of others."""
    return msgspec.json.decode((folder / LIST).read_bytes(), type=list[Package])


def differences(folder: Path) -> list[str]:
    """What in *folder* is not as it was taken, in sentences."""
    listed = {each.file: each.sha256 for package in packages(folder) for each in package.files}
    there = {each.name for each in folder.iterdir() if each.name != LIST}
    found = [f"{folder / name} is in no list" for name in sorted(there - listed.keys())]
    for name, expected in listed.items():
        path = folder / name
        if not path.exists():
            found.append(f"{path} is missing")
        elif (actual := hashlib.sha256(path.read_bytes()).hexdigest()) != expected:
            found.append(f"{path} has the hash {actual}, not {expected}")
    return found


def fetch(folder: Path, package: Package) -> None:
    """Take the files of *package* out of its archive into *folder*. Exits if that is not the one that was noted."""
    with tempfile.TemporaryDirectory() as place:
        name = f"{package.package}@{package.version}"
        subprocess.run(["npm", "pack", name, "--ignore-scripts", "--silent"], cwd=place, check=True)
        (archive,) = Path(place).glob("*.tgz")
        digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
        if f"sha512-{digest}" != package.integrity:
            sys.exit(f"{name} has the integrity sha512-{digest}, not {package.integrity}")
        with tarfile.open(archive) as opened:
            for each in package.files:
                content = opened.extractfile(each.within)
                if content is None:
                    sys.exit(f"{name} has no {each.within}")
                (folder / each.file).write_bytes(content.read())


def main(arguments: list[str]) -> None:
    """Do as the command line says; exit with what is wrong."""
    if arguments not in ([], ["--check"]):
        sys.exit(f"usage: {Path(__file__).name} [--check]")
    for folder in FOLDERS:
        for package in packages(folder) if not arguments else []:
            fetch(folder, package)
    wrong = [each for folder in FOLDERS for each in differences(folder)]
    if wrong:
        sys.exit("\n".join(wrong))


if __name__ == "__main__":
    main(sys.argv[1:])
