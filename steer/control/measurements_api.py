"""`POST /v1/measurements`: batches of JSON lines from whoever holds the API's token.

Bounded in bytes, rows, time and rate; on the disk before they are acknowledged. A batch that is sent again,
since its answer got lost, counts once."""

import asyncio
import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from steer.control.bodies import NotGzip, NotWhole, TooLong, inflate, read_bounded
from steer.control.rates import TokenBucket

BODY_BYTES_MAX = 4 << 20
INFLATED_BYTES_MAX = 8 << 20
CONTENT_TYPES = ("application/jsonl", "application/x-ndjson", "application/x-jsonlines")
BATCHES_PER_SECOND, BATCHES_BURST = 10.0, 100.0
BYTES_PER_SECOND, BYTES_BURST = 2.0 * (1 << 20), 64.0 * (1 << 20)
DIGEST_DIGITS = 32


@dataclass(frozen=True, slots=True)
class Batch:
    """A batch as it came: `name`, the same for the same bytes, and the JSON lines."""

    name: str
    lines: bytes


@dataclass(slots=True)
class BatchRates:
    """How often batches may come, and how much. `steady_s`: a clock that never goes back."""

    steady_s: Callable[[], float]
    _batches: TokenBucket = field(default_factory=lambda: TokenBucket(BATCHES_PER_SECOND, BATCHES_BURST))
    _bytes: TokenBucket = field(default_factory=lambda: TokenBucket(BYTES_PER_SECOND, BYTES_BURST))

    def admit(self) -> float:
        """0.0 where one more batch may come; else so many seconds are to wait."""
        return self._batches.take(self.steady_s())

    def admit_bytes(self, count: int) -> float:
        """Likewise for the bytes of its lines."""
        return self._bytes.take(self.steady_s(), count)


async def read_batch(request: web.Request, rates: BatchRates) -> Batch:
    """The batch in a request, inflated. Raises the HTTP error that says why there is none."""
    if request.content_type not in CONTENT_TYPES:
        raise web.HTTPUnsupportedMediaType(text=f"send {CONTENT_TYPES[0]}: one JSON object a line")
    encoding = request.headers.get("Content-Encoding", "identity").lower()
    if encoding not in ("identity", "gzip"):
        raise web.HTTPUnsupportedMediaType(text="send it as it is, or with Content-Encoding: gzip")
    _wait(rates.admit())
    try:
        body = await read_bounded(request, BODY_BYTES_MAX)
        lines = body
        if encoding == "gzip":
            lines = await asyncio.to_thread(inflate, body, INFLATED_BYTES_MAX)
    except TooLong as error:
        raise _too_large() from error
    except NotWhole as error:
        raise web.HTTPBadRequest(text="the body ended before its end") from error
    except NotGzip as error:
        raise web.HTTPBadRequest(text="the body is no gzip file of one member") from error
    _wait(rates.admit_bytes(len(lines)))
    digest = (await asyncio.to_thread(hashlib.sha256, lines)).hexdigest()
    return Batch(f"api-{digest[:DIGEST_DIGITS]}", lines)


def too_busy(wait_s: int) -> web.HTTPServiceUnavailable:
    """The answer while the spool is full."""
    text = "the spool is full, or its disk fails; see the server's log, and send the batch again later"
    return web.HTTPServiceUnavailable(text=text, headers={"Retry-After": str(wait_s)})


def batch_answer(taken: int, left_out: dict[str, int], examples: list[Any], *, again: bool) -> dict[str, Any]:
    """What is told of a batch. `again`: it waits already, so its rows count once."""
    return {"taken": taken, "left_out": left_out, "examples": examples, "again": again}


def _wait(wait_s: float) -> None:
    if wait_s:
        text = "too many batches, or too much in them; send fewer rows a second"
        raise web.HTTPTooManyRequests(text=text, headers={"Retry-After": str(int(wait_s) + 1)})


def _too_large() -> web.HTTPRequestEntityTooLarge:
    text = f"send at most {BODY_BYTES_MAX:,} bytes, {INFLATED_BYTES_MAX:,} when inflated"
    return web.HTTPRequestEntityTooLarge(BODY_BYTES_MAX, BODY_BYTES_MAX + 1, text=text)
