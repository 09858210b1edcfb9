"""The standard library's server, with keep-alive: ``file_server.py FOLDER LATENCY_S`` prints its port."""

from __future__ import annotations

import sys
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer


class Handler(SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    latency_s = 0.0

    def do_GET(self) -> None:
        time.sleep(self.latency_s)
        super().do_GET()

    def copyfile(self, source, _) -> None:
        self.connection.sendfile(source)  # as real servers do; a copy in Python would be what is measured

    def log_message(self, *_: object) -> None:
        pass


def main() -> None:
    Handler.latency_s = float(sys.argv[2])
    ThreadingHTTPServer.request_queue_size = 128
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=sys.argv[1]))
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
