"""An HTTP server that misbehaves on request; a process of its own: ``python fault_server.py`` prints its
port. With a file of a certificate and its key it speaks HTTPS: ``python fault_server.py SERVER.pem``.

``GET /<fault>/<argument>/<file name>``; the content of a file follows from its name,
``<label>-<bytes>.<suffix>``. ``GET /log/<file name>`` gives what was asked for that name so far, as JSON.
"""

from __future__ import annotations

import functools
import gzip
import json
import random
import re
import ssl
import sys
import threading
import time
from collections import defaultdict
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

PIECE = 1 << 16


@functools.lru_cache(8)
def content(name: str) -> bytes:
    """The right content of a file of this name."""
    size = int(re.search(r"-(\d+)\.", name)[1])
    body = random.Random(name).randbytes(size)
    if name.endswith((".fits", ".fit")):
        body = (b"SIMPLE  =                    T".ljust(80) + body)[:size]
    if name.endswith(".gz"):
        body = gzip.compress(body, mtime=0)
    return body


def other_content(name: str) -> bytes:
    """Another content of the same size."""
    return content(name)[:80] + content(f"other-{name}")[80:]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: dict[str, list[dict[str, object]]] = defaultdict(list)
    lock = threading.Lock()

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        _, fault, argument, *rest = unquote(urlsplit(self.path).path).split("/")
        self.name = "/".join(rest) or argument
        if fault == "log":
            return self.answer(json.dumps(self.log[argument]).encode())
        entry: dict[str, object] = {"path": self.path, "sent": 0, "time": time.time(), "client": self.client_address}
        entry |= {
            key: self.headers.get(key)
            for key in ("Range", "If-Range", "Authorization", "Cookie", "Host", "Accept-Encoding")
        }
        with self.lock:
            self.times = len(self.log[self.name])
            self.log[self.name].append(entry)
        self.entry = entry
        try:
            return getattr(self, f"do_{fault}")(argument)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    # What is right

    def do_ok(self, _: str) -> None:
        self.file(content(self.name))

    def do_slow(self, bytes_per_second: str) -> None:
        self.file(content(self.name), rate=float(bytes_per_second))

    def do_later(self, seconds: str) -> None:
        time.sleep(float(seconds))
        self.file(content(self.name))

    def do_norange(self, _: str) -> None:
        self.file(content(self.name), ranges=False)

    def do_access(self, wanted: str) -> None:
        """Only with this Authorization or this cookie."""
        if wanted in (self.headers.get("Authorization") or "", self.headers.get("Cookie") or ""):
            self.file(content(self.name))
        else:
            self.answer(b'{"error": "no access"}', 401)

    def do_redirect(self, target: str) -> None:
        """To another host's name and port, ``host:port``."""
        self.answer(b"", 302, Location=f"http://{target}/ok/-/{self.name}")

    def do_moved(self, where: str) -> None:
        """To a relative address, to itself for ever, or to what is no HTTP."""
        here = {"near": f"../../ok/-/{self.name}", "round": self.path, "ftp": f"ftp://127.0.0.1/{self.name}"}
        self.answer(b"", 301, Location=here[where])

    # What is not

    def do_cut(self, limit: str) -> None:
        """Each answer breaks off after so many bytes."""
        self.file(content(self.name), limit=int(limit))

    def do_cutonce(self, limit: str) -> None:
        self.file(content(self.name), limit=None if self.times else int(limit))

    def do_cutnorange(self, limit: str) -> None:
        self.file(content(self.name), limit=int(limit), ranges=False)

    def do_cutnolength(self, limit: str) -> None:
        """Without a length, so that the cut looks like an end."""
        self.raw(content(self.name), int(limit))

    def do_nolength(self, _: str) -> None:
        self.raw(content(self.name), None)

    def do_chunked(self, limit: str) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        body = content(self.name)
        for start in range(0, len(body), PIECE):
            if limit != "-" and start >= int(limit) and not self.times:
                return self.hang_up()
            piece = body[start : start + PIECE]
            self.wfile.write(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
        self.wfile.write(b"0\r\n\r\n")
        return None

    def do_short(self, missing: str) -> None:
        """Says, and sends, too little."""
        body = content(self.name)
        self.answer(body[: len(body) - int(missing)])

    def do_long(self, _: str) -> None:
        """Says too much, then closes."""
        body = content(self.name)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body) + 1000))
        self.end_headers()
        self.wfile.write(body)
        self.close_connection = True

    def do_endless(self, _: str) -> None:
        self.send_response(200)
        self.end_headers()
        body = content(self.name)
        while True:
            self.wfile.write(body)
            self.entry["sent"] += len(body)

    def do_changed(self, limit: str) -> None:
        """Another file first, cut; then the right one."""
        if self.times == 0:
            self.file(other_content(self.name), limit=int(limit), etag='"before"')
        else:
            self.file(content(self.name), etag='"after"')

    def do_changedsilently(self, limit: str) -> None:
        """The same with an ETag that does not change."""
        self.file(
            content(self.name) if self.times else other_content(self.name),
            limit=None if self.times else int(limit),
        )

    def do_wrongrange(self, limit: str) -> None:
        """Cut; then an answer 206 that begins elsewhere."""
        if self.times == 0:
            return self.file(content(self.name), limit=int(limit))
        if self.headers.get("Range"):
            body = content(self.name)
            return self.answer(body[5:], 206, **{"Content-Range": f"bytes 5-{len(body) - 1}/{len(body)}"})
        return self.file(content(self.name))

    def do_other(self, _: str) -> None:
        self.file(other_content(self.name))

    def do_page(self, kind: str) -> None:
        """An error as status 200."""
        if kind == "html":
            page = b"<!DOCTYPE html><html><head><title>Login</title></head><body>Please log in.</body></html>"
            self.answer(page, **{"Content-Type": "text/html"})
        elif kind == "echo":
            self.answer(f'{{"error": "bad token", "got": "{self.headers.get("Authorization")}"}}'.encode())
        else:
            self.answer(
                b'{\n  "status": "error",\n  "msg": "file not found"\n}',
                **{"Content-Type": "application/json"},
            )

    def do_stall(self, limit: str) -> None:
        """Never send more than so many bytes of the file, and never end."""
        self.file(content(self.name), end=int(limit), stall=True)

    def do_end(self, limit: str) -> None:
        """Never send more than so many bytes of the file, and break off."""
        self.file(content(self.name), end=int(limit))

    def do_stallonce(self, limit: str) -> None:
        self.file(content(self.name), limit=None if self.times else int(limit), stall=True)

    def do_drip(self, what: str) -> None:
        """Byte by byte, without end: the headers, the file, or the page of an error or of a redirect."""
        status = {"page": "404 Not Found", "redirect": "302 Found", "bodyonce": "200 OK", "body": "200 OK"}
        head = f"HTTP/1.1 {status.get(what, '200 OK')}\r\nContent-Length: {len(content(self.name))}\r\n"
        if what == "redirect":
            head += f"Location: ../../ok/-/{self.name}\r\n"
        if what == "bodyonce" and self.times:
            return self.file(content(self.name))
        slowly = head + "X-Padding: " + "x" * 100_000 if what == "head" else ""
        if not slowly:
            self.wfile.write(f"{head}\r\n".encode())
        for byte in slowly.encode() or content(self.name):
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(0.05)
        return None

    def do_busy(self, argument: str) -> None:
        """``<status>-<times>-<Retry-After>``."""
        status, times, after = argument.split("-")
        if self.times < int(times):
            self.answer(b"busy", int(status), **({"Retry-After": after} if after else {}))
        else:
            self.file(content(self.name))

    def do_status(self, status: str) -> None:
        self.answer(b"<html><body>That is <b>not</b> possible.</body></html>", int(status))

    def do_gzip(self, how: str) -> None:
        """A .gz file that is said to be encoded, or an encoding that nobody asked for."""
        body = content(self.name)
        self.answer(body if how == "file" else gzip.compress(body), **{"Content-Encoding": "gzip"})

    # How

    def file(
        self,
        body: bytes,
        *,
        limit: int | None = None,
        end: int | None = None,
        ranges: bool = True,
        etag: str | None = None,
        rate: float | None = None,
        stall: bool = False,
    ) -> None:
        etag = etag or f'"{len(body)}"'
        start = 0
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range") or "")
        if ranges and asked and self.headers.get("If-Range") in (None, etag):
            start = int(asked[1])
            if start >= len(body):
                return self.answer(b"", 416)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body) - start))
        if ranges:
            self.send_header("ETag", etag)
            self.send_header("Last-Modified", formatdate(0, usegmt=True))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Type", "text/html")  # as the archive does
        self.end_headers()
        if end is None:
            end = len(body) if limit is None else min(len(body), start + limit)
        for position in range(start, end, PIECE):
            piece = body[position : min(end, position + PIECE)]
            self.wfile.write(piece)
            self.entry["sent"] += len(piece)
            if rate:
                time.sleep(len(piece) / rate)
        if end < len(body):
            if stall:
                time.sleep(600)
            self.hang_up()
        return None

    def raw(self, body: bytes, limit: int | None) -> None:
        self.send_response(200)
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: None if self.times else limit])

    def answer(self, body: bytes, status: int = 200, **headers: str) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def hang_up(self) -> None:
        """Close the connection before all announced bytes are sent."""
        self.wfile.flush()
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, *_: object) -> None:
        pass


def main() -> None:
    server = Server(("127.0.0.1", 0), Handler)
    if len(sys.argv) > 1:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(sys.argv[1])
        server.socket = context.wrap_socket(server.socket, server_side=True)
    print(server.server_address[1], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
