"""One attempt to get a zone from one of its primaries: is there a newer one, and if so, what is in it.

First the SOA, over UDP and else over TCP; where it is newer, IXFR against the copy held, and where that
cannot be had, AXFR. There is one connection at a time, and bounds on octets, records and time. What is not
whole, not signed or not this zone is refused whole. Parsing goes on in a thread: a big zone stops nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.tsig

from steer.model.primary import Primary
from steer.model.records import Labels
from steer.sources.inbound import Inbound, IncrementFailed, TransferFailed, TransferLimits, explained
from steer.sources.zone_copy import ZoneCopy, serial_is_newer


@dataclass(frozen=True, slots=True)
class TransferTimes:
    """How long to wait for an answer over UDP, for a connection, for the next message, and for it all."""

    udp_s: float = 3.0
    connect_s: float = 10.0
    message_s: float = 20.0
    total_s: float = 600.0


@dataclass(frozen=True, slots=True)
class Transfer:
    """Asks one primary for one zone. `held`: the copy held here, if any."""

    apex: Labels
    primary: Primary
    held: ZoneCopy | None
    limits: TransferLimits = field(default_factory=TransferLimits)
    times: TransferTimes = field(default_factory=TransferTimes)

    async def run(self) -> ZoneCopy | None:
        """A copy that is newer than the one held; None where that one is current. Raises TransferFailed."""
        if self.primary.key is not None and not self.primary.key.secret:
            raise TransferFailed(f"cannot be asked: the key file {self.primary.key.path} is gone")
        try:
            async with asyncio.timeout(self.times.total_s):
                return await self._run()
        except TimeoutError as error:
            raise TransferFailed(f"took longer than {self.times.total_s:g} s") from error

    async def _run(self) -> ZoneCopy | None:
        try:
            serial = self._serial_of(await self._ask_over_udp())
        except (TransferFailed, dns.exception.DNSException, OSError, ValueError):
            serial = None  # what is wrong is said by the answer over TCP, which is harder to forge
        if serial is not None and not self._is_newer(serial):
            return None
        async with self._connected() as stream:
            if serial is None and not self._is_newer(self._serial_of(await self._ask_over_tcp(stream))):
                return None
            if self.held is None:
                return await self._fetch(stream, "AXFR")
            with suppress(IncrementFailed):
                return await self._fetch(stream, "IXFR")
        async with self._connected() as stream:
            return await self._fetch(stream, "AXFR")

    # --- the SOA ---

    async def _ask_over_udp(self) -> dns.message.Message:
        query = self._query("SOA")
        return await dns.asyncquery.udp(
            query,
            str(self.primary.address),
            timeout=self.times.udp_s,
            port=self.primary.port,
            ignore_unexpected=True,
            raise_on_truncation=True,
        )

    async def _ask_over_tcp(self, stream: "_Stream") -> dns.message.Message:
        query = self._query("SOA")
        await stream.send(query)
        wire = await stream.message()
        try:
            reply = dns.message.from_wire(wire, keyring=query.keyring, request_mac=query.mac)
        except (dns.exception.DNSException, ValueError) as error:
            raise TransferFailed(explained(error)) from error
        if not query.is_response(reply):
            raise TransferFailed("sends something that answers no question of ours")
        return reply

    def _serial_of(self, reply: dns.message.Message) -> int:
        """The serial number in the answer to a question for the SOA."""
        if self.primary.key is not None and not reply.had_tsig:
            raise TransferFailed("does not sign its answer")
        if reply.rcode():
            raise TransferFailed(f"answers {dns.rcode.to_text(reply.rcode())} to a question for the SOA")
        if not reply.flags & dns.flags.AA:
            raise TransferFailed("is not authoritative for the zone")
        found = reply.get_rrset(reply.answer, self._origin, dns.rdataclass.IN, dns.rdatatype.SOA)
        if found is None or len(found) != 1:
            raise TransferFailed("has no SOA for the zone")
        return int(found[0].serial)

    def _is_newer(self, serial: int) -> bool:
        """Whether there is something to fetch. Raises TransferFailed for a serial that went backwards."""
        if self.held is None or serial_is_newer(serial, self.held.serial):
            return True
        if serial != self.held.serial:
            wrong = (
                f"has serial number {serial}, which is older than {self.held.serial} of the copy held here"
            )
            raise TransferFailed(f"{wrong}; raise it at the primary (RFC 1982)")
        return False

    # --- the transfer ---

    async def _fetch(self, stream: "_Stream", kind: str) -> ZoneCopy | None:
        """The whole of one transfer on a connection."""
        query = self._query(kind)
        inbound = Inbound(query, self.held, self.limits)
        await stream.send(query)
        try:
            while not await asyncio.to_thread(inbound.take, await stream.message()):
                pass
        except _Ended as ended:
            if kind == "IXFR":
                raise IncrementFailed(str(ended)) from ended
            raise
        copy = inbound.copy
        if copy is not None and self.held is not None and not serial_is_newer(copy.serial, self.held.serial):
            if copy.serial == self.held.serial:
                return None
            raise TransferFailed(f"sends serial number {copy.serial}, older than that of the copy held here")
        return copy

    def _query(self, kind: str) -> dns.message.QueryMessage:
        query = dns.message.make_query(self._origin, kind)
        query.flags = dns.flags.Flag(0)
        if kind == "IXFR":
            assert self.held is not None
            text = f". . {self.held.serial} 0 0 0 0"
            soa = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.SOA, text)
            query.find_rrset(
                query.authority, self._origin, dns.rdataclass.IN, dns.rdatatype.SOA, create=True
            ).add(soa, 0)
        key = self.primary.key
        if key is not None:
            query.use_tsig(dns.tsig.Key(f"{key.name}.", key.secret, f"{key.algorithm}."))
        return query

    @property
    def _origin(self) -> dns.name.Name:
        return dns.name.Name((*self.apex, b""))

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator["_Stream"]:
        """A connection to the primary, gone at the end."""
        try:
            async with asyncio.timeout(self.times.connect_s):
                reader, writer = await asyncio.open_connection(str(self.primary.address), self.primary.port)
        except TimeoutError as error:
            raise TransferFailed("cannot be reached: no connection within the time") from error
        except OSError as error:
            raise TransferFailed(f"cannot be reached: {error.strerror or error}") from error
        try:
            yield _Stream(reader, writer, self.times.message_s)
        finally:
            writer.transport.abort()


class _Ended(TransferFailed):
    """The connection ended, or nothing came for too long."""


@dataclass(slots=True)
class _Stream:
    """Messages over one TCP connection (RFC 1035 section 4.2.2)."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    message_s: float

    async def send(self, query: dns.message.Message) -> None:
        wire = query.to_wire()
        try:
            async with asyncio.timeout(self.message_s):
                self.writer.write(len(wire).to_bytes(2, "big") + wire)
                await self.writer.drain()
        except (TimeoutError, OSError) as error:
            raise _Ended("does not take the question") from error

    async def message(self) -> bytes:
        """The next message."""
        try:
            async with asyncio.timeout(self.message_s):
                size = int.from_bytes(await self.reader.readexactly(2), "big")
                return await self.reader.readexactly(size)
        except TimeoutError as error:
            raise _Ended(f"sent nothing for {self.message_s:g} s, before the end") from error
        except (asyncio.IncompleteReadError, OSError) as error:
            raise _Ended("ended the connection half-way") from error
