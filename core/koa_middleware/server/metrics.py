"""What the server counts, in Prometheus' text form. No label holds a file's name, an id or an address."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from fastapi import APIRouter, Request, Response
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest

from ..remote.following import Follower
from .served import Served

#: Seconds: from an answer out of memory to a long download.
_SECONDS = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100)

router = APIRouter()


class _Registry(CollectorRegistry):
    """Leaves out when each counter began, which the text form would give as a measure of its own."""

    def collect(self) -> Iterator[Metric]:
        """Give what is measured."""
        for metric in super().collect():
            metric.samples = [sample for sample in metric.samples if not sample.name.endswith("_created")]
            yield metric


class Metrics:
    """The counters of one application, at ``app.state.metrics``.

    Parameters
    ----------
    served : iterable of Served

    Attributes
    ----------
    requests : Counter
        By method, route and status.
    seconds : Histogram
        By route.
    sent : Counter
        Bytes of answers' bodies, by route.
    running : Gauge
    from_memory : Counter
        Questions for news that were answered without asking the database, by instrument.
    uploads : Counter
        Files taken in, by instrument.
    spoilt : Counter
        Requests for files that were not sent, since they are not what their records say, by instrument.
    """

    def __init__(self, served: Iterable[Served] = ()) -> None:
        own = self._registry = _Registry()
        self.requests = Counter("koa_requests", "Requests.", ("method", "route", "status"), registry=own)
        self.seconds = Histogram("koa_request_seconds", "Time of requests.", ("route",), registry=own, buckets=_SECONDS)
        self.sent = Counter("koa_sent_bytes", "Bytes of answers.", ("route",), registry=own)
        self.running = Gauge("koa_requests_running", "Requests that are being answered.", registry=own)
        self.from_memory = Counter(
            "koa_polls_from_memory", "Questions for news answered from memory.", ("instrument",), registry=own
        )
        self.uploads = Counter("koa_uploads", "Files taken in.", ("instrument",), registry=own)
        self.spoilt = Counter("koa_spoilt_files", "Spoilt files not sent.", ("instrument",), registry=own)
        pool = Gauge("koa_database_connections", "Kept connections in use.", ("instrument",), registry=own)
        followed = Gauge(
            "koa_followed_timestamp_seconds", "Last good look at the archive.", ("instrument",), registry=own
        )
        for each in served:
            name, follower = each.plugin.name, each.follower
            pool.labels(name).set_function(each.remote.connections_in_use)
            if follower is not None:
                followed.labels(name).set_function(partial(_looked_at, follower))

    def text(self) -> bytes:
        """Give all of it."""
        return generate_latest(self._registry)


def _looked_at(follower: Follower) -> float:
    return follower.looked_at or 0.0


def metrics_of(request: Request) -> Metrics:
    """Give the counters; a dependency of routes that count."""
    found: Metrics = request.app.state.metrics
    return found


@router.get("/metrics", response_class=Response, summary="Counters, for Prometheus", tags=["operations"])
def metrics(request: Request) -> Response:
    """Give all counters in Prometheus' text form."""
    return Response(metrics_of(request).text(), media_type=CONTENT_TYPE_PLAIN_0_0_4)
