"""Clients that download one file again and again: ``downloading.py URL CLIENTS SECONDS`` prints what came, as JSON."""

from __future__ import annotations

import asyncio
import json
import sys
from time import perf_counter
from urllib.parse import urlsplit

from polling import answer_head

CHUNK = 1 << 18


async def main(url: str, clients: int, seconds: float) -> None:
    """Download over one connection for each client; what began before the end comes to its own end."""
    found = {"bytes": 0, "files": 0, "failures": 0}
    start = perf_counter()
    await asyncio.gather(*(download(url, start + seconds, found) for _ in range(clients)))
    print(json.dumps({**found, "seconds": perf_counter() - start}))


async def download(url: str, end: float, found: dict[str, int]) -> None:
    """Download until the end."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port, limit=CHUNK)
    while perf_counter() < end:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        try:
            status, headers = await answer_head(reader)
            missing = int(headers["content-length"])
            while missing:
                some = await reader.read(min(missing, CHUNK))
                if not some:
                    raise ConnectionError
                missing -= len(some)
                found["bytes"] += len(some)
        except (OSError, asyncio.IncompleteReadError):
            found["failures"] += 1
            return
        found["files"] += 1
        found["failures"] += status != 200
    writer.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
