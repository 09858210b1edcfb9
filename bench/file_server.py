"""A small, fast HTTP/1.1 file server: threads, keep-alive, sendfile. `python file_server.py FOLDER [LATENCY_S]` prints its port.

It stands in a process of its own, so that the clients that are measured share no interpreter with it.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import time
from pathlib import Path


def serve(connection: socket.socket, folder: Path, latency: float) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    pending = b""
    with connection:
        while True:
            while b"\r\n\r\n" not in pending:
                received = connection.recv(65536)
                if not received:
                    return
                pending += received
            request, pending = pending.split(b"\r\n\r\n", 1)
            method, target, _ = request.split(b" ", 2)
            time.sleep(latency)
            path = folder / target.decode().lstrip("/")
            if not path.is_file():
                connection.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
                continue
            with path.open("rb") as file:
                size = os.fstat(file.fileno()).st_size
                head = f'HTTP/1.1 200 OK\r\nContent-Length: {size}\r\nETag: "{size}"\r\nAccept-Ranges: bytes\r\n\r\n'
                connection.sendall(head.encode())
                if method == b"GET":
                    connection.sendfile(file)


def main() -> None:
    folder, latency = Path(sys.argv[1]), float(sys.argv[2]) if len(sys.argv) > 2 else 0.0
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        threading.Thread(target=serve, args=(connection, folder, latency), daemon=True).start()


if __name__ == "__main__":
    main()
