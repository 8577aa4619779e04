"""Server: serves a dashboard over HTTP, with a recorder beside it if nobody else records."""

from __future__ import annotations

import uvicorn

from umbel.dashboard.site import site
from umbel.dashboard.station import Station


def serve(station: Station, host: str, port: int) -> None:
    """Serve the dashboard of *station* until SIGTERM or Ctrl-C."""
    config = uvicorn.Config(site(station), host=host, port=port, log_config=None, access_log=False, ws="none")
    uvicorn.Server(config).run()
