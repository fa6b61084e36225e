"""What an explaining name says of the decision for its asker.

docs/snapshot_format.md, "An explaining name", has the words. Pure."""

from ipaddress import IPv4Address

from steer.dataplane.reference_choices import ReferenceSnapshot
from steer.dataplane.reference_choose import Chosen
from steer.dataplane.reference_wire import FAMILY_IPV4, Ecs

STRING_BYTES_MAX = 255
IDENTITY_BYTES = 8  # of each part's identity


def explanation(snapshot: ReferenceSnapshot, chosen: Chosen, source: bytes, ecs: Ecs | None) -> bytes:
    """The RDATA of the TXT record: character-strings (RFC 1035 section 3.3.14)."""
    texts = [_client_text(chosen, source, ecs)]
    if chosen.arm_counter is not None:
        texts.append(b"arm " + _text_of(snapshot, chosen.arm_counter))
    rule = b"override" if chosen.rule_counter is None else _text_of(snapshot, chosen.rule_counter)
    identities = [part.identity[:IDENTITY_BYTES].hex() for part in (snapshot.records, snapshot.map)]
    texts += [
        b"rule " + rule,
        b"target " + _text_of(snapshot, chosen.target_counter),
        f"scope {chosen.scope_bits}".encode(),
        f"snapshot {'-'.join(identities)}".encode(),
    ]
    cut = [text[:STRING_BYTES_MAX] for text in texts]
    return b"".join(bytes((len(text),)) + text for text in cut)


def _client_text(chosen: Chosen, source: bytes, ecs: Ecs | None) -> bytes:
    if not chosen.by_ecs or ecs is None:
        return f"client {_address_text(source)}/{8 * len(source)} by resolver".encode()
    address = ecs.address.ljust(4 if ecs.family == FAMILY_IPV4 else 16, b"\0")
    return f"client {_address_text(address)}/{ecs.source_bits} by ecs".encode()


def _address_text(address: bytes) -> str:
    if len(address) == 4:
        return str(IPv4Address(address))
    return ":".join(f"{int.from_bytes(address[start : start + 2], 'big'):x}" for start in range(0, 16, 2))


def _text_of(snapshot: ReferenceSnapshot, counter: int) -> bytes:
    text = snapshot.records.text_of(counter)
    return b"-" if text is None else text
