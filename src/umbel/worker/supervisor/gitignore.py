"""Which files a project's .gitignore leaves out: the common part of its rules, without asking git."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

_PARTS: Final = re.compile(r"\*\*/|/\*\*|\*\*|\*|\?|\[!?[^\]]+\]|[^*?\[]+|\[")


class Gitignore:
    """The rules of one file: globs, ``**``, ``!`` to take one back, ``/`` at the end for folders only."""

    def __init__(self, lines: Iterable[str]) -> None:
        """Read *lines*; the last rule that fits decides."""
        self._rules = [rule for line in lines if (rule := _rule(line)) is not None]

    def ignores(self, path: str, *, folder: bool) -> bool:
        """Whether the file or *folder* at *path*, relative to the file of rules and with ``/``, is left out."""
        ignored = False
        for pattern, negated, folders_only in self._rules:
            if (folder or not folders_only) and pattern.fullmatch(path):
                ignored = not negated
        return ignored


def _rule(line: str) -> tuple[re.Pattern[str], bool, bool] | None:
    text = line.rstrip("\n\r ")
    if not text or text.startswith("#"):
        return None
    negated = text.startswith("!")
    text = text[1:] if negated else text.removeprefix("\\")
    folders_only = text.endswith("/")
    text = text.rstrip("/")
    # A slash inside ties the rule to the folder of the file; without one it fits at any depth.
    anchored = "/" in text
    pattern = "".join(_translated(part) for part in _PARTS.findall(text.removeprefix("/")))
    return re.compile(pattern if anchored else f"(?:.*/)?{pattern}"), negated, folders_only


def _translated(part: str) -> str:
    known = {"**/": "(?:.*/)?", "/**": "/.*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    if part in known:
        return known[part]
    if part.startswith("[") and len(part) > 1:
        return f"[^{re.escape(part[2:-1])}]".replace(r"\-", "-") if part[1] == "!" else part
    return re.escape(part)
