"""`steer serve` with a signed zone, as its users see it: validated by delv, over restarts and rolls."""

import re
import shutil
import subprocess

import dns.flags
import dns.message
import dns.query
import dns.rdatatype
import pytest

from tests.control.cdn import Cdn, Server, wait_for

pytestmark = pytest.mark.skipif(not shutil.which("delv"), reason="BIND's delv is not installed")


@pytest.fixture
def signed(cdn: Cdn) -> Cdn:
    """The CDN with its zone signed by a CSK, and an HTTPS record at the steered name."""
    cdn.write("cdn.example.yaml", cdn.zone() + "dnssec: {keys: keys}\n")
    with (cdn.directory / "cdn.example.zone").open("a") as zone:
        zone.write("www HTTPS 1 . alpn=h2,h3\n*.wild TXT wild\n")
    (cdn.directory / "keys").mkdir()
    cdn.make_old_keys()
    return cdn


def delv(cdn: Cdn, server: Server, name: str, rtype: str) -> str:
    """What delv says of an answer, with the zone's own key as the anchor."""
    (key_file,) = (cdn.directory / "keys").glob("*.key")
    flags, protocol, algorithm, *key = re.search(r"DNSKEY (.*)", key_file.read_text())[1].split()  # type: ignore[index]
    anchor = cdn.top / "anchor"
    anchor.write_text(
        f'trust-anchors {{ cdn.example. static-key {flags} {protocol} {algorithm} "{"".join(key)}"; }};\n'
    )
    command = [
        "delv",
        "@127.0.0.1",
        "-p",
        str(server.port),
        "-a",
        str(anchor),
        "+root=cdn.example",
        name,
        rtype,
    ]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    return run.stdout + run.stderr


def made(server: Server) -> int:
    return int(server.state["signing"]["made"])


def test_every_kind_of_answer_is_validated_and_a_restart_signs_nothing(signed: Cdn) -> None:
    server = signed.serve()
    for name, rtype in (("www", "A"), ("www", "HTTPS"), ("ns1", "A"), ("any.wild", "TXT"), ("static", "A")):
        assert "; fully validated" in delv(signed, server, f"{name}.cdn.example", rtype), (name, rtype)
    for name, rtype in (("nowhere", "A"), ("www", "TXT"), ("wild", "A"), ("any.wild", "A")):
        said = delv(signed, server, f"{name}.cdn.example", rtype)
        assert "; negative response, fully validated" in said, (name, rtype, said)
    assert made(server) > 10
    assert server.end() == 0
    server = signed.serve()
    assert made(server) == 0
    assert "; fully validated" in delv(signed, server, "www.cdn.example", "A")


def test_with_its_keys_gone_it_serves_on_and_says_so(signed: Cdn) -> None:
    server = signed.serve()
    wait_for(lambda: (signed.state / "current").exists(), "a saved deployment")
    assert server.end() == 0
    kept = signed.top / "kept"
    shutil.copytree(signed.directory / "keys", kept)
    for path in (signed.directory / "keys").iterdir():
        path.unlink()
    server = signed.serve()
    for path in kept.iterdir():
        shutil.copy(path, signed.directory / "keys")
    assert server.state["restored"] is not None
    assert "; fully validated" in delv(signed, server, "www.cdn.example", "A")


def test_a_new_key_is_published_while_it_serves(signed: Cdn) -> None:
    server = signed.serve()
    said = signed.command("keys", "roll", str(signed.directory), "cdn.example")
    assert said.returncode == 0, said.stderr

    def published() -> int:
        query = dns.message.make_query("cdn.example", "DNSKEY")
        return sum(len(rrset) for rrset in dns.query.udp(query, "127.0.0.1", port=server.port).answer)

    wait_for(lambda: published() == 2, "a second key in DNSKEY")
    assert server.state["pending"] is None


def test_cnames_are_validated_and_explaining_names_are_delegated_insecurely(signed: Cdn) -> None:
    hosts = '[{answer: {"cname:a.cdn.example": 1, "cname:b.cdn.example": 0}}]'
    text = cdn_zone_with(signed, "  multi: {policy: hosts}\n", f"  hosts: {{rules: {hosts}}}\n")
    signed.write("cdn.example.yaml", text + "explain: _explain\n")
    server = signed.serve()
    where = ("-d", str(signed.directory))
    for name, rtype, host in (("multi", "CNAME", "a"), ("multi", "CNAME", "b")):
        if host == "b":
            assert signed.command("override", "all", "cname:b.cdn.example", *where).returncode == 0
            wait_for(lambda: "b.cdn" in str(server.reply("133.1.0.0/24", "multi.cdn.example", "A")), "it")
        said = delv(signed, server, f"{name}.cdn.example", rtype)
        assert "; fully validated" in said, said
        assert f"{host}.cdn.example." in said
    said = delv(signed, server, "_explain.cdn.example", "DS")
    assert "; negative response, fully validated" in said, said
    said = delv(signed, server, "www._explain.cdn.example", "TXT")
    assert "; unsigned answer" in said, said
    assert '"rule cdn.example/web#1"' in said


def cdn_zone_with(cdn: Cdn, names: str, policies: str) -> str:
    """The signed zone with more names and policies."""
    return cdn.zone(more=names).replace("policies:\n", f"policies:\n{policies}") + "dnssec: {keys: keys}\n"
