"""Whether an instrument has a database; a command that only reads makes none."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..exceptions import CacheError

if TYPE_CHECKING:
    from ..instrument.orm import ORMCalibration


def without_database(orm_class: type[ORMCalibration]) -> CacheError | None:
    """Say that an instrument has no database yet, and what makes one; None where the store is to be opened.

    It is, too, where there is a shared database, or files of the instrument, of which the store tells.
    """
    from ..cache.folder import Cache
    from ..cache.own_files import has_files_of
    from ..settings import resolve

    settings, name = resolve(orm_class.instrument_name), orm_class.instrument_name
    path, shared = settings.cache_dir / "database" / settings.local_database_filename, settings.shared_database
    try:
        path.lstat()
    except FileNotFoundError:
        if (shared is not None and shared.exists()) or has_files_of(orm_class, Cache(settings.cache_dir), path):
            return None
    except OSError:  # the store says what is wrong with the folder
        return None
    else:
        return None
    if settings.remote_database_url is not None:
        hint = "koa-cal sync brings what the archive has."
    else:
        hint = "koa-cal register FILE... or koa-cal bundle import FILE.tar makes one."
    return CacheError(f"There is no database of {name} in {settings.cache_dir} yet.", hint, path=path)
