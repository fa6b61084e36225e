"""Bodies of requests, read within bounds: of what comes over the wire, and of what it inflates to."""

import zlib

from aiohttp import ClientPayloadError, web
from aiohttp.http_exceptions import HttpProcessingError


class TooLong(Exception):
    """A body is longer than it may be."""


class NotWhole(Exception):
    """A body ended before its end, or its framing is broken."""


class NotGzip(Exception):
    """A body is not what its Content-Encoding says."""


async def read_bounded(request: web.BaseRequest, at_most: int) -> bytes:
    """The body as it came, at most so many bytes. Raises TooLong, before more than that is kept, NotWhole."""
    if (request.content_length or 0) > at_most:
        raise TooLong
    body = bytearray()
    try:
        async for chunk in request.content.iter_any():
            body += chunk
            if len(body) > at_most:
                raise TooLong
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError, ClientPayloadError) as error:
        raise NotWhole from error
    return bytes(body)


def inflate(data: bytes, at_most: int) -> bytes:
    """What a gzip file of one member holds (RFC 1952), at most so many bytes. Raises TooLong, NotGzip."""
    inflater = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = inflater.decompress(data, at_most + 1)
    except zlib.error as error:
        raise NotGzip from error
    if len(text) > at_most:
        raise TooLong
    if not inflater.eof or inflater.unused_data:
        raise NotGzip
    return text
