"""Prometheus, and promtool, which checks what is written for it."""

import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tests.servers.packages import program

PACKAGE = "prometheus"
CHECK_SECONDS = 10.0
SETTINGS = """
global: {{scrape_interval: 1s, evaluation_interval: 1s}}
rule_files: {rules}
scrape_configs:
  - job_name: umbel
    static_configs: [{{targets: {targets}}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """A private Prometheus that scrapes *targets* ("host:port") each second and has the rules in the files *rules*."""

    targets: tuple[str, ...]
    rules: tuple[str, ...] = ()
    name: str = "prometheus"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command, and write prometheus.yml into *folder*."""
        settings = folder / "prometheus.yml"
        settings.write_text(SETTINGS.format(rules=list(self.rules), targets=list(self.targets)))
        return [
            program(("prometheus",), PACKAGE),
            f"--config.file={settings}",
            f"--storage.tsdb.path={folder}/data",
            f"--web.listen-address=127.0.0.1:{port}",
        ]

    def answers(self, port: int) -> bool:
        """Tell whether it is ready."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=CHECK_SECONDS) as answer:
                return bool(answer.status == 200)
        except (OSError, urllib.error.URLError):
            return False

    def url(self, port: int) -> str:
        """Give its address."""
        return f"http://127.0.0.1:{port}"


def promtool() -> str:
    """Give the path of promtool, installed if it was missing. Raises `FileNotFoundError`."""
    return program(("promtool",), PACKAGE)


def install() -> str:
    """Give the path of the server's program, installed if it was missing. Raises `FileNotFoundError`."""
    return program(("prometheus",), PACKAGE)
