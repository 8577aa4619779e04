import json

import pytest

from umbel.cli.main import main


def test_what_is_printed_is_what_grafana_imports(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "grafana"]) == 0
    dashboard = json.loads(capsys.readouterr().out)
    assert dashboard["title"] == "Umbel"
    places = [panel["gridPos"] for panel in dashboard["panels"]]
    covered = [
        (x, y) for at in places for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
    ]
    assert len(covered) == len(set(covered)), "two panels lie upon each other"


def test_the_rules_are_printed_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "rules"]) == 0
    assert capsys.readouterr().out.startswith("# Alert rules for Prometheus")


def test_another_file_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["monitoring", "everything"]) == 2
    assert "'grafana', 'rules'" in capsys.readouterr().err
