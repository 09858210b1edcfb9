"""A folder and the programs in it, which end with this process, also when it is killed.

A small shell process runs the programs and waits on a pipe that this process holds open. When the pipe closes, the
shell stops what it serves and removes the folder.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO, Any, cast

#: The account that serves when this process is root, whom PostgreSQL refuses. It exists on every Unix.
_UNPRIVILEGED = "nobody"
#: Where it finds room when root's own folder for temporary files is closed to it.
_PUBLIC = ("/tmp", "/var/tmp")  # noqa: S108 - mkdtemp makes a folder of its own there

# The shell answers each line with one. Nothing secret stands in its arguments.
_KEEPER = """
trap '' INT TERM HUP
cd "$1" || exit 1
stop() { [ -n "$server" ] && kill -"$1" "$server" 2>/dev/null && wait "$server"; server=; }
while read -r word rest; do
    answer=$word
    case $word in
        run) eval "$rest" </dev/null >run.log 2>&1; answer=$? ;;
        serve) eval "exec $rest" </dev/null >>server.log 2>&1 & server=$! ;;
        serves) kill -0 "$server" 2>/dev/null; answer=$? ;;
        stop) stop "$rest" ;;
    esac
    echo "$answer"
done
stop INT
cd / && rm -rf "$1"
"""


class Keeper:
    """A temporary folder, in which programs run; all end with this process. As root, they run as ``nobody``.

    Attributes
    ----------
    folder : pathlib.Path
        The programs' working directory; ``server.log`` has what the served program wrote.
    """

    def __init__(self, prefix: str) -> None:
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        self.folder = Path(tempfile.mkdtemp(prefix=prefix, dir=self._parent()))
        self.hand_over(self.folder)
        # A session of its own: an interrupt from the keyboard reaches this process alone, which then closes the pipe.
        self._shell = subprocess.Popen(  # noqa: S603
            ["/bin/sh", "-c", _KEEPER, "koa-keeper", self.folder],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="/",
            text=True,
            start_new_session=True,
            **self._as_account(),
        )

    def hand_over(self, path: Path) -> None:
        """Give a path, and what is below it, to the account that serves."""
        if self._account is not None:
            for one in (path, *path.rglob("*")):
                os.chown(one, *self._account, follow_symlinks=False)

    def write(self, name: str, content: str) -> Path:
        """Write a file that only the account that serves can read."""
        path = self.folder / name
        path.touch(mode=0o600)
        path.write_text(content)
        self.hand_over(path)
        return path

    def reaches(self, *command: str | Path) -> bool:
        """Whether the account that serves can run a command."""
        try:
            return not subprocess.run(  # noqa: S603
                command, check=False, capture_output=True, cwd="/", **self._as_account()
            ).returncode
        except OSError:
            return False

    def run(self, *command: str | Path) -> str:
        """Run a command to its end; gives what it wrote.

        Raises
        ------
        subprocess.CalledProcessError
            With what it wrote, when it fails.
        """
        status = self._tell("run", *command)
        written = (self.folder / "run.log").read_text(errors="replace")
        if status != "0":
            raise subprocess.CalledProcessError(int(status or -1), list(map(str, command)), written)
        return written

    def serve(self, *command: str | Path) -> None:
        """Start a program that runs until it is stopped."""
        self._tell("serve", *command)

    def serves(self) -> bool:
        """Whether the program that was started still runs."""
        return self._tell("serves") == "0"

    def stop(self, signal: str) -> None:
        """Send a signal to the served program, ``"INT"`` for one, and wait for its end."""
        self._tell("stop", signal)

    def close(self) -> None:
        """Stop the served program and remove the folder."""
        cast(IO[str], self._shell.stdin).close()
        self._shell.wait()
        cast(IO[str], self._shell.stdout).close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _tell(self, word: str, *command: str | Path) -> str:
        stdin = cast(IO[str], self._shell.stdin)
        stdin.write(f"{word} {shlex.join(map(str, command))}\n")
        stdin.flush()
        return cast(IO[str], self._shell.stdout).readline().strip()

    def _parent(self) -> str | None:
        """Give a folder for temporary files that the account which serves can enter."""
        for folder in (tempfile.gettempdir(), *_PUBLIC):
            if self.reaches("/bin/sh", "-c", 'cd "$1"', "sh", folder):
                return folder
        return None

    def _as_account(self) -> dict[str, Any]:
        if self._account is None:
            return {}
        return {"user": self._account[0], "group": self._account[1], "extra_groups": []}


def _unprivileged_account() -> tuple[int, int]:
    import pwd  # is not everywhere

    account = pwd.getpwnam(_UNPRIVILEGED)
    return account.pw_uid, account.pw_gid
