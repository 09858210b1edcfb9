"""Choose the calibrations of many frames on a Dask cluster, all from one cache.

    python3 reprocess_archive.py hispec frames.txt
    python3 reprocess_archive.py hispec frames.txt tcp://scheduler:8786

`frames.txt` holds a path in each line. `KOA_CALIBRATION_CACHE` names the cache, which every worker must see under that
path. Without a scheduler's address the workers are processes of this machine. Needs ``pip install distributed``.
"""

# ruff: noqa: T201

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from distributed import Client
from koa_middleware import CalibrationStore, open_store

#: Frames of one task: enough that opening the worker's store does not count.
AT_ONCE = 2000


def choose(store: CalibrationStore[Any], frames: Sequence[Any]) -> list[dict[str, Any]]:
    """Choose for some frames, in a worker: the store that it gets is a copy with connections of its own."""
    with store:
        sets = store.select_sets(frames)
        return [one["calibrations"] for one in sets.to_dict()["frames"]]


def chosen_for(client: Client, store: CalibrationStore[Any], frames: Sequence[Any]) -> Iterator[dict[str, Any]]:
    """Give for each frame, in their order, what it gets of each type, as plain data; misses are among it."""
    tasks = [
        client.submit(choose, store, frames[first : first + AT_ONCE], pure=False)
        for first in range(0, len(frames), AT_ONCE)
    ]
    for task in tasks:
        yield from task.result()


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    paths = Path(sys.argv[2]).read_text().split("\n")
    frames = [path for path in paths if path]
    with Client(*sys.argv[3:]) as client, open_store(sys.argv[1]) as store:
        for frame, found in zip(frames, chosen_for(client, store, frames), strict=True):
            missing = [cal_type for cal_type, answer in found.items() if "error" in answer]
            lacks = f", no {', '.join(missing)}" if missing else ""
            print(f"{frame}: {len(found) - len(missing)} found{lacks}")
