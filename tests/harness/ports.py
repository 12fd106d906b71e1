"""Free ports on loopback."""

import random
import socket

# Below the range that the kernel takes outgoing connections' ports from, so that no connection takes one of ours
# between the check and the server's bind.
_RANGE = range(20_000, 32_000)
_random = random.SystemRandom()
_handed_out: set[int] = set()


def is_free(port: int, host: str = "127.0.0.1") -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nothing listens on and that this process has not been given before."""
    for _ in range(1000):
        port = _random.choice(_RANGE)
        if port not in _handed_out and is_free(port):
            _handed_out.add(port)
            return port
    raise RuntimeError(f"no free port between {_RANGE.start} and {_RANGE.stop}")
