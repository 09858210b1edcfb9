"""Run the benchmarks and print their ratios: ``nox -s bench``, ``nox -s bench -- --quick``, ``nox -s bench -- select``.

A benchmark is a module ``bench_<name>.py`` beside this one with a function ``rows(quick: bool) -> Iterable[Row]``
(see `measuring.Row`); the first line of its docstring is the table's title. Each figure stands beside a plain
reference that was measured in the same run, in turns with it: only such ratios can be compared between machines.
"""

from __future__ import annotations

import argparse
import compileall
import importlib
import os
import sys
import sysconfig
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from measuring import Row

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Exit code 0: everything ran and is within its limit; with ``--quick``: everything ran."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(description="Print how long things take, as ratios to plain references.")
    parser.add_argument("--quick", action="store_true", help="only see that all run; the figures mean little")
    parser.add_argument("names", nargs="*", help=f"of {', '.join(names)}; all by default")
    options = parser.parse_args()
    if unknown := sorted(set(options.names) - set(names)):
        parser.error(f"there is no {', '.join(unknown)}; there are {', '.join(names)}")

    _as_users_have_it()
    over, failed = [], []
    for name in options.names or names:
        start = time.monotonic()
        try:
            module = importlib.import_module(f"bench_{name}")
            rows = list(module.rows(options.quick))
        except Exception:  # noqa: BLE001 - a broken one does not lose the figures of the others
            traceback.print_exc()
            failed.append(name)
            continue
        over += [row.what for row in rows if _is_over(row)]
        title = (module.__doc__ or name).splitlines()[0]
        print(_table(f"\n{title} [{name}, {time.monotonic() - start:.0f} s]\n", rows), flush=True)
    if failed:
        print(f"\nNot measured, for an error: {', '.join(failed)}.")
    if over:
        print(f"\nOver the limit: {', '.join(over)}.")
    return 1 if failed or (over and not options.quick) else 0


def _as_users_have_it() -> None:
    """Compile all byte code, and take out of the environment what would change the figures."""
    for variable in [name for name in os.environ if name.startswith("KOA_")]:
        del os.environ[variable]
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    for folder in (Path(sysconfig.get_path("purelib")), HERE.parent / "core", *HERE.parent.glob("plugins/*/src")):
        compileall.compile_dir(folder, quiet=2, workers=0)


def _is_over(row: Row) -> bool:
    return row.limit is not None and row.ratio > row.limit


def _table(title: str, rows: Sequence[Row]) -> str:
    from koa_middleware.display import render

    cells = [
        (
            row.what,
            _seconds(row.measured_s),
            row.reference,
            _seconds(row.reference_s),
            f"{row.ratio:6.2f}",
            "" if row.limit is None else f"{row.limit:5.2f}{' over' if _is_over(row) else ''}",
            row.note,
        )
        for row in rows
    ]
    return render(("what", "takes", "beside", "that takes", "ratio", "limit", "note"), cells, title=title)


def _seconds(seconds: float) -> str:
    for unit, scale in (("s ", 1.0), ("ms", 1e-3)):
        if seconds >= scale:
            return f"{seconds / scale:7.2f} {unit}"
    return f"{seconds * 1e6:7.1f} µs"


if __name__ == "__main__":
    sys.exit(main())
