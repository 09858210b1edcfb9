"""The files of records, brought to an archive's server."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...database.chunks import in_chunks
from ...disk.checksums import Checksum, digest_of
from ...disk.writing import cache_errors
from ...exceptions import IntegrityError
from ...fetch.progress import counted
from ..protocol import Values
from .asking import Refused

if TYPE_CHECKING:
    from .asking import Asking


class HttpFiles:
    """A `koa_middleware.remote.protocol.Files` at a server.

    Parameters
    ----------
    asking : Asking

    Attributes
    ----------
    brought : dict
        Digits of the sha256 of what was brought since this was emptied, by the record's id.
    """

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self.brought: dict[str, str] = {}

    def bring(self, files: Sequence[tuple[Path, Values]]) -> None:
        """Bring files whose records will be published, where the server does not have them yet."""
        by_digits = {_digits(path, row): (path, row) for path, row in files}
        coming = [{"digits": digits, "size": path.stat().st_size} for digits, (path, _) in by_digits.items()]
        if coming:
            missing = list(self._post("uploads", {"files": coming})["missing"])
            for digits in counted(missing, len(missing), "file"):
                self._put(digits, *by_digits[digits])
        self.brought |= {row["id"]: _digits(path, row) for path, row in files}

    def place(self, files: Sequence[tuple[Path, Values]]) -> set[str]:
        """Let records that are published have their files; gives the ids of those that have them in the end."""
        here: set[str] = set()
        for some in in_chunks(files):
            digits = {row["id"]: _digits(path, row) for path, row in some}
            here |= self._placed(digits)
            lacking = [(path, row) for path, row in some if row["id"] not in here]
            if lacking:
                self.bring(lacking)
                here |= self._placed({row["id"]: digits[row["id"]] for _, row in lacking})
        return here

    def _placed(self, digits: dict[str, str]) -> set[str]:
        return set(map(str, self._post("placements", {"files": digits})["here"]))

    def _put(self, digits: str, path: Path, row: Values) -> None:
        _check(path, digits, row)
        with cache_errors(path, "read"), path.open("rb") as stream:
            headers = {"Content-Type": "application/octet-stream", "Content-Length": str(path.stat().st_size)}
            try:
                self._asking.send("PUT", f"uploads/{digits}", body=stream, headers=headers)
            except Refused as refused:
                raise self._asking.unexpected(refused) from None

    def _post(self, path: str, body: Any) -> dict[str, Any]:
        try:
            found = self._asking.post(path, body).body
        except Refused as refused:
            raise self._asking.unexpected(refused) from None
        with self._asking.understanding():
            return dict(found)


def _digits(path: Path, row: Values) -> str:
    """Give the digits of a file's sha256, as its record says where it says one."""
    with suppress(ValueError):
        recorded = Checksum.parse(row["checksum"] or "")
        if recorded.kind == "sha256":
            return recorded.digits
    with cache_errors(path, "read"):
        return Checksum.parse(digest_of(path)).digits


def _check(path: Path, digits: str, row: Values) -> None:
    """Check that a file is what its record says, before it goes over the network."""
    expected = row["checksum"] or f"sha256:{digits}"
    with cache_errors(path, "read"):
        found = digest_of(path, Checksum.parse(expected).kind)
    if found != str(Checksum.parse(expected)):
        raise IntegrityError(
            f"{path} has the checksum {found}; its record says {expected}.",
            "Nothing was published; register the right file.",
            path=path,
        )
