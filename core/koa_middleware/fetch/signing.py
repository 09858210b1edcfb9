"""Addresses by which others may fetch a file of an object store for a while, without an account there."""

from __future__ import annotations

import importlib

from ..exceptions import RemoteError
from .addresses import shown


def signed(url: str, lifetime_s: int) -> str | None:
    """Give a signed address of an object; None where its kind of store has none. The object need not be there.

    Parameters
    ----------
    url : str
        Such as ``s3://bucket/folder/file.fits``, of a kind that fsspec knows.
    lifetime_s : int
        How long it may be used, in seconds.

    Raises
    ------
    RemoteError
        When the package for that kind of store is not installed, or it has no credentials.
    """
    try:
        store, path = importlib.import_module("fsspec.core").url_to_fs(url)
        return str(store.sign(path, expiration=lifetime_s))
    except NotImplementedError:
        return None
    except Exception as error:  # whatever each kind of store raises
        said = f"No signed address of {shown(url)} can be made: {type(error).__name__}."
        hint = (
            "Whoever runs the server gives it the package of that store, such as koa-middleware[s3], and credentials."
        )
        raise RemoteError(said, hint) from error
