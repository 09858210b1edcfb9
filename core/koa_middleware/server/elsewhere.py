"""Where else a client gets a file that this server does not have: from an object store, or a plain file server."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..fetch.addresses import Address
from ..fetch.signing import signed
from ..instrument.orm import ORMCalibration
from .served import Served

#: Seconds for which a signed address may be used to begin a download.
LIFETIME_S = 300


def address_elsewhere(served: Served, record: ORMCalibration) -> str | None:
    """Give the address to which a client is sent for a record's file; None where there is none for it.

    Of an object store it is a signed one. Of an HTTPS server it is the file's own, where the server's settings have no
    credentials for it; to a folder, or over plain HTTP, nobody is sent.

    Raises
    ------
    RemoteError
        When an address cannot be signed.
    DownloadError
        When the record lacks what its address needs.
    """
    settings = served.store.settings
    if settings.calibration_url is None:
        return None
    address = Address(settings.calibration_url)
    if address.scheme in {"file", "http"}:
        return None
    url = address.fill({**record.to_dict(), "instrument": served.plugin.name})
    if address.scheme != "https":
        return signed(url, LIFETIME_S)
    has_secrets = address.login or settings.access_token or settings.cookie_file or urlsplit(address.template).query
    return None if has_secrets else url
