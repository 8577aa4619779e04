"""Objects behind Amazon's S3 protocol: moto's server. Run as a program it is the server itself.

It answers one request after the other, so that its conditional writes are as atomic as those of a real store.
"""

import http.client
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ANSWER_SECONDS = 30.0
BUCKET = "umbel"


@dataclass(frozen=True)
class Objects:
    """A private object store, in memory, with one bucket. A *careless* one forgets the conditions of a write."""

    careless: bool = False
    name: str = "objects"

    def command(self, folder: Path, port: int) -> list[str]:
        """Give the command."""
        return [sys.executable, "-P", __file__, str(port), *(["careless"] if self.careless else [])]

    def answers(self, port: int) -> bool:
        """Tell whether it answers; makes the bucket."""
        try:
            return request(port, "PUT", f"/{BUCKET}") == http.client.OK
        except OSError:
            return False

    def url(self, port: int) -> str:
        """Give the address of the bucket, as a result store has it."""
        return (
            f"s3://{BUCKET}/results?endpoint=http://127.0.0.1:{port}&region=us-east-1"
            "&access_key_id=umbel&secret_access_key=secret"
        )


def request(port: int, method: str, path: str) -> int:
    """Send one request without body to the server on *port*; answers the status. Raises `OSError`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=ANSWER_SECONDS)
    try:
        connection.request(method, path)
        return connection.getresponse().status
    except http.client.HTTPException as error:
        raise OSError(error) from error
    finally:
        connection.close()


def empty(port: int) -> None:
    """Forget all objects of the server on *port*, and make its bucket anew."""
    for method, path in (("POST", "/moto-api/reset"), ("PUT", f"/{BUCKET}")):
        status = request(port, method, path)
        if status != http.client.OK:
            raise OSError(f"{method} {path}: {status}")


def main(port: int, careless: bool) -> None:
    """Serve on *port* until killed."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import run_simple

    careful = DomainDispatcherApplication(create_backend_app)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        for condition in ("HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH") if careless else ():
            environ.pop(condition, None)
        return careful(environ, start_response)

    run_simple("127.0.0.1", port, serve, threaded=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), "careless" in sys.argv)
