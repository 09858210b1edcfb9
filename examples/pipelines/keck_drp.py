"""Keck's data reduction framework, with darks from a calibration store.

    python3 keck_drp.py hispec reduced night/*.fits
    python3 keck_drp.py hispec reduced night/*.fits --workers 2 --lock night.lock

Each frame gets its dark subtracted, by this process or by workers that share a queue. The exit code is 1 where a frame
has no product. `KOA_CALIBRATION_CACHE` names the folder of the calibrations.
"""

import argparse
import sys
from multiprocessing import Process
from pathlib import Path

from astropy.io import fits
from keckdrpframework.config.framework_config import ConfigClass
from keckdrpframework.core import queues
from keckdrpframework.core.framework import Framework
from keckdrpframework.models.arguments import Arguments
from keckdrpframework.models.event import Event
from keckdrpframework.pipelines.base_pipeline import BasePipeline
from keckdrpframework.primitives.base_primitive import BasePrimitive
from koa_middleware import open_store


class SubtractDark(BasePrimitive):
    """Subtract the dark that fits a frame, and say in the product which one it was."""

    def _perform(self) -> Arguments:
        args = self.action.args
        with open_store(args.instrument, lock=args.lock) as store:
            used = store.get_calibrations(args.name, ["dark"])
            provenance = store.provenance(used)
        with fits.open(args.name) as frame, fits.open(used["dark"].path) as dark:
            frame[0].data = frame[0].data - dark[0].data
            provenance.put_into(frame[0].header)
            frame.writeto(args.product, overwrite=True)
        return args


class DarkPipeline(BasePipeline):
    """One step for each frame."""

    event_table = {"next_file": ("SubtractDark", None, None)}


def config(**changes: object) -> ConfigClass:
    """Give the framework's settings."""
    made = ConfigClass()
    logs = str(Path(__file__).with_name("logger.cfg"))
    made.properties |= {"logger_config_file": logs, "print_trace": False, **changes}
    return made


def work(port: int) -> None:
    """Take frames from the queue until it is empty."""
    Framework(DarkPipeline, config(want_multiprocessing=True, queue_manager_portnr=port)).main_loop()


def run_alone(events: list[Event]) -> None:
    """Reduce the frames in this process."""
    framework = Framework(DarkPipeline, config())
    for event in events:
        framework.event_queue.put(event)
    framework.main_loop()


def run_with_workers(events: list[Event], workers: int, port: int) -> None:
    """Reduce the frames by processes that share a queue, which is this process's to end."""
    where = ("localhost", port, config().queue_manager_auth_code)
    manager = queues.start_queue_manager(*where, None)
    queue = queues.get_event_queue(*where)
    for event in events:
        queue.put(event)
    processes = [Process(target=work, args=[port]) for _ in range(workers)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    manager.terminate()
    manager.join()


def main() -> int:
    """Reduce the frames that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("instrument")
    parser.add_argument("output", type=Path)
    parser.add_argument("frames", type=Path, nargs="+")
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--port", type=int, default=50101)
    parser.add_argument("--lock")
    given = parser.parse_args()
    given.output.mkdir(parents=True, exist_ok=True)
    products = {frame: given.output / f"{frame.stem}_dark.fits" for frame in given.frames}
    common = {"instrument": given.instrument, "lock": given.lock}
    events = [
        Event("next_file", Arguments(name=str(frame), product=str(product), **common))
        for frame, product in products.items()
    ]
    if given.workers:
        run_with_workers(events, given.workers, given.port)
    else:
        run_alone(events)
    lost = [str(frame) for frame, product in products.items() if not product.exists()]
    for frame in lost:
        print(f"{frame} has no product", file=sys.stderr)  # noqa: T201
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
