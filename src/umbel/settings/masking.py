"""URLs as they may be printed."""

from __future__ import annotations

import re
from typing import Final

_PASSWORD: Final = re.compile(r"(?<=://)([^:@/?#]*):([^@/?#]*)@")
_SECRET_OPTION: Final = re.compile(r"(?i)([?&][^=&#]*(?:password|secret|token)[^=&#]*=)[^&#]*")


def masked(url: str) -> str:
    """*url* as it may be printed: passwords and secret options replaced by stars."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
