"""HTTPS and SVCB records of steered names, cut where the chosen addresses go (RFC 9460; DNS-12).

In: RDATA as octets. Out: the pieces around the hints, and RDATA made of them again."""

from dataclasses import dataclass

from steer.model.records import Labels
from steer.publish.names import name_at

KEY_MANDATORY, KEY_IPV4HINT, KEY_IPV6HINT = 0, 4, 6  # SvcParamKeys, RFC 9460 section 14.3.2


@dataclass(frozen=True, slots=True)
class Template:
    """RDATA = before, [ipv4hint], between, [ipv6hint], after; without `hints` it is `before` alone."""

    hints: bool
    before: bytes
    between: bytes = b""
    after: bytes = b""

    def rdata(self, ipv4: tuple[bytes, ...], ipv6: tuple[bytes, ...]) -> bytes:
        """The RDATA that says these addresses, none where there are none."""
        if not self.hints:
            return self.before
        hint_4, hint_6 = _parameter(KEY_IPV4HINT, ipv4), _parameter(KEY_IPV6HINT, ipv6)
        return self.before + hint_4 + self.between + hint_6 + self.after


def template_of(rdata: bytes, owner: Labels) -> Template:
    """The template of one record at a steered name. It has hints in ServiceMode, when the TargetName is the
    owner (written as `.` or in full); those of the zone file are taken out. Raises ValueError for octets that
    are no SVCB RDATA with its SvcParams in rising order of keys."""
    target, position = name_at(rdata, 2)
    if rdata[:2] == b"\0\0" or target not in ((), owner):
        return Template(False, rdata)
    pieces, last = [rdata[:position], b"", b""], -1
    while position < len(rdata):
        key = int.from_bytes(rdata[position : position + 2], "big")
        end = position + 4 + int.from_bytes(rdata[position + 2 : position + 4], "big")
        if end > len(rdata) or key <= last:
            raise ValueError("SvcParams overlap the end, or do not rise")
        if key not in (KEY_IPV4HINT, KEY_IPV6HINT):
            pieces[(key > KEY_IPV4HINT) + (key > KEY_IPV6HINT)] += rdata[position:end]
        position, last = end, key
    return Template(True, *pieces)


def _parameter(key: int, addresses: tuple[bytes, ...]) -> bytes:
    value = b"".join(addresses)
    return key.to_bytes(2, "big") + len(value).to_bytes(2, "big") + value if value else b""
