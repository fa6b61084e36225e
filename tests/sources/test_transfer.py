"""Transfers from other people's nameservers: whole, incremental, signed, and refused."""

import asyncio
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import dns.message
import pytest

from steer.model.primary import TsigKey
from steer.model.records import TYPE_A, TYPE_DNSKEY, TYPE_RRSIG, TYPE_TXT, Rdata
from steer.sources import transfer
from steer.sources.inbound import Inbound, TransferFailed
from steer.sources.transfer import Transfer
from steer.sources.zone_copy import ZoneCopy
from tests.sources.primaries import APEX, KEY, PROGRAMS, RunningPrimary, start_primary, waited_for, zone_text

SERIAL = 2026112401


@pytest.fixture(params=list(PROGRAMS))
def running(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningPrimary]:
    """A primary of each kind."""
    made = start_primary(request.param, tmp_path / request.param, zone_text(SERIAL))
    yield made
    made.stop()


def fetch(
    running: RunningPrimary, held: ZoneCopy | None = None, key: TsigKey | None = KEY
) -> ZoneCopy | None:
    return asyncio.run(Transfer(APEX, running.primary(key), held).run())


def test_the_whole_zone(running: RunningPrimary) -> None:
    copy = fetch(running)
    assert copy is not None
    assert copy.serial == SERIAL
    assert (copy.timers.refresh_s, copy.timers.retry_s, copy.timers.expire_s) == (7200, 900, 1209600)
    assert copy.rrsets[(b"plain", *APEX), TYPE_TXT].records == (Rdata(b"\5hello"),)
    assert len(copy.rrsets) == 5
    assert ZoneCopy.unpacked(copy.packed) == copy
    assert fetch(running, copy) is None


def test_only_what_changed(running: RunningPrimary, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds: list[str] = []

    class Watched(Inbound):
        def take(self, wire: bytes) -> bool:
            message = dns.message.from_wire(wire, keyring=lambda *_: None, continue_on_error=True, xfr=True)
            kinds.append(f"{message.question[0].rdtype.name} {len(message.sections[1])}")
            return super().take(wire)

    monkeypatch.setattr(transfer, "Inbound", Watched)
    more = "".join(f"n{number} A 192.0.2.1\n" for number in range(100))
    running.update(zone_text(SERIAL + 1, more))
    first = fetch(running)
    running.update(zone_text(SERIAL + 2, more.replace("n7 A 192.0.2.1", "n7 A 192.0.2.7") + "new TXT x\n"))
    kinds.clear()
    second = fetch(running, first)
    assert second is not None
    assert first is not None
    assert second.serial == SERIAL + 2
    assert [kind.split()[0] for kind in kinds] == ["IXFR"]
    assert int(kinds[0].split()[1]) < 10, "an increment, not the zone"
    assert second.rrsets[(b"n7", *APEX), TYPE_A].records == (Rdata(bytes((192, 0, 2, 7))),)
    assert len(second.rrsets) == len(first.rrsets) + 1
    whole = fetch(running)
    assert whole is not None
    assert {key: set(rrset.records) for key, rrset in whole.rrsets.items()} == {
        key: set(rrset.records) for key, rrset in second.rrsets.items()
    }


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (replace(KEY, name="other-key"), "BADKEY"),
        (replace(KEY, secret=b"another secret of thirty-two byt"), "BADSIG"),
        (replace(KEY, algorithm="hmac-sha512"), "BADKEY|BADSIG|REFUSED"),
        (None, "refuses the transfer"),
        (replace(KEY, secret=b""), "is gone"),
    ],
)
def test_a_key_that_does_not_fit(running: RunningPrimary, key: TsigKey | None, said: str) -> None:
    with pytest.raises(TransferFailed, match=said):
        fetch(running, None, key)


@pytest.mark.parametrize("skew_s", [-4000, 4000])
def test_clocks_that_differ(running: RunningPrimary, monkeypatch: pytest.MonkeyPatch, skew_s: int) -> None:
    monkeypatch.setattr(dns.message, "time", SimpleNamespace(time=lambda: time.time() + skew_s))
    with pytest.raises(TransferFailed, match="clock too far from ours"):
        fetch(running)


def test_a_primary_that_is_not_there(running: RunningPrimary) -> None:
    copy = fetch(running)
    running.stop()
    with pytest.raises(TransferFailed, match="cannot be reached"):
        fetch(running, copy)


def test_a_serial_number_that_goes_backwards(running: RunningPrimary) -> None:
    copy = fetch(running)
    assert copy is not None
    running.stop()
    older = start_primary(running.kind, running.top.parent / "older", zone_text(SERIAL - 1))
    try:
        with pytest.raises(TransferFailed, match="which is older than 2026112401"):
            fetch(older, copy)
    finally:
        older.stop()


def test_a_zone_that_its_primary_signs(tmp_path: Path) -> None:
    """Increments hold signatures that come and go; the whole of them is kept, so that they fit."""
    more = "".join(f"n{number} A 192.0.2.1\n" for number in range(20))
    running = start_primary("bind", tmp_path / "signs", zone_text(SERIAL, more), signs=True)

    def fetch_newer(held: ZoneCopy | None) -> ZoneCopy:
        found: list[ZoneCopy] = []

        def look() -> bool:
            copy = fetch(running, found[-1] if found else held)
            found.extend([copy] if copy else [])
            return bool(found) and ((b"n3", *APEX), TYPE_RRSIG) in found[-1].rrsets and copy is None

        assert waited_for(look), running.log()
        return found[-1]

    try:
        first = fetch_newer(None)
        assert (APEX, TYPE_DNSKEY) in first.rrsets
        changed = more.replace("n3 A 192.0.2.1", "n3 A 192.0.2.3")
        (running.top / "zone").write_text(zone_text(SERIAL + 100, changed))
        running.process.send_signal(signal.SIGHUP)
        second = fetch_newer(first)
        assert second.rrsets[(b"n3", *APEX), TYPE_A].records == (Rdata(bytes((192, 0, 2, 3))),)
        whole = fetch(running)
        assert whole is not None
        assert {key: set(rrset.records) for key, rrset in whole.rrsets.items()} == {
            key: set(rrset.records) for key, rrset in second.rrsets.items()
        }
    finally:
        running.stop()
