"""Where a record's file is served: the calibration URL, filled with a record's values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from string import Formatter
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from ..disk.reading import path_of_url
from ..exceptions import ConfigurationError, DownloadError

HIDDEN = "***"
_SETTING = {"setting": "calibration_url", "variable": "KOA_CALIBRATION_URL"}
_ESCAPED = "In a user or password write @ as %40, / as %2F, # as %23, ? as %3F"
_SHORTEST_SECRET = 4  #: shorter ones stand by chance in any text
_LEFT_AS_THEY_ARE = "!#$%&'()*+,/:;=?@[]~"  #: what requests leaves of a URL
_QUOTED_SCHEMES = {"http", "https", "file"}


class Address:
    """A base URL, or a template such as ``https://host/get?file={koa_filepath}``.

    A file's name is appended to a base.

    Parameters
    ----------
    url : str
        A user and a password in it (``https://user:password@host/``) are taken out.

    Attributes
    ----------
    template : str
        With at least one ``{column}``; may hold secrets in its query.
    scheme : str
        Lower case.
    login : tuple of str or None
        User and password.

    Raises
    ------
    ConfigurationError
        Where this is no URL, or has a placeholder in the host or one that is more than a name.
    """

    def __init__(self, url: str) -> None:
        try:
            fields = [name for name in _fields(url) if name is not None]
            scheme, netloc, path, query, fragment = urlsplit(url)
            _ = urlsplit(url).port  # or an error
        except ValueError:  # whose text may hold a part of the password
            raise _unusable(f"cannot be read as a URL. {_ESCAPED}") from None
        if not scheme or (not netloc and scheme != "file"):
            raise _unusable("is not a URL")
        if scheme != "file" and (fragment or _may_be_a_password(scheme, netloc, path + query)):
            raise _unusable(f"has an @ or a # after its host. {_ESCAPED}")
        if "{" in netloc or not all(name.isidentifier() for name in fields):
            raise _unusable("has a placeholder that is not a column's name, or not in the path or the query")
        login, _, host = netloc.rpartition("@")
        user, _, password = login.partition(":")
        self.login = (unquote(user), unquote(password)) if login else None
        self.scheme = scheme.lower()
        if self.scheme == "file":  # has neither a query nor a fragment: these are letters of names
            path, query = url.partition(":")[2].removeprefix("//").removeprefix(netloc), ""
        if not fields:
            path = path.replace("{", "{{").replace("}", "}}").rstrip("/") + "/{filename}"
        self.template = urlunsplit((self.scheme, host, path, query, ""))
        if self.scheme == "file" and host not in {"", "localhost"}:
            raise _unusable("names another host, which a file URL cannot reach")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({shown(self.template)!r})"

    @property
    def folder(self) -> Path | None:
        """Folder of a file address, in which all its files are; None where it is no file address."""
        if self.scheme != "file":
            return None
        return path_of_url(self.template.partition("{")[0].rpartition("/")[0] + "/")

    def secrets(self) -> set[str]:
        """Return what must not be shown: the password, and the fixed values of the query.

        What stands in the host or the path too is left out: its place would tell what it is.
        """
        seen, query = shown(self.template), urlsplit(self.template).query
        values = [value for _, value in parse_qsl(query)] + [each.partition("=")[2] for each in query.split("&")]
        fixed = {value for value in values if "{" not in value}
        secrets = fixed | ({self.login[1]} if self.login else set())
        return {secret for secret in secrets if len(secret) >= _SHORTEST_SECRET and secret not in seen}

    def fill(self, values: Mapping[str, object]) -> str:
        """Address of the file of a record with these values.

        Raises
        ------
        ConfigurationError
            Where the address needs what is no column; it may be a part of a secret, so it is not named.
        DownloadError
            Where a value that the address needs is missing, or leads out of its folder.
        """
        parts = []
        for literal, name, _, _ in Formatter().parse(self.template):
            parts.append(literal)
            if name is not None:
                parts.append(self._quoted(name, values))
        return "".join(parts)

    def _quoted(self, name: str, values: Mapping[str, object]) -> str:
        if name not in values:
            raise _unusable("has a placeholder that is not a column's name")
        value = values[name]
        text = "" if value is None else str(value)
        filename = values.get("filename")
        if not text.strip():
            raise DownloadError(
                f"The address of {filename} needs its {name}, which its record does not have.",
                "Run koa-cal sync, or use a calibration URL that needs other columns.",
                url=shown(self.template),
            )
        if ".." in text.split("/"):
            raise DownloadError(
                f"The address of {filename} cannot be made: its {name}, {text!r}, leads to another folder.",
                "Ask the archive to correct the record.",
                url=shown(self.template),
            )
        return quote(text, safe="/") if self.scheme in _QUOTED_SCHEMES else text


def hide_secrets(text: str, known: Iterable[str] = ()) -> str:
    """Take out what may be secret: logins and queries of URLs, credentials of headers, known secrets."""
    for secret in sorted(known, key=len, reverse=True):  # first, since one may hold what ends a query below
        if secret:
            for form in (secret, quote(secret, safe=""), quote(secret, safe=_LEFT_AS_THEY_ARE)):
                text = text.replace(form, HIDDEN)
    text = re.sub(r"(?<=://)[^/\s@?#]*@", f"{HIDDEN}@", text)
    text = re.sub(r"\?[^\s'\"<>)]+", f"?{HIDDEN}", text)
    return re.sub(r"(?i)\b(bearer|basic)\s+[\w.~+/=-]+", rf"\1 {HIDDEN}", text)


def shown(url: str) -> str:
    """Give a whole URL as messages show it: without its login and its query, whatever stands in them."""
    before, mark, _ = url.partition("?")
    return hide_secrets(before) + (f"?{HIDDEN}" if mark else "")


def _fields(url: str) -> list[str | None]:
    fields = []
    for _, name, form, conversion in Formatter().parse(url):
        if form or conversion:
            raise ValueError(f"{{{name}}} has a format")
        fields.append(name)
    return fields


def _may_be_a_password(scheme: str, netloc: str, rest: str) -> bool:
    """Whether what follows the host may be the end of a login that holds a ``/``, ``?`` or ``#``."""
    return "@" in rest and (scheme in {"http", "https"} or ":" in netloc)


def _unusable(why: str) -> ConfigurationError:
    """Give the error; the URL is not repeated, since a password may stand in it wherever it is cut."""
    return ConfigurationError(
        f"The calibration URL {why.rstrip('.')}.",
        "Give a base such as https://host/folder or file:///folder, or a template such as"
        " https://host/folder/{filename}.",
        **_SETTING,
    )
