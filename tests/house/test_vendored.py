"""Files of others are those that were taken from their archives, and there are none besides."""

import shutil
from pathlib import Path

import pytest

from scripts.vendor_assets import FOLDERS, LIST, differences, packages


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_files_of_others_are_as_they_were_taken(folder: Path) -> None:
    assert differences(folder) == []
    for package in packages(folder):
        assert package.integrity.startswith("sha512-")
        assert any("LICENSE" in each.file for each in package.files), f"the licence of {package.package} is missing"


def test_a_file_that_was_changed_is_found_and_so_is_one_too_many(tmp_path: Path) -> None:
    folder = tmp_path / "vendor"
    shutil.copytree(FOLDERS[0], folder)
    (folder / "htmx.min.js").write_text("alert(1)")
    (folder / "more.js").write_text("")
    (folder / "uPlot.min.css").unlink()
    found = "\n".join(differences(folder))
    assert "more.js is in no list" in found
    assert "htmx.min.js has the hash" in found
    assert "uPlot.min.css is missing" in found
    assert LIST not in found
