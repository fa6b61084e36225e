"""Signing as the server does it: kept over restarts, held where keys or clock are at fault, renewed."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import dns.dnssec
import dns.flags
import dns.message
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import pytest

from steer.control import signing_clock as signing_clock_module
from steer.control.clock_guard import ClockGuard
from steer.control.offline import Offline, load_offline
from steer.control.runtime import Runtime
from steer.control.serving import Serving, prepare, renew
from steer.control.signing import Signing
from steer.control.signing_clock import is_due, renew_now, signing_clock
from steer.errors import Fault, Refused
from steer.model.deployment import Overrides
from steer.model.dnssec import FLAGS_KSK, FLAGS_ZSK, DnssecKey, DnssecSettings, KeyTimes
from steer.model.status import PopHealth, PopState
from steer.publish.store import Store, open_store
from steer.telemetry.counters import Registry
from tests.control.cdn import Cdn
from tests.publish.signed_zones import make_key

NOW_S = 1_795_000_000.0
DAY_S = 86_400
CSK = make_key(21)
APEX = dns.name.from_text("cdn.example")


@dataclass
class Hands:
    """A clock that the test sets, and a steady one that goes along unless told otherwise."""

    wall: float = NOW_S
    steady: float = 1000.0

    def guard(self) -> ClockGuard:
        return ClockGuard(lambda: self.wall, lambda: self.steady)

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.wall += seconds
        self.steady += seconds


@pytest.fixture
def offline(cdn: Cdn) -> Offline:
    return asyncio.run(load_offline(cdn.directory, cdn.environment, lambda _: None))


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    store = open_store(tmp_path / "signing-state")
    yield store
    store.close()


def signed_by(serving: Serving, *keys: DnssecKey, **settings: Any) -> Serving:
    """The deployment with its zone to be signed by these keys."""
    zone = replace(serving.deployment.zones[0], dnssec=DnssecSettings(Path("/keys"), keys, **settings))
    deployment = replace(serving.deployment, zones=(zone,))
    return replace(serving, inputs=replace(serving.inputs, deployment=deployment))


def make(offline: Offline, serving: Serving, signing: Signing, *, partly: bool = True) -> Serving:
    return prepare(
        offline.form, serving.inputs, None, serving.map_file, Registry(), bytes(16), signing, partly=partly
    )


def ask(offline: Offline, serving: Serving, name: str, rtype: str, now_s: float) -> dns.message.Message:
    """The answer to a query with DO, while every POP is up."""
    deployment = serving.deployment
    states = {
        (service.name, pop): PopHealth(PopState.UP, "", now_s, now_s)
        for service in deployment.services.values()
        for pop in service.pops
    }
    choices = offline.form.Choices(serving.maker.choices(states, Overrides(), now_s))
    query = dns.message.make_query(name, rtype, want_dnssec=True)
    wire = serving.snapshot(offline.form, choices).answer(
        query.to_wire(), bytes((133, 1, 0, 1)), True, int(now_s)
    )
    assert wire is not None
    return dns.message.from_wire(wire)


def validate(message: dns.message.Message, key: DnssecKey, now_s: float) -> None:
    """Every rrset in answer and authority stands the validator."""
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.DNSKEY, key.dnskey, 0, len(key.dnskey))
    keys = {APEX: dns.rdataset.from_rdata(3600, rdata)}
    found = [rrset for rrset in (*message.answer, *message.authority) if rrset.rdtype != dns.rdatatype.RRSIG]
    assert found
    for section in (message.answer, message.authority):
        for rrset in section:
            if rrset.rdtype != dns.rdatatype.RRSIG:
                sigs = message.find_rrset(
                    section, rrset.name, dns.rdataclass.IN, dns.rdatatype.RRSIG, rrset.rdtype
                )
                dns.dnssec.validate(rrset, sigs, keys, now=now_s)  # type: ignore[arg-type]


def test_what_is_answered_with_do_is_signed(offline: Offline, hands: Hands) -> None:
    serving = make(offline, signed_by(offline.serving, CSK), Signing(hands.guard()))
    for name, rtype in (("www.cdn.example", "A"), ("cdn.example", "SOA"), ("cdn.example", "DNSKEY"),
                        ("cdn.example", "TXT"), ("nowhere.cdn.example", "A")):  # fmt: skip
        validate(ask(offline, serving, name, rtype, NOW_S), CSK, NOW_S)


def test_nothing_is_signed_twice_not_even_after_a_restart(
    offline: Offline, hands: Hands, store: Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "steer.control")
    serving = signed_by(offline.serving, CSK)
    signing = Signing(hands.guard(), store)
    first = make(offline, serving, signing).signing
    assert first is not None
    assert "signatures made, 0 reused" in caplog.text
    caplog.clear()
    assert (first.made > 10, first.reused, first.missing, first.faults) == (True, 0, 0, ())
    hands.passes(60)
    again = make(offline, serving, signing).signing
    assert again is not None
    assert (again.made, again.reused) == (0, first.made)
    restarted = Signing(hands.guard(), store)
    restarted.recall()
    after = make(offline, serving, restarted).signing
    assert after is not None
    assert (after.made, after.reused) == (0, first.made)
    assert caplog.text == ""  # nothing was made, so there is nothing to tell


def test_torn_signatures_are_made_anew(offline: Offline, hands: Hands, store: Store) -> None:
    serving = signed_by(offline.serving, CSK)
    make(offline, serving, Signing(hands.guard(), store))
    (store.directory / "signatures").write_bytes(b"torn")
    assert store.damaged() == ("signatures",)
    restarted = Signing(hands.guard(), store)
    restarted.recall()
    report = make(offline, serving, restarted).signing
    assert report is not None
    assert report.made > 10


# --- keys at fault ---


def test_without_its_keys_a_zone_is_served_with_the_signatures_of_before(
    offline: Offline, hands: Hands, store: Store
) -> None:
    before = make(offline, signed_by(offline.serving, CSK), Signing(hands.guard(), store))
    hands.passes(DAY_S)
    restarted = Signing(hands.guard(), store)
    restarted.recall()
    serving = make(offline, signed_by(offline.serving), restarted)
    assert before.signing is not None
    assert serving.signing is not None
    assert (serving.signing.made, serving.signing.missing) == (0, 0)
    assert "no keys of cdn.example" in str(serving.signing.faults[0])
    validate(ask(offline, serving, "cdn.example", "DNSKEY", hands.wall), CSK, hands.wall)
    hands.passes(14 * DAY_S)
    expired = make(offline, signed_by(offline.serving), restarted)
    assert expired.signing is not None
    assert expired.signing.missing == before.signing.made


def test_keys_that_never_signed_and_cannot_are_refused(offline: Offline, hands: Hands) -> None:
    with pytest.raises(Refused, match=r"no keys of cdn\.example"):
        make(offline, signed_by(offline.serving), Signing(hands.guard()))


def test_a_policy_that_cannot_be_signed_is_refused_while_another_serves(
    offline: Offline, hands: Hands
) -> None:
    signing = Signing(hands.guard())
    make(offline, signed_by(offline.serving, CSK), signing)
    changed = signed_by(offline.serving, dnskey_ttl_s=60)
    with pytest.raises(Refused, match="1 signatures can neither be made"):
        make(offline, changed, signing, partly=False)
    report = make(offline, changed, signing).signing
    assert report is not None
    assert report.missing == 1


def test_an_expired_key_goes_on_signing_and_says_so(offline: Offline, hands: Hands) -> None:
    times = KeyTimes(publish_s=0, activate_s=0, inactive_s=int(NOW_S) + 60, delete_s=int(NOW_S) + 60)
    serving, signing = signed_by(offline.serving, replace(CSK, times=times)), Signing(hands.guard())
    first = make(offline, serving, signing).signing
    assert first is not None
    assert first.due_s == NOW_S + 60
    hands.passes(10 * DAY_S)
    held = make(offline, serving, signing)
    assert held.signing is not None
    assert "expired" in held.signing.faults[0].wrong
    assert held.signing.made == first.made
    validate(ask(offline, held, "www.cdn.example", "A", hands.wall), CSK, hands.wall)


def test_a_key_that_comes_is_published_when_its_time_is_there(offline: Offline, hands: Hands) -> None:
    ksk = replace(make_key(22, FLAGS_KSK), times=KeyTimes(publish_s=0, activate_s=0))
    zsk = replace(make_key(23, FLAGS_ZSK), times=KeyTimes(publish_s=0, activate_s=0))
    new = replace(make_key(24, FLAGS_ZSK), times=KeyTimes(publish_s=int(NOW_S) + DAY_S))
    serving, signing = signed_by(offline.serving, ksk, zsk, new), Signing(hands.guard())
    before = make(offline, serving, signing)
    assert before.signing is not None
    assert before.signing.due_s == NOW_S + DAY_S
    hands.passes(DAY_S)
    after = renew(offline.form, before, Registry(), signing)
    assert after.signing is not None
    assert after.signing.made == 1
    (dnskey,) = (
        rrset
        for rrset in ask(offline, after, "cdn.example", "DNSKEY", hands.wall).answer
        if rrset.rdtype == dns.rdatatype.DNSKEY
    )
    assert len(dnskey) == 3
    assert before.records.identity != after.records.identity


@pytest.mark.parametrize("wall_s", [0.0, 2.0**32, 1e300])
def test_a_clock_that_cannot_be_is_never_used(offline: Offline, wall_s: float) -> None:
    with pytest.raises(Refused, match="nothing is signed anew: the clock says"):
        make(offline, signed_by(offline.serving, CSK), Signing(Hands(wall_s).guard()))


# --- in time ---


class FakeLoader:
    """Renews as the loader does, in the test's own time."""

    def __init__(self, offline: Offline, signing: Signing) -> None:
        self.offline, self.signing = offline, signing
        self.error: Exception | None = None
        self.on_call: Callable[[], None] = lambda: None

    async def renew(self, serving: Serving) -> Serving:
        self.on_call()
        if self.error:
            raise self.error
        return renew(self.offline.form, serving, Registry(), self.signing)


