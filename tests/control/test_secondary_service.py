"""`steer serve` as a secondary: BIND, Knot and NSD as primaries, their updates, and their silence."""

import base64
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import dns.message
import dns.query
import dns.rcode
import pytest

from steer.publish.store import open_store
from tests.control.cdn import TOKYO, Cdn, Server, wait_for
from tests.control.test_signed_service import delv
from tests.sources.primaries import KEY, PROGRAMS, SECRET, RunningPrimary, free_port, start_primary, zone_text

SERIAL = 2026112401
KEYED = f"key: {{name: {KEY.name}, file: tsig.key}}"


def zone_yaml(cdn: Cdn, *ports: int, more: str = KEYED) -> str:
    """The zone's YAML with primaries on these ports."""
    primaries = ", ".join(f"{{address: 127.0.0.1, port: {port}, {more}}}" for port in ports)
    return cdn.zone().replace("zonefile: cdn.example.zone\n", f"primary: [{primaries}]\n")


def configure(cdn: Cdn, *ports: int, listen: int = 0) -> None:
    key = cdn.directory / "tsig.key"
    key.write_text(base64.b64encode(SECRET).decode() + "\n")
    key.chmod(0o600)
    cdn.write("cdn.example.yaml", zone_yaml(cdn, *ports))
    if listen:
        cdn.write("steer.yaml", cdn.steer().replace("127.0.0.1:0'", f"127.0.0.1:{listen}'", 1))


def serial(server: Server) -> int | None:
    """The serial number that steer answers with; None: it does not serve the zone."""
    reply = dns.query.udp(
        dns.message.make_query("cdn.example", "SOA"), "127.0.0.1", port=server.port, timeout=5
    )
    return int(reply.answer[0][0].serial) if reply.answer else None


def secondary(server: Server) -> dict[str, object]:
    return dict(server.state["zones"][0]["secondary"])


def text_of(server: Server, name: str) -> str:
    reply = dns.query.udp(
        dns.message.make_query(f"{name}.cdn.example", "TXT"), "127.0.0.1", port=server.port, timeout=5
    )
    return str(reply.answer[0][0]) if reply.answer else dns.rcode.to_text(reply.rcode())


@pytest.fixture
def started() -> Iterator[Callable[..., RunningPrimary]]:
    """Starts primaries, which end with the test."""
    running: list[RunningPrimary] = []

    def start(kind: str, top: Path, text: str, notifies: int = 0) -> RunningPrimary:
        running.append(start_primary(kind, top, text, notifies))
        return running[-1]

    yield start
    for each in running:
        each.stop()


@pytest.fixture
def primary(cdn: Cdn, started: Callable[..., RunningPrimary]) -> RunningPrimary:
    """Any primary."""
    return started("bind", cdn.top / "primary", zone_text(SERIAL))


@pytest.mark.parametrize("kind", list(PROGRAMS))
def test_it_follows_a_primary(cdn: Cdn, kind: str, started: Callable[..., RunningPrimary]) -> None:
    port = free_port()
    more = "www A 203.0.113.9\nwww TXT beside\n"
    primary = started(kind, cdn.top / kind, zone_text(SERIAL, more), port)
    configure(cdn, primary.port, listen=port)
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    assert text_of(server, "plain") == '"hello"'
    assert text_of(server, "www") == '"beside"'
    server.wait_for_answer("nrt")  # what is steered lies over the primary's zone
    assert "not served from the primary: A records of `www.cdn.example`" in server.log
    assert server.metric('steer_zone_left_out{zone="cdn.example"}') == 1
    plans = server.state["map"]
    primary.update(zone_text(SERIAL + 1, "plain2 TXT more\n"))
    wait_for(lambda: serial(server) == SERIAL + 1, "what a NOTIFY brought", limit_s=15)
    assert text_of(server, "plain2") == '"more"'
    assert server.metric('steer_zone_transfers_total{zone="cdn.example"}') == 2
    assert server.metric('steer_zone_serial{zone="cdn.example"}') == SERIAL + 1
    assert "a primary says that there is something new" in server.log
    assert server.state["map"] == plans
    assert "Traceback" not in server.log
    assert server.end() == 0


def test_a_restart_serves_at_once_while_the_primary_is_down(
    cdn: Cdn, started: Callable[..., RunningPrimary]
) -> None:
    primary = started("bind", cdn.top / "primary", zone_text(SERIAL, "www A 203.0.113.9\n"))
    configure(cdn, primary.port)
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    wait_for(lambda: (cdn.state / "zones" / "cdn.example").exists(), "the copy on the disk")
    primary.stop()
    server.kill()
    server = cdn.serve()
    assert serial(server) == SERIAL
    assert text_of(server, "plain") == '"hello"'
    wait_for(lambda: secondary(server)["failures"], "a failure that is told")
    assert "cannot be reached" in str(secondary(server)["wrong"])
    assert secondary(server)["state"] == "serving"
    assert secondary(server)["left_out"] == ["A records of `www.cdn.example`, which is steered here"]
    assert SECRET.decode() not in json.dumps(server.state) + server.log
    assert base64.b64encode(SECRET).decode() not in json.dumps(server.state) + server.log


