"""What the numbers were measured on."""

import os
import platform
from pathlib import Path


def lines() -> list[str]:
    """Processor, memory, kernel and Python."""
    return [
        f"{_processor()}, {os.cpu_count()} cores, {_memory():.0f} GB of memory",
        f"{platform.system()} {platform.release().split('-')[0]}, Python {platform.python_version()}",
    ]


def _processor() -> str:
    """The processor's name as the kernel tells it."""
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _memory() -> float:
    """Gigabytes of memory."""
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
