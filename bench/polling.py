"""Clients that ask a server for news each second: ``polling.py URL CLIENTS SECONDS`` prints what came, as JSON."""

from __future__ import annotations

import asyncio
import json
import random
import resource
import sys
from time import perf_counter
from urllib.parse import urlsplit


async def main(url: str, clients: int, seconds: float) -> None:
    """Poll over one connection for each client, all at moments of their own."""
    durations: list[float] = []
    failures: list[str] = []
    end = perf_counter() + seconds
    await asyncio.gather(*(poll(url, end, durations, failures) for _ in range(clients)))
    durations.sort()
    found = {"polls": len(durations), "failures": len(failures), "first_failures": failures[:3]}
    print(json.dumps({**found, "median_s": durations[len(durations) // 2], "worst_s": durations[-1]}))


async def poll(url: str, end: float, durations: list[float], failures: list[str]) -> None:
    """Ask with the ETag of the last answer until the end."""
    await asyncio.sleep(random.random())
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    etag = ""
    while perf_counter() < end:
        start = perf_counter()
        try:
            known = f"If-None-Match: {etag}\r\n" if etag else ""
            writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{known}\r\n".encode())
            status, headers = await answer(reader)
        except (OSError, asyncio.IncompleteReadError) as error:
            failures.append(repr(error))
            return
        if status not in (200, 304):
            failures.append(str(status))
        etag = headers.get("etag", etag)
        durations.append(perf_counter() - start)
        await asyncio.sleep(max(0.0, 1 - (perf_counter() - start)))
    writer.close()


async def answer(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read an answer whole."""
    status, headers = await answer_head(reader)
    await reader.readexactly(int(headers.get("content-length", 0)) if status != 304 else 0)
    return status, headers


async def answer_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    """Read an answer's status and headers."""
    first, *rest = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in rest)}
    return int(first.split()[1]), headers


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