def test_an_expired_copy_is_not_served_after_a_restart(
    cdn: Cdn, primary: RunningPrimary, started: Callable[..., RunningPrimary]
) -> None:
    configure(cdn, primary.port)
    server = cdn.serve()
    wait_for(lambda: secondary(server)["source"], "the zone")
    assert server.end() == 0
    primary.stop()
    store = open_store(cdn.state)
    rows = json.loads(store.confirmed())
    saved_s, _, packed = store.zone("cdn.example").partition(b"\n")
    rows["cdn.example"]["confirmed_s"] -= 1209601
    store.save_confirmed(json.dumps(rows).encode())
    store.save_zone("cdn.example", str(int(saved_s) - 1209601).encode() + b"\n" + packed)
    store.close()
    server = cdn.serve()
    reply = server.reply(TOKYO, "www.cdn.example", "A")
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert [int(option.code) for option in reply.extended_errors()] == [14]
    assert secondary(server)["state"] == "not_ready"
    again = started("bind", cdn.top / "again", zone_text(7))
    configure(cdn, again.port)
    wait_for(lambda: serial(server) == 7, "the zone, though its serial went backwards")
    server.wait_for_answer("nrt")


def test_without_any_copy_it_is_servfail_until_there_is_one(cdn: Cdn) -> None:
    port = free_port()
    configure(cdn, port)
    server = cdn.serve()
    reply = server.reply(TOKYO, "www.cdn.example", "A")
    assert reply.rcode() == dns.rcode.SERVFAIL
    assert [int(option.code) for option in reply.extended_errors()] == [14]
    assert not reply.authority
    wait_for(lambda: "cannot be had, it is answered with SERVFAIL" in server.log, "a warning")


def test_the_next_primary_is_asked_where_the_first_is_silent(cdn: Cdn, primary: RunningPrimary) -> None:
    configure(cdn, free_port(), primary.port)
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    wait_for(lambda: str(secondary(server)["source"]).endswith(f":{primary.port}"), "its source")


def test_from_a_file_to_a_primary_and_back(cdn: Cdn, primary: RunningPrimary) -> None:
    server = cdn.serve()
    assert serial(server) == 1
    configure(cdn, free_port())
    wait_for(lambda: server.state["pending"], "the refusal of a primary that does not answer")
    assert "cannot be had" in server.state["pending"]["faults"][0]["wrong"]
    assert serial(server) == 1
    configure(cdn, primary.port)
    wait_for(lambda: serial(server) == SERIAL, "the primary's zone")
    assert not server.state["pending"]
    cdn.write("cdn.example.yaml", cdn.zone())
    wait_for(lambda: serial(server) == 1, "the file's zone")


def test_a_name_that_does_not_fit_the_copy_is_refused(
    cdn: Cdn, started: Callable[..., RunningPrimary]
) -> None:
    text = zone_text(SERIAL, "labs NS ns.elsewhere.example.\n")
    primary = started("bind", cdn.top / "labs", text)
    configure(cdn, primary.port)
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    names = "names:\n  labs: {policy: web}\n"
    cdn.write("cdn.example.yaml", zone_yaml(cdn, primary.port).replace("names:\n", names))
    wait_for(lambda: server.state["pending"], "a refusal")
    assert "is steered but delegated" in server.state["pending"]["faults"][0]["wrong"]
    server.wait_for_answer("nrt")


def test_secrets_are_not_copied_into_the_store(cdn: Cdn, primary: RunningPrimary) -> None:
    configure(cdn, primary.port)
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    wait_for(lambda: list((cdn.state / "deployments").glob("0*")), "a saved deployment")
    assert server.end() == 0
    primary.stop()
    found = [path for path in cdn.state.rglob("*") if path.is_file() and not path.is_symlink()]
    assert not [path for path in found if base64.b64encode(SECRET) in path.read_bytes()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in (cdn.state / "zones").glob("*"))
    (cdn.directory / "tsig.key").unlink()  # and the policy directory is refused for that
    server = cdn.serve()
    assert server.state["restored"] == 1
    assert serial(server) == SERIAL
    wait_for(lambda: "is gone" in str(secondary(server)["wrong"]), "why there is no transfer")


def test_a_key_that_is_mended_is_tried_at_once(cdn: Cdn, primary: RunningPrimary) -> None:
    configure(cdn, primary.port)
    cdn.write("tsig.key", base64.b64encode(b"not what the primary has, but 32").decode())
    server = cdn.serve()
    wait_for(lambda: "BADSIG" in str(secondary(server)["wrong"]), "the reason")
    cdn.write("tsig.key", base64.b64encode(SECRET).decode())
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    wait_for(lambda: not secondary(server)["wrong"], "an end of the complaint")


@pytest.mark.skipif(not shutil.which("delv"), reason="BIND's delv is not installed")
def test_a_primarys_zone_is_signed_here(cdn: Cdn, started: Callable[..., RunningPrimary]) -> None:
    port = free_port()
    primary = started("bind", cdn.top / "primary", zone_text(SERIAL, "*.wild TXT x\n"), port)
    configure(cdn, primary.port, listen=port)
    cdn.write("cdn.example.yaml", zone_yaml(cdn, primary.port) + "dnssec: {keys: keys}\n")
    (cdn.directory / "keys").mkdir()
    said = cdn.command("keys", "make", str(cdn.directory), "cdn.example", "--longest-ttl", "1d")
    assert said.returncode == 0, said.stderr
    server = cdn.serve()
    wait_for(lambda: serial(server) == SERIAL, "the zone")
    for name, rtype in (("www", "A"), ("any.wild", "TXT"), ("plain", "TXT")):
        assert "; fully validated" in delv(cdn, server, f"{name}.cdn.example", rtype), name
    primary.update(zone_text(SERIAL + 1, "new TXT x\n"))
    wait_for(lambda: serial(server) == SERIAL + 1, "the update")
    assert "; fully validated" in delv(cdn, server, "new.cdn.example", "TXT")
    assert "; negative response, fully validated" in delv(cdn, server, "any.wild.cdn.example", "TXT")
    assert "; fully validated" in delv(cdn, server, "www.cdn.example", "A")
