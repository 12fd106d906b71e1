"""The network between a server and one of those who ask it, while others have their own."""

import contextlib
import socket
import threading
import time

from .ports import free_port
from .postgresql import PostgreSQL


class Way:
    """Passes bytes on in both directions, from `host` and `port` to PostgreSQL, as long as it isn't cut."""

    def __init__(self, postgres: PostgreSQL) -> None:
        self.host, self.port = "127.0.0.1", free_port()
        self.url = f"postgresql://{postgres.user}:{postgres.password}@{self.host}:{self.port}/{postgres.database}"
        self._to = (postgres.host, postgres.port)
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._listener: socket.socket | None = None
        self._swallows = False
        self.takes = 0.0
        """So many seconds, in each direction."""
        self.let_through()

    def __enter__(self) -> "Way":
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()

    def leads_to(self, postgres: PostgreSQL) -> None:
        """Whoever connects from now on."""
        self._to = (postgres.host, postgres.port)

    def swallow(self) -> None:
        """Whatever is sent is lost, and nobody is told."""
        self._swallows = True

    def let_through(self) -> None:
        self._swallows = False
        self._listener = socket.create_server((self.host, self.port), backlog=500)
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def cut(self) -> None:
        """Whatever is open ends, and nobody listens."""
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = listener.accept()
                threading.Thread(target=self._serve, args=(client, listener), daemon=True).start()

    def _serve(self, client: socket.socket, listener: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._to) as server:
            for one in (client, server):
                one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with self._lock:
                if self._listener is not listener:
                    return
                self._open |= {client, server}
            back = threading.Thread(target=self._copy, args=(server, client), daemon=True)
            back.start()
            self._copy(client, server)
            back.join()
            with self._lock:
                self._open -= {client, server}

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                time.sleep(self.takes)
                if not self._swallows:
                    target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)
