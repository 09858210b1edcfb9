"""Which file names may stand in the cache folder."""

from __future__ import annotations

import re
import unicodedata

from ..exceptions import UnsafeFilenameError

#: Longest name in bytes on the file systems in use (ext4, XFS, APFS, NTFS: 255); the rest is for temporary suffixes.
LONGEST_NAME = 240

#: Unicode's general categories of characters that are not seen, or change how others are seen, such as U+202E.
_INVISIBLE = {"Cf", "Zl", "Zp"}
_RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")


def check_filename(name: str) -> str:
    """Return a name that is a plain file name everywhere.

    Raises
    ------
    UnsafeFilenameError
        When it could leave the folder or hide in it, is too long, holds what is not seen, or is a device of Windows.
    """
    reason = _fault(name)
    if reason:
        raise UnsafeFilenameError(
            f"{name!r} cannot be a file name in the cache: {reason}.",
            "Rename the file.",
            name=name,
            reason=reason,
        )
    return name


def folded(name: str) -> str:
    """Give what names have in common that some disk takes for one, however case, accents and ligatures are written."""
    if name.isascii():
        return name.lower()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _fault(name: str) -> str:
    if not name or not name.strip():
        return "it is empty"
    if "/" in name or "\\" in name:
        return "it contains a path separator"
    if name.startswith("."):
        return "it begins with a dot"
    if name[-1] in ". ":
        return "it ends with a dot or a blank"
    categories = {unicodedata.category(character): character for character in name}
    if "Cc" in categories:
        return "it contains a control character"
    if unseen := _INVISIBLE & categories.keys():
        return f"it contains an invisible character, U+{ord(categories[min(unseen)]):04X}"
    if _RESERVED.fullmatch(name):
        return "some systems reserve it"
    try:
        length = len(name.encode("utf-8"))
    except UnicodeEncodeError:
        return "it is not valid text"
    return f"it is longer than {LONGEST_NAME} bytes" if length > LONGEST_NAME else ""
