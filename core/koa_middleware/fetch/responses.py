"""What a file server's answer means: whether it can be the file, and whether to ask again."""

from __future__ import annotations

import html
import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import parsedate_to_datetime

from ..disk.compression import is_compressed_name
from ..disk.fits import BEGINNING, is_fits_name

CHECK_URL = "Check KOA_CALIBRATION_URL."
HEAD = 2048
"""Bytes of an answer that are looked at to know an error page."""


#: Characters that are shown of what came in place of a file.
_SHOWN = 60


@dataclass(frozen=True)
class Setback:
    """Why a request did not bring all bytes.

    Attributes
    ----------
    reason, hint : str
        What was found, and what to do.
    status : int or None
        Of the HTTP answer.
    wait_s : float
        Seconds that the server asks to wait.
    permanent : bool
        Whether another attempt is of no use.
    unreachable : bool
        Whether there was no connection at all.
    slow : bool
        Whether the server was cut off because it sends too slowly.
    silent : bool
        Whether nothing came for as long as one waits.
    """

    reason: str
    hint: str = "Try again; the download continues where it stopped if the server supports that."
    status: int | None = None
    wait_s: float = 0.0
    permanent: bool = False
    unreachable: bool = False
    slow: bool = False
    silent: bool = False


def validator(headers: Mapping[str, str]) -> str | None:
    """Return what an ``If-Range`` may carry (RFC 9110, 13.1.5): a strong ETag, else a date."""
    etag = headers.get("ETag", "")
    return etag if etag.startswith('"') else headers.get("Last-Modified")


def continues(headers: Mapping[str, str], size: int, total: int | None, wanted: str | None) -> bool:
    """Whether an answer 206 goes on after `size` of the `total` bytes of the wanted content."""
    found = re.fullmatch(r"bytes (\d+)-\d+/(\d+|\*)", headers.get("Content-Range", "").strip())
    if found is None or int(found[1]) != size:
        return False
    if total is not None and found[2] not in {"*", str(total)}:
        return False
    return validator(headers) in {None, wanted}


def plausible(name: str, head: bytes, headers: Mapping[str, str]) -> bool:
    """Whether a file of this name can begin so; servers send error pages with status 200."""
    name, start = name.lower(), head[:HEAD].lstrip().lower()
    if is_fits_name(name) and not is_compressed_name(name):
        return head.startswith(BEGINNING)
    if start.startswith((b"<!doctype html", b"<html")):
        return name.endswith((".html", ".htm"))
    is_json = start.startswith(b"{") and "json" in headers.get("Content-Type", "")
    return not is_json or name.endswith("json")


def what_came(head: bytes, headers: Mapping[str, str]) -> str:
    """Say what came in place of the file."""
    if encoding := headers.get("Content-Encoding"):
        return f"the server sent it with the encoding {encoding}, which was not asked for"
    return f"the server sent something else, which begins with {words(head)[:_SHOWN]!r}"


def problem_in(body: bytes, headers: Mapping[str, str]) -> tuple[str, str]:
    """Return the sentence and the hint of an answer ``application/problem+json``; empty where it is none, or cut."""
    if headers.get("Content-Type", "").partition(";")[0].strip().lower() != "application/problem+json":
        return "", ""
    try:
        found = json.loads(body)
    except ValueError:
        return "", ""
    said = found if isinstance(found, dict) else {}
    sentence, hint = (words(str(said.get(name) or "").encode()) for name in ("detail", "hint"))
    return sentence, hint


def words(body: bytes) -> str:
    """Return the beginning of an error page, without its markup, as one short line."""
    text = re.sub(r"(?is)<(script|style)\b.*?</\1\s*>|<[^>]*>", " ", body[:HEAD].decode("utf-8", "replace"))
    text = "".join(character if character.isprintable() else " " for character in html.unescape(text))
    return " ".join(text.split())[:200]


def retry_after(headers: Mapping[str, str]) -> float:
    """Return the seconds that the server asks to wait; it names a number of seconds or a date."""
    value = headers.get("Retry-After", "").strip()
    if value.isdigit():
        return float(value)
    try:
        return max(0.0, parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return 0.0