def test_signatures_are_renewed_before_they_are_old_and_swapped_in(offline: Offline, hands: Hands) -> None:
    signing = Signing(hands.guard())
    loader: Any = FakeLoader(offline, signing)
    runtime = Runtime(Path("/policy"), offline.form, hands.wall)
    runtime.take(make(offline, signed_by(offline.serving, CSK), signing), hands.wall)
    assert not is_due(runtime, signing.look(()))
    hands.passes(9 * DAY_S)
    assert is_due(runtime, signing.look(()))
    loader.error = Refused([])
    snapshot = runtime.snapshot
    asyncio.run(renew_now(runtime, loader, lambda: hands.wall))
    assert runtime.snapshot is snapshot
    assert "signing" in runtime.pending
    loader.error = None
    asyncio.run(renew_now(runtime, loader, lambda: hands.wall))
    assert runtime.snapshot is not snapshot
    assert runtime.pending == {}
    assert not is_due(runtime, signing.look(()))
    assert runtime.serving is not None
    assert runtime.serving.signing is not None
    assert runtime.serving.signing.made > 0


def test_what_was_renewed_is_dropped_where_something_else_serves_by_then(
    offline: Offline, hands: Hands
) -> None:
    signing = Signing(hands.guard())
    runtime = Runtime(Path("/policy"), offline.form, hands.wall)
    first = make(offline, signed_by(offline.serving, CSK), signing)
    second = make(offline, signed_by(offline.serving, CSK), signing)
    runtime.take(second, hands.wall)
    runtime.take_renewed(first, renew(offline.form, first, Registry(), signing), hands.wall)
    assert runtime.serving is second


