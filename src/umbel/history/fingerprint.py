"""Fingerprints: which errors are the same one. Type, message without what differs each time, top frames of the app."""

from __future__ import annotations

import re
from hashlib import blake2b
from typing import Final, NamedTuple

MAX_MESSAGE: Final = 512
"""How much of a message tells it from others."""
MAX_LINES: Final = 400
"""How many lines of a traceback, counted from its end, are looked at."""
FRAMES: Final = 3
_FRAME: Final = re.compile(r'^ {2,}File "([^"\n]{1,500})", line \d{1,9}, in (\S{1,200})')
_FOREIGN: Final = ("/site-packages/", "/dist-packages/", "/lib/python", "/umbel/", "<frozen ", "\\lib\\")
# Each of them reads its text once and cannot go back: messages come from anywhere.
_MARKS: Final = (
    (re.compile(r"\b[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}\b"), "<uuid>"),
    (re.compile(r"\b0[xX][0-9a-fA-F]{1,64}\b"), "<hex>"),
    (re.compile(r"'[^'\n]{0,512}'"), "<text>"),
    (re.compile(r'"[^"\n]{0,512}"'), "<text>"),
    (re.compile(r"(?<![\w/])/[\w./@+-]{1,512}"), "<path>"),
    (re.compile(r"\b(?=[0-9a-fA-F]{0,31}\d)[0-9a-fA-F]{12,64}\b"), "<hex>"),
    (re.compile(r"\d{1,64}(?:\.\d{1,64})?"), "<n>"),
)


class Fingerprint(NamedTuple):
    """What errors that are the same have in common; *frame* is the innermost one of the app."""

    digest: str
    type: str
    template: str
    frame: str


def fingerprint(kind: str, message: str, traceback: str) -> Fingerprint:
    """The fingerprint of an error of the type *kind*."""
    template = template_of(message)
    frames = app_frames(traceback)
    whole = "\0".join((kind, template, *frames))
    digest = blake2b(whole.encode(errors="replace"), digest_size=16).hexdigest()
    return Fingerprint(digest, kind, template, frames[0] if frames else "")


def template_of(message: str) -> str:
    """The first line of *message* with numbers, ids, quoted text and paths replaced by marks."""
    line = message.strip().partition("\n")[0][:MAX_MESSAGE]
    for pattern, mark in _MARKS:
        line = pattern.sub(mark, line)
    return line


def app_frames(traceback: str) -> list[str]:
    """Up to three frames of *traceback*, innermost first, as ``file:function``; those of libraries only if all are."""
    lines = traceback.rsplit("\n", MAX_LINES)[-MAX_LINES:]
    found = [(match[1], match[2]) for line in lines if (match := _FRAME.match(line))]
    own = [each for each in found if not any(part in each[0] for part in _FOREIGN)]
    return [f"{_short(file)}:{function}" for file, function in (own or found)[: -FRAMES - 1 : -1]]


def _short(file: str) -> str:
    """The last two parts of a path: the same code is installed elsewhere on another host."""
    return "/".join(re.split(r"[/\\]", file)[-2:])
