"""Servers for benchmarks: the archive's own, and plain ones to stand beside it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import requests
from measuring import koa_cal

NGINX = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
WRK = shutil.which("wrk")

#: A server that says that there is nothing new, and gives a file, and does nothing else.
_BARE = """
import os, sys, uvicorn
from starlette.responses import FileResponse, Response

async def app(scope, receive, send):
    if scope["type"] == "http":
        answer = FileResponse(sys.argv[2]) if scope["path"] == "/file" else Response(status_code=304)
        await answer(scope, receive, send)

uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
"""

_NGINX = """daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 8192; }}
http {{ access_log off; sendfile on; client_body_temp_path {folder}; proxy_temp_path {folder};
fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
server {{ listen 127.0.0.1:{port}; location = /file {{ alias {file}; }} location / {{ return 304; }} }} }}
"""


@contextmanager
def ours(url: str, cache: Path, instrument: str) -> Iterator[tuple[str, psutil.Process]]:
    """Serve an archive in a process of its own; gives its address and the process."""
    port = free_port()
    environment = {**os.environ, "KOA_REMOTE_DATABASE_URL": url, "KOA_CALIBRATION_CACHE": str(cache)}
    command = koa_cal("serve", "-i", instrument, "--port", str(port))
    with _running(command, port, environment) as process:
        yield f"http://127.0.0.1:{port}", psutil.Process(process.pid)


@contextmanager
def bare(file: Path) -> Iterator[str]:
    """Serve one file by uvicorn alone; gives the server's address."""
    port = free_port()
    with _running([sys.executable, "-c", _BARE, str(port), str(file)], port):
        yield f"http://127.0.0.1:{port}"


@contextmanager
def plain(file: Path, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve one file by nginx, or by uvicorn where there is none; gives the server's address and name."""
    if NGINX is None:
        with bare(file) as url:
            yield url, "bare uvicorn"
        return
    port = free_port()
    settings = folder / "nginx.conf"
    settings.write_text(_NGINX.format(folder=folder, port=port, file=file))
    with _running([NGINX, "-c", str(settings), "-e", str(folder / "log"), "-g", _user()], port):
        yield f"http://127.0.0.1:{port}", "nginx"


def free_port() -> int:
    """Give a loopback port that nothing uses."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        return int(free.getsockname()[1])


def _user() -> str:
    return "user root;" if os.geteuid() == 0 else ""


@contextmanager
def _running(command: list[str], port: int, environment: dict[str, str] | None = None) -> Iterator[subprocess.Popen]:
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + 60
        while True:
            try:
                requests.get(f"http://127.0.0.1:{port}/health", timeout=5)
                break
            except requests.ConnectionError:
                if process.poll() is not None or time.monotonic() > end:
                    raise
                time.sleep(0.05)
        yield process
    finally:
        process.terminate()
        process.wait()
