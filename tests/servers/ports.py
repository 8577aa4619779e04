"""Free loopback ports that stay ours."""

import random
import socket

# Below the range from which Linux takes the ports of outgoing connections (32768 and up): a client that reconnects to
# a killed server on a port of that range can be given the very same port and end up talking to itself.
FIRST_PORT, LAST_PORT = 20_000, 32_000
ATTEMPTS = 200


class Reservation:
    """One port, kept from every other test process of this machine until `release` or the end of this process."""

    def __init__(self, port: int, claim: socket.socket) -> None:
        """Keep *claim*, the open socket that stands for *port*."""
        self.port = port
        self._claim = claim

    def release(self) -> None:
        """Let others have the port."""
        self._claim.close()


def reserve() -> Reservation:
    """Find a port on which nothing listens. Raises `OSError` if there seems to be none."""
    for _ in range(ATTEMPTS):
        port = random.randint(FIRST_PORT, LAST_PORT)
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0umbel-tests-port-{port}")  # an abstract name: no file, and gone with the process
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(("127.0.0.1", port))
        except OSError:
            claim.close()
        else:
            return Reservation(port, claim)
    raise OSError(f"no free port between {FIRST_PORT} and {LAST_PORT} in {ATTEMPTS} attempts")
