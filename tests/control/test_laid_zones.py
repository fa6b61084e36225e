"""Whatever zone a primary sends: what is taken of it compiles, signed or not, and both engines take that."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from steer.control.assemble import assemble_records
from steer.control.explaining import explaining_zones
from steer.dataplane.engine import EngineForm, load_engine, reference_form
from steer.model.deployment import Deployment
from steer.model.dnssec import DnssecSettings
from steer.sources.located_yaml import Faults
from steer.sources.transferred import overlay
from steer.sources.zone_copy import ZoneCopy
from steer.telemetry.counters import Registry
from tests.publish.signed_zones import CSK, key_set
from tests.sources.policy_directory import ZONE, change, copy_example, taken
from tests.sources.test_transferred import ALIAS, DS, copy_of

SOA = "SOA ns1 h 1 2 3 4 5"
OWNERS = (
    *(
        "@",
        "www",
        "*",
        "*.www",
        "a",
        "b.a",
        "c.b.a",
        "sub",
        "x.sub",
        "ns.sub",
        "*.sub",
        "multi",
        "auto",
        "live",
    ),
    *("_explain", "www._explain", "*.wild", "ns1", "static"),
)
HOSTS = ("@", "www", "multi", "ns1", "ns.sub", "x.sub", "a", "any.wild", "elsewhere.example.", ".")
DATA = (
    *("A 192.0.2.7", "A 192.0.2.8", "AAAA 2001:db8::7", "TXT x", "CAA 0 issue x", "TYPE65280 \\# 2 0aff", DS),
    *(f"{kind} {host}" for kind in ("NS", "CNAME", "PTR", "DNAME", "MX 10", "SRV 0 0 80") for host in HOSTS),
    *(
        f"{kind} {how}"
        for kind in ("HTTPS", "SVCB")
        for how in ("1 . alpn=h2", "0 www", "1 www ipv4hint=192.0.2.9")
    ),
    *("HTTPS 1 . mandatory=ipv4hint ipv4hint=192.0.2.9", "HTTPS 0 @", SOA, "NSEC a A"),
    *("RRSIG A 13 3 60 20300101000000 20200101000000 1 cdn.example. AAAA", "DNSKEY 257 3 13 AAAA"),
)
LINES = st.lists(st.tuples(st.sampled_from(OWNERS), st.sampled_from(DATA)), max_size=8)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Deployment:
    """The example with a primary, explaining names, and a name that is steered as a CNAME."""
    directory = copy_example(tmp_path_factory.mktemp("laid"))
    change(
        directory, ZONE, "zonefile: cdn.example.zone ", "explain: _explain\nprimary: {address: 192.0.2.53} "
    )
    change(directory, ZONE, "  live: ", "  multi: {policy: multi}\n  live: ")
    change(directory, ZONE, "policies:\n", ALIAS)
    return taken(directory)[0]


@pytest.fixture(scope="module")
def forms() -> list[EngineForm]:
    native = load_engine(environment={})
    return [native, reference_form()] if native.name == "native" else [native]


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(lines=LINES, is_signed=st.booleans())
def test_what_is_taken_compiles(
    deployment: Deployment, forms: list[EngineForm], lines: list[tuple[str, str]], is_signed: bool
) -> None:
    zone = replace(deployment.zones[0], dnssec=DnssecSettings(Path("keys")) if is_signed else None)
    copy = copy_of("".join(f"{owner} {data}\n" for owner, data in lines if data != SOA or owner != "@"))
    assert ZoneCopy.unpacked(copy.packed) == copy
    faults = Faults()
    laid = overlay(copy, zone, faults)
    assert (laid is None) == bool(faults.found)
    if laid is None:
        return
    served = replace(deployment, zones=(replace(zone, data=laid.data, transferred=copy.digest),))
    assert len(list(explaining_zones(served))) == 1
    keys = {zone.apex: key_set(CSK)} if is_signed else None
    part = assemble_records(served, Registry(), None, keys).data
    for form in forms:
        form.Records(part)
