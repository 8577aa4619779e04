"""URLs as they may be printed."""

from __future__ import annotations

import re
from typing import Final

# To the last @: a password that should have been quoted, and was not, is hidden as well.
_PASSWORD: Final = re.compile(r"(?<=://)([^:@/?#]*):(.*)@")
_SECRET_OPTION: Final = re.compile(r"(?i)([?&][^=&#]*(?:password|secret|token|key|sas)[^=&#]*=)[^&#]*")


def masked(url: str) -> str:
    """*url* as it may be printed: passwords and secret options replaced by stars."""
    return _SECRET_OPTION.sub(r"\1***", _PASSWORD.sub(r"\1:***@", url))
