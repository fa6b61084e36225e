"""DNS cookies (RFC 7873), made and checked as servers of all makes share them (RFC 9018).

Whoever shows a cookie that we made has had a reply of ours at its address. Pure: time is an argument."""

from collections.abc import Sequence
from dataclasses import dataclass

from steer.model.hashing import siphash24

CLIENT_BYTES, SERVER_BYTES = 8, 16
FOREIGN_SERVER_BYTES = range(8, 33)  # RFC 7873 section 4.2: what other servers may have made
VERSION = 1  # RFC 9018 section 4.1
OLDEST_S, FUTURE_S, RENEWED_AFTER_S = 3600, 300, 1800  # RFC 9018 section 4.3
_WRAP_S = 1 << 32


@dataclass(frozen=True, slots=True)
class Cookie:
    """A well-formed COOKIE option of a query. `server`: empty where none was sent."""

    client: bytes
    server: bytes


def read_cookie(data: bytes) -> Cookie | None:
    """The option's data; None where it has neither 8 nor 16 to 40 octets (RFC 7873 section 5.2.2)."""
    client, server = data[:CLIENT_BYTES], data[CLIENT_BYTES:]
    if len(client) < CLIENT_BYTES or (server and len(server) not in FOREIGN_SERVER_BYTES):
        return None
    return Cookie(client, server)


def is_valid(cookie: Cookie, secrets: Sequence[bytes], source: bytes, now_s: int) -> bool:
    """Whether one of the secrets made the server cookie, for this source of 4 or 16 octets, not long ago."""
    if len(cookie.server) != SERVER_BYTES or cookie.server[0] != VERSION:
        return False
    if not -FUTURE_S <= _age_s(cookie, now_s) <= OLDEST_S:
        return False
    return any(
        cookie.server == _server_cookie(cookie, cookie.server[:8], secret, source) for secret in secrets
    )


def reply_cookie(cookie: Cookie, secrets: Sequence[bytes], source: bytes, now_s: int) -> bytes:
    """The option's data in a reply: the client's cookie, then the server's: the one that was sent while it is
    young and of the first secret, else a fresh one. `secrets`: at least one."""
    is_young = is_valid(cookie, secrets[:1], source, now_s) and _age_s(cookie, now_s) <= RENEWED_AFTER_S
    if is_young:
        return cookie.client + cookie.server
    head = bytes((VERSION, 0, 0, 0)) + (now_s % _WRAP_S).to_bytes(4, "big")
    return cookie.client + _server_cookie(cookie, head, secrets[0], source)


def _server_cookie(cookie: Cookie, head: bytes, secret: bytes, source: bytes) -> bytes:
    """RFC 9018 section 4.4. `head`: version, reserved octets, time."""
    return head + siphash24(secret, cookie.client + head + source).to_bytes(8, "little")


def _age_s(cookie: Cookie, now_s: int) -> int:
    """How old a server cookie says it is, -2^31 <= age < 2^31: serial numbers (RFC 1982)."""
    age_s = (now_s - int.from_bytes(cookie.server[4:8], "big")) % _WRAP_S
    return age_s - _WRAP_S if age_s >= _WRAP_S // 2 else age_s
