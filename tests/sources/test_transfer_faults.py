"""A primary that does what it should not: nothing is taken from it, and the reason is told."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from ipaddress import ip_address
from random import Random
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import dns.tsig
import pytest

from steer.model.primary import Primary, TsigKey
from steer.model.records import TYPE_TXT
from steer.sources.inbound import TransferFailed, TransferLimits
from steer.sources.transfer import Transfer, TransferTimes
from steer.sources.zone_copy import ZoneCopy, serial_is_newer
from tests.sources.primaries import APEX, KEY, SECRET

KEYRING = dns.tsig.Key("steer-key.", SECRET, "hmac-sha256.")
QUICK = TransferTimes(udp_s=0.2, connect_s=5.0, message_s=0.5, total_s=20.0)
END = None  # in a script: the connection ends here
SILENCE = b""  # in a script: nothing more comes, but the connection stays

Script = Iterator[bytes | None]
Says = Callable[[dns.message.Message], Script]


def rr(text: str) -> dns.rrset.RRset:
    owner, ttl, rdclass, rtype, rdata = text.split(maxsplit=4)
    return dns.rrset.from_text(owner, int(ttl), rdclass, rtype, rdata)


def soa(serial: int, owner: str = "cdn.example.") -> dns.rrset.RRset:
    return rr(f"{owner} 300 IN SOA ns1.cdn.example. h.cdn.example. {serial} 7200 900 1209600 300")


NS = rr("cdn.example. 300 IN NS ns1.cdn.example.")
A = rr("ns1.cdn.example. 300 IN A 192.0.2.53")
TXT = rr("t.cdn.example. 300 IN TXT x")


class Answers:
    """Messages of one reply, signed one after another where the query was."""

    def __init__(self, query: dns.message.Message) -> None:
        self.query = query
        self.context: Any = None

    def __call__(self, *rrsets: dns.rrset.RRset, signed: bool = True, rcode: int = 0) -> bytes:
        reply = dns.message.make_response(self.query)
        reply.flags |= dns.flags.AA
        reply.answer = list(rrsets)
        reply.set_rcode(dns.rcode.Rcode(rcode))
        if not signed or not self.query.had_tsig:
            reply.tsig = None
            wire = reply.to_wire(max_size=65535)
            if self.context is not None:
                self.context.update(wire)
            return wire
        wire = reply.to_wire(max_size=65535, multi=True, tsig_ctx=self.context)
        self.context = reply.tsig_ctx
        return wire


class FakePrimary:
    """Answers on a port of its own as its scripts say. `tcp`: by type of the question; `udp`: for the SOA."""

    def __init__(self, *, serial: int = 2, udp: Says | None = None, **tcp: Says) -> None:
        def plain(query: dns.message.Message) -> Script:
            yield Answers(query)(soa(serial))

        self.udp, self.tcp = udp or plain, {"SOA": plain, **tcp}
        self.port, self.asked = 0, list[str]()
        self.connections = 0

    async def serve_stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                size = int.from_bytes(await reader.readexactly(2), "big")
                query = dns.message.from_wire(await reader.readexactly(size), keyring=KEYRING)
                kind = query.question[0].rdtype.name
                self.asked.append(kind)
                for wire in self.tcp[kind](query):
                    if wire is END:
                        return
                    if wire == SILENCE:
                        await asyncio.sleep(5)
                        return
                    writer.write(len(wire).to_bytes(2, "big") + wire)
                    await writer.drain()
                    await asyncio.sleep(0)  # or an endless script would not let anybody read
        except (asyncio.IncompleteReadError, asyncio.CancelledError, OSError):
            pass
        finally:
            writer.close()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["FakePrimary"]:
        fake = self

        class Datagrams(asyncio.DatagramProtocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                self.transport: Any = transport

            def datagram_received(self, data: bytes, peer: Any) -> None:
                query = dns.message.from_wire(data, keyring=KEYRING)
                fake.asked.append(f"udp {query.question[0].rdtype.name}")
                for wire in fake.udp(query):
                    self.transport.sendto(wire or b"", peer)

        loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self.serve_stream, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        transport, _ = await loop.create_datagram_endpoint(Datagrams, local_addr=("127.0.0.1", self.port))
        try:
            yield self
        finally:
            transport.close()
            server.close()
            for task in asyncio.all_tasks() - {asyncio.current_task()}:
                task.cancel()
            await asyncio.gather(*(asyncio.all_tasks() - {asyncio.current_task()}), return_exceptions=True)


def fetch(
    fake: FakePrimary,
    held: ZoneCopy | None = None,
    key: TsigKey | None = None,
    limits: TransferLimits | None = None,
) -> ZoneCopy | None:
    async def run() -> ZoneCopy | None:
        async with fake.running():
            primary = Primary(ip_address("127.0.0.1"), fake.port, key)
            return await Transfer(APEX, primary, held, limits or TransferLimits(), QUICK).run()

    return asyncio.run(run())


def refusal(
    fake: FakePrimary,
    held: ZoneCopy | None = None,
    key: TsigKey | None = None,
    limits: TransferLimits | None = None,
) -> str:
    with pytest.raises(TransferFailed) as failed:
        fetch(fake, held, key, limits)
    return str(failed.value)


def says(*messages: tuple[dns.rrset.RRset, ...] | bytes | None, signed: bool = True, rcode: int = 0) -> Says:
    """A script of messages, each of these records, all signed where the query is."""

    def script(query: dns.message.Message) -> Script:
        answers = Answers(query)
        for message in messages:
            yield answers(*message, signed=signed, rcode=rcode) if isinstance(message, tuple) else message

    return script


def a_copy(serial: int = 1) -> ZoneCopy:
    copy = fetch(FakePrimary(serial=serial, AXFR=says((soa(serial), NS, A, soa(serial)))))
    assert copy is not None
    return copy


WHOLE = says((soa(2), NS), (A, TXT), (soa(2),))


def test_it_takes_what_is_right() -> None:
    fake = FakePrimary(AXFR=WHOLE)
    copy = fetch(fake)
    assert copy is not None
    assert copy.serial == 2
    assert len(copy.rrsets) == 4
    assert fake.asked == ["udp SOA", "AXFR"]
    assert fetch(FakePrimary(AXFR=WHOLE), None, KEY) == copy


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (says((soa(2), NS, A), END), "ended the connection half-way"),
        (says((soa(2), NS, A), SILENCE), "sent nothing for 0.5 s, before the end"),
        (says(END), "ended the connection half-way"),
        (says(b"\0\0nonsense", END), "sends what is no DNS message"),
        (says((soa(2, "other.example."), NS, soa(2, "other.example."))), "sends another zone"),
        (says((NS, soa(2))), "sends a transfer that does not start with the zone's SOA"),
        (says((soa(2), NS, soa(3), A, soa(2))), "sends a transfer out of order (unexpected origin SOA"),
        (says((soa(2), NS, soa(2), A)), "sends a transfer out of order (answers after final SOA)"),
        (says((soa(2), NS), ()), "sends a message without records"),
        (says((), rcode=5), "refuses the transfer (REFUSED)"),
        (says((), rcode=9), "refuses the transfer (NOTAUTH)"),
        (says((soa(2), rr("a.cdn.example. 300 CH TXT x"), soa(2))), "records of another class than IN"),
        (says((soa(2), rr(r"cdn.example. 300 IN TYPE251 \# 0"), soa(2))), "record of type IXFR"),
    ],
)
def test_a_whole_transfer_that_is_refused(script: Says, said: str) -> None:
    assert said in refusal(FakePrimary(AXFR=script))


def test_a_message_that_is_cut_short() -> None:
    def script(query: dns.message.Message) -> Script:
        yield Answers(query)(soa(2), NS, soa(2))[:-5]

    assert "sends what is no DNS message" in refusal(FakePrimary(AXFR=script))


def test_an_answer_to_another_question() -> None:
    def script(query: dns.message.Message) -> Script:
        query.id ^= 1
        yield Answers(query)(soa(2), NS, soa(2))

    assert "answers no question of ours" in refusal(FakePrimary(AXFR=script))


def endless(query: dns.message.Message) -> Script:
    """A zone that never ends, its records all different."""
    answers, number = Answers(query), 0
    yield answers(soa(2), NS)
    while True:
        yield answers(*(rr(f"n{number + each}.cdn.example. 300 IN A 192.0.2.1") for each in range(50)))
        number += 50


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        (TransferLimits(message_bytes=20_000), "sends more than 20,000 octets"),
        (TransferLimits(records=1000), "has more than 1,000 records"),
        (TransferLimits(zone_bytes=30_000), "30,000 octets in the zone"),
        (TransferLimits(steps=500), "adds and removes more than 500 records"),
    ],
)
def test_an_endless_transfer_is_given_up(limits: TransferLimits, said: str) -> None:
    assert said in refusal(FakePrimary(AXFR=endless), limits=limits)


def test_names_outside_the_zone_are_passed_over() -> None:
    copy = fetch(FakePrimary(AXFR=says((soa(2), NS, rr("ns.other.example. 300 IN A 192.0.2.9"), A, soa(2)))))
    assert copy is not None
    assert len(copy.rrsets) == 3


# --- the SOA ---


@pytest.mark.parametrize(
    "nothing", [says(b"nonsense"), says((), rcode=2), says(), says((soa(2, "other.example."),))]
)
def test_what_is_wrong_over_udp_is_asked_again_over_tcp(nothing: Says) -> None:
    fake = FakePrimary(udp=nothing, AXFR=WHOLE)
    assert fetch(fake) is not None
    assert fake.asked == ["udp SOA", "SOA", "AXFR"]
    assert fake.connections == 1


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (says((), rcode=5), "answers REFUSED to a question for the SOA"),
        (says(()), "has no SOA for the zone"),
        (says((soa(2, "other.example."),)), "has no SOA for the zone"),
        (says(END), "ended the connection half-way"),
    ],
)
def test_an_answer_about_the_soa_that_will_not_do(answer: Says, said: str) -> None:
    assert said in refusal(FakePrimary(udp=says(), SOA=answer))


def test_a_primary_that_is_not_authoritative() -> None:
    def script(query: dns.message.Message) -> Script:
        reply = dns.message.make_response(query)
        reply.answer = [soa(2)]
        yield reply.to_wire()

    assert refusal(FakePrimary(udp=script, SOA=script)) == "is not authoritative for the zone"


@pytest.mark.parametrize(
    ("new", "old", "is_newer"),
    [
        (2, 1, True),
        (1, 1, False),
        (1, 2, False),
        (0, 2**32 - 1, True),
        (2**31, 0, False),
        (2**31 - 1, 0, True),
    ],
)
def test_serial_numbers_wrap(new: int, old: int, is_newer: bool) -> None:
    assert serial_is_newer(new, old) is is_newer


def test_an_older_serial_number_is_refused_wherever_it_comes() -> None:
    held = a_copy(5)
    assert "which is older than 5" in refusal(FakePrimary(serial=4), held)
    whole, refused = says((soa(4), NS, A, soa(4))), says((), rcode=4)
    assert "older than that of the copy" in refusal(FakePrimary(serial=6, IXFR=refused, AXFR=whole), held)
    assert "older serial number" in refusal(FakePrimary(serial=6, IXFR=whole), held)
    assert fetch(FakePrimary(serial=5), held) is None
    assert fetch(FakePrimary(serial=6, IXFR=says((soa(5),))), held) is None


# --- increments ---


def test_an_increment() -> None:
    more = (soa(3), soa(1), A, soa(2), TXT, soa(2), TXT, soa(3), A, soa(3))
    fake = FakePrimary(serial=3, IXFR=says(more[:4], more[4:]))
    held = a_copy()
    copy = fetch(fake, held)
    assert copy is not None
    assert (copy.serial, set(copy.rrsets)) == (3, set(held.rrsets))
    assert held.serial == 1, "what was held has not changed"
    assert fake.asked == ["udp SOA", "IXFR"]


def test_a_whole_zone_in_answer_to_ixfr() -> None:
    fake = FakePrimary(IXFR=WHOLE)
    copy = fetch(fake, a_copy())
    assert copy is not None
    assert ((b"t", *APEX), TYPE_TXT) in copy.rrsets
    assert fake.asked == ["udp SOA", "IXFR"]


@pytest.mark.parametrize(
    "increment",
    [
        says((), rcode=4),
        says(END),
        says((soa(2),), END),
        says((soa(2), soa(1), TXT, soa(2), soa(2))),  # removes what was never there
        says((soa(2), soa(9), A, soa(2), soa(2))),  # from another serial number
        says((soa(2), soa(1), A, soa(2)), END),
    ],
)
def test_an_increment_that_will_not_do_is_followed_by_the_whole(increment: Says) -> None:
    fake = FakePrimary(IXFR=increment, AXFR=WHOLE)
    copy = fetch(fake, a_copy())
    assert copy is not None
    assert len(copy.rrsets) == 4
    assert fake.asked == ["udp SOA", "IXFR", "AXFR"]
    assert fake.connections == 2


def test_an_endless_increment_is_given_up() -> None:
    def script(query: dns.message.Message) -> Script:
        answers, serial = Answers(query), 1
        yield answers(soa(10**6))
        while True:
            yield answers(soa(serial), *([TXT] if serial > 1 else []), soa(serial + 1), TXT)
            serial += 1

    said = refusal(FakePrimary(serial=10**6, IXFR=script), a_copy(), limits=TransferLimits(steps=500))
    assert "adds and removes more than 500 records" in said


# --- signatures ---


def signed_as(pattern: str) -> Says:
    """A transfer in as many messages, signed where the pattern has an `s`."""

    def script(query: dns.message.Message) -> Script:
        answers = Answers(query)
        last = len(pattern) - 1
        for number, letter in enumerate(pattern):
            records = [soa(2), NS] if number == 0 else [rr(f"n{number}.cdn.example. 300 IN A 192.0.2.1")]
            records += [soa(2)] if number == last else []
            yield answers(*records, signed=letter == "s")

    return script


@pytest.mark.parametrize("pattern", ["s", "ss", "s-s", "s" + 99 * "-" + "s"])
def test_signatures_that_will_do(pattern: str) -> None:
    copy = fetch(FakePrimary(AXFR=signed_as(pattern)), None, KEY)
    assert copy is not None
    assert len(copy.rrsets) == len(pattern) + 1


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        ("-", "does not sign its answer"),
        ("-s", "does not sign its answer"),
        ("s-", "does not sign"),
        ("s" + 100 * "-" + "s", "sends more than 99 messages without a signature"),
    ],
)
def test_signatures_that_are_missing(pattern: str, said: str) -> None:
    assert said in refusal(FakePrimary(AXFR=signed_as(pattern)), None, KEY)


def test_an_answer_about_the_soa_must_be_signed() -> None:
    unsigned = says((soa(2),), signed=False)
    assert refusal(FakePrimary(udp=unsigned, SOA=unsigned), None, KEY) == "does not sign its answer"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_message_that_was_changed_on_the_way(at: int) -> None:
    def script(query: dns.message.Message) -> Script:
        for number, wire in enumerate(signed_as("s-s")(query)):
            assert wire is not None
            yield wire.replace(b"\xc0\x00\x02", b"\xc0\x00\x03") if number == at else wire
            if number == at == 0:
                yield END

    said = refusal(FakePrimary(AXFR=script), None, KEY)
    assert said.startswith("signs wrongly") if at else "half-way" in said  # the first has no address in it


def test_random_octets_raise_nothing_else() -> None:
    chance = Random(7)
    good = list(signed_as("ss")(dns.message.make_query("cdn.example.", "AXFR")))
    for _ in range(40):
        broken = bytearray(chance.choice(good) or b"")
        for _ in range(chance.randint(1, 8)):
            broken[chance.randrange(12, len(broken))] = chance.randrange(256)

        def script(query: dns.message.Message, broken: bytes = bytes(broken)) -> Script:
            yield query.id.to_bytes(2, "big") + broken[2:]
            yield END

        with suppress(TransferFailed):
            fetch(FakePrimary(AXFR=script))
