"""DNS cookies of steer, BIND and Knot that share a secret: each takes the others' (RFC 9018)."""

import re
import time
from collections.abc import Iterator

from conformance.addresses import CLIENTS, STEER, ZONE
from conformance.cookie_peers import PEER_ZONE, PEERS, Peer
from conformance.daemons import output
from conformance.mini_internet import MiniInternet
from conformance.results import Result

ASKERS = {4: (CLIENTS[0][0], CLIENTS[1][0]), 6: (CLIENTS[5][0], CLIENTS[6][0])}
CLIENT_COOKIE = "0123456789abcdef"
OLDER_S = 2.1  # a cookie made anew is then another one, since it holds its time in seconds


def check(internet: MiniInternet) -> Iterator[Result]:
    """One row per peer and direction."""
    for peer in PEERS:
        with peer.running(internet):
            for direction in (taken_by_steer, taken_by_peer):
                faults = [fault for family in (4, 6) for fault in direction(peer, family)]
                what = (
                    f"{peer.name}'s cookies, taken by steer"
                    if direction is taken_by_steer
                    else f"steer's cookies, taken by {peer.name}"
                )
                yield Result.of("cookies", what, 6, faults)


def taken_by_steer(peer: Peer, family: int) -> list[str]:
    """steer sends a valid cookie back as it is, and another one for what is not valid."""
    server = STEER[0][1 if family == 4 else 2]
    asker, other = ASKERS[family]
    cookie = cookie_of(peer.addresses[0 if family == 4 else 1], PEER_ZONE, asker, CLIENT_COOKIE)
    if len(cookie) != 48:
        return [f"IPv{family}: {peer.name} gave the cookie {cookie!r}"]
    time.sleep(OLDER_S)
    faults = []
    if cookie_of(server, ZONE, asker, cookie) != cookie:
        faults.append(f"IPv{family}: steer does not know {cookie} of {peer.name}")
    if cookie_of(server, ZONE, other, cookie) == cookie:
        faults.append(f"IPv{family}: steer takes {cookie} from another address")
    if cookie_of(server, ZONE, asker, spoilt(cookie)) == spoilt(cookie):
        faults.append(f"IPv{family}: steer takes a spoilt cookie")
    return faults


def taken_by_peer(peer: Peer, family: int) -> list[str]:
    """The peer answers whoever has a cookie of steer's, and says BADCOOKIE to whoever has a bad one."""
    server = peer.addresses[0 if family == 4 else 1]
    asker, other = ASKERS[family]
    cookie = cookie_of(STEER[1][1 if family == 4 else 2], ZONE, asker, CLIENT_COOKIE)
    if len(cookie) != 48:
        return [f"IPv{family}: steer gave the cookie {cookie!r}"]
    faults = []
    for who, sent, wanted in (
        (asker, cookie, "NOERROR"),
        (other, cookie, "BADCOOKIE"),
        (asker, spoilt(cookie), "BADCOOKIE"),
    ):
        found = re.search(r"status: (\w+)", dig(server, PEER_ZONE, who, sent))
        if not found or found[1] != wanted:
            faults.append(
                f"IPv{family}: {peer.name} says {found and found[1]}, not {wanted}, to {sent} from {who}"
            )
    return faults


def cookie_of(server: str, zone: str, asker: str, cookie: str) -> str:
    """The whole cookie in the answer to a question with this one; empty without any."""
    found = re.search(r"^; COOKIE: ([0-9a-f]+)", dig(server, zone, asker, cookie), re.M)
    return found[1] if found else ""


def dig(server: str, zone: str, asker: str, cookie: str) -> str:
    """What dig prints of an answer to one question; a BADCOOKIE is not followed by another."""
    words = [f"+cookie={cookie}", "+nobadcookie", "+norec", "+tries=1", "+time=3"]
    return output(["dig", f"@{server}", "-b", asker, zone, "SOA", *words])


def spoilt(cookie: str) -> str:
    """The cookie with one bit of its hash turned."""
    return f"{cookie[:-1]}{int(cookie[-1], 16) ^ 1:x}"
