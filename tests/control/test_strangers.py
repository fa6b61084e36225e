"""Identity, cookies and the rate limit of a running server, and that a reload takes changes up."""

import dns.edns
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import pytest

from tests.control.cdn import Cdn, Server, wait_for

CLIENT_COOKIE = bytes(range(8))
SECRET = "00112233445566778899aabbccddeeff"


def ask(server: Server, query: dns.message.Message, timeout_s: float = 5.0) -> dns.message.Message:
    return dns.query.udp(query, "127.0.0.1", port=server.port, timeout=timeout_s)


def nsid(server: Server) -> bytes:
    query = dns.message.make_query(
        "www.cdn.example", "A", use_edns=0, options=[dns.edns.GenericOption(dns.edns.OptionType.NSID, b"")]
    )
    found = [
        option.to_wire() for option in ask(server, query).options if option.otype == dns.edns.OptionType.NSID
    ]
    return found[0] if found else b""


def told(server: Server, name: str) -> str:
    """What a CHAOS TXT name tells, or the rcode."""
    reply = ask(server, dns.message.make_query(name, "TXT", rdclass=dns.rdataclass.CH))
    if reply.rcode() != dns.rcode.NOERROR:
        return dns.rcode.to_text(reply.rcode())
    return str(reply.answer[0][0].strings[0].decode())


def cookie(server: Server, server_cookie: bytes = b"") -> bytes:
    """The server cookie that comes back."""
    option = dns.edns.CookieOption(CLIENT_COOKIE, server_cookie)
    query = dns.message.make_query("www.cdn.example", "A", use_edns=0, options=[option])
    found = [each for each in ask(server, query).options if isinstance(each, dns.edns.CookieOption)]
    return found[0].server if found else b""


def reload(cdn: Cdn, server: Server, lines: str) -> None:
    before = server.state["hashes"]["policy"]
    cdn.write("steer.yaml", cdn.steer() + lines)
    wait_for(lambda: server.state["hashes"]["policy"] != before, "the reload")


def test_who_serves_is_told_and_a_reload_changes_it(cdn: Cdn) -> None:
    server = cdn.serve()
    hashes = server.state["hashes"]
    digits = " ".join(hashes[each][:12] for each in ("policy", "map", "geodata"))
    assert nsid(server) == f"test1 {digits}".encode()
    assert (told(server, "id.server"), told(server, "version.bind")) == ("test1", "REFUSED")
    reload(cdn, server, "identity: {nsid: x1, id_server: false, version: '7'}\n")
    assert nsid(server) == b"x1"
    assert (told(server, "hostname.bind"), told(server, "version.server")) == ("REFUSED", "7")
    assert "next start" not in server.log


def test_a_drawn_cookie_secret_lives_as_long_as_the_process(cdn: Cdn) -> None:
    server = cdn.serve()
    first = cookie(server)
    assert len(first) == 16
    reload(cdn, server, "identity: {version: x}\n")
    assert cookie(server, first) == first, "still valid, and young: it comes back as it is"
    assert server.state["counters"]["cookies_valid"] == 1
    reload(cdn, server, "cookies: {enabled: false}\n")
    assert cookie(server, first) == b""


def test_secrets_from_a_file_hold_over_a_restart_and_roll(cdn: Cdn) -> None:
    (cdn.directory / "s").write_text(f"{SECRET}\n")
    (cdn.directory / "s").chmod(0o600)
    cdn.write("steer.yaml", cdn.steer("cookies", "{secrets: s}"))
    server = cdn.serve()
    first = cookie(server)
    assert server.end() == 0
    server = cdn.serve()
    assert cookie(server, first) == first
    before = server.state["hashes"]["policy"]
    cdn.write("s", f"{SECRET[::-1]}\n{SECRET}\n")
    wait_for(lambda: server.state["hashes"]["policy"] != before, "the new secrets")
    second = cookie(server, first)
    assert second != first, "the new secret makes cookies, the old one still verifies them"
    assert server.state["counters"]["cookies_valid"] == 2
    cdn.write("s", "broken\n")
    wait_for(lambda: server.state["pending"], "the refusal")
    assert cookie(server, second) == second


def test_the_rate_limit_is_taken_up_and_let_go(cdn: Cdn) -> None:
    cdn.write("steer.yaml", cdn.steer("rate_limit", "off"))
    server = cdn.serve()
    query = dns.message.make_query("www.cdn.example", "A")
    assert all(not ask(server, query).flags & dns.flags.TC for _ in range(20))
    reload(cdn, server, "rate_limit: {per_second: 1, burst: 0, slip: 1, exempt: []}\n")
    slipped = [bool(ask(server, query).flags & dns.flags.TC) for _ in range(5)]
    assert slipped.count(True) >= 3
    assert cookie(server) != b"", "who asks with a cookie learns one even where the answer slips"
    assert server.state["counters"]["rate_slipped"] >= 3
    reload(cdn, server, "rate_limit: {per_second: 1, burst: 0, slip: 1}\n")
    assert all(not ask(server, query).flags & dns.flags.TC for _ in range(20)), "loopback is exempt"


@pytest.mark.parametrize("states", ["silent", "up"])
def test_stale_states_are_told_of(cdn: Cdn, states: str) -> None:
    server = cdn.serve()
    if states == "silent":
        for pop in cdn.pops.values():
            pop.status = None
    query = dns.message.make_query("www.cdn.example", "A", use_edns=0)

    def errors() -> list[int]:
        options = ask(server, query).options
        return [int(each.code) for each in options if isinstance(each, dns.edns.EDEOption)]

    if states == "silent":
        wait_for(lambda: errors() == [3], "stale answers")
        for pop in cdn.pops.values():
            pop.status = "up"
    wait_for(lambda: errors() == [], "fresh answers")
