"""``python -m umbel`` is ``umbel``."""

from __future__ import annotations

import sys

from umbel.cli.main import main

sys.exit(main())