def test_keys_and_expiries_are_told(offline: Offline, hands: Hands) -> None:
    runtime = Runtime(Path("/policy"), offline.form, hands.wall)
    runtime.take(make(offline, signed_by(offline.serving, CSK), Signing(hands.guard())), hands.wall)
    text = runtime.metrics.render("")[0].decode()
    name = f'key="013+{CSK.tag:05d}"'
    assert f'steer_dnssec_key{{does="signs_zone",{name},zone="cdn.example"}} 1.0' in text
    assert 'steer_signatures{kind="missing"} 0.0' in text
    assert runtime.serving is not None
    assert runtime.serving.signing is not None
    told = runtime.serving.signing.as_json()["zones"]["cdn.example"]
    assert told["keys"] == {f"013+{CSK.tag:05d}": ["published", "signs_dnskey", "signs_zone"]}
    assert NOW_S < told["expires_s"] < NOW_S + 14 * DAY_S


def test_the_clock_signs_what_is_due_and_tries_again_what_failed(
    offline: Offline, hands: Hands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(signing_clock_module, "LOOK_S", 0.001)
    monkeypatch.setattr(signing_clock_module, "RETRY_S", 0.01)
    signing = Signing(hands.guard())
    loader: Any = FakeLoader(offline, signing)
    runtime = Runtime(Path("/policy"), offline.form, hands.wall)
    runtime.take(make(offline, signed_by(offline.serving, CSK), signing), hands.wall)
    before = runtime.snapshot
    hands.passes(9 * DAY_S)
    failures: list[Exception] = [ValueError("a fault of ours"), Refused([Fault("keys", 0, 0, "gone", "")])]
    pending: list[set[str]] = []

    async def run() -> None:
        renewed = asyncio.Event()

        def on_call() -> None:
            pending.append(set(runtime.pending))
            loader.error = failures.pop(0) if failures else None
            if loader.error is None:
                renewed.set()

        loader.on_call = on_call
        clock = asyncio.create_task(signing_clock(runtime, loader, lambda: hands.wall))
        async with asyncio.timeout(30):
            await renewed.wait()
        clock.cancel()
        await asyncio.gather(clock, return_exceptions=True)

    asyncio.run(run())
    assert pending == [set(), set(), {"signing"}]
    assert runtime.pending == {}
    assert runtime.snapshot is not before
