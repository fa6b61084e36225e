"""The zones around steer's: root, `example.`, `arpa.`, and what the hosting server holds; most are signed."""

from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from conformance.addresses import AS_OF_ADDRESS, HOSTING, ROOT, STEER, TLD, ZONE
from conformance.daemons import run

HEAD = """$TTL 3600
{apex} SOA {server} hostmaster.elsewhere.example. 2026112401 14400 3600 1209600 300
{apex} NS {server}
"""
Host = tuple[str, str, str]  # name, IPv4, IPv6


@dataclass(frozen=True, slots=True)
class SignedZone:
    """A zone file ready to be served. `ds`: for the parent; `dnskey`: as trust anchor; zone lines, both."""

    apex: str
    file: Path
    ds: str
    dnskey: str


def sign(directory: Path, apex: str, text: str) -> SignedZone:
    """Write a zone and sign it with a fresh P-256 key that signs everything (a CSK)."""
    file = write(directory, apex, text)
    key = run(
        ["dnssec-keygen", "-q", "-K", str(directory), "-a", "ECDSAP256SHA256", "-f", "KSK", apex]
    ).strip()
    signed = file.with_suffix(".signed")
    signing = ["dnssec-signzone", "-q", "-S", "-z", "-K", str(directory), "-d", str(directory)]
    run([*signing, "-o", apex, "-f", str(signed), str(file)])
    lines = (directory / f"{key}.key").read_text().splitlines()
    dnskey = next(line for line in lines if not line.startswith(";"))
    return SignedZone(apex, signed, run(["dnssec-dsfromkey", "-2", str(directory / f"{key}.key")]), dnskey)


def write(directory: Path, apex: str, text: str) -> Path:
    """Write a zone file that is served as it is."""
    file = directory / f"{apex.rstrip('.') or 'root'}.zone"
    file.write_text(text)
    return file


def root_text(delegations: Sequence[SignedZone]) -> str:
    """The root: itself, and what it delegates to the TLD server."""
    lines = [HEAD.format(apex=".", server=ROOT[0]), glue(ROOT), glue(TLD)]
    lines += [f"{zone.apex} NS {TLD[0]}\n{zone.ds}" for zone in delegations]
    return "".join(lines)


def example_text(steer_ds: str, elsewhere: SignedZone) -> str:
    """`example.`: the delegation to steer, with glue, and those to the hosting server."""
    lines = [HEAD.format(apex="example.", server=TLD[0]), glue(TLD), glue(HOSTING), *map(glue, STEER)]
    lines += [f"{ZONE} NS {name}\n" for name, *_ in STEER]
    lines += [
        steer_ds,
        f"elsewhere.example. NS {HOSTING[0]}\n",
        elsewhere.ds,
        f"asn.example. NS {HOSTING[0]}\n",
    ]
    return "".join(lines)


def arpa_text(hosts: Sequence[Host]) -> str:
    """`arpa.`: both reverse trees, in one zone."""
    lines = [HEAD.format(apex="arpa.", server=TLD[0])]
    for name, *addresses in hosts:
        lines += [f"{ip_address(address).reverse_pointer}. PTR {name}\n" for address in addresses]
    return "".join(lines)


def elsewhere_text() -> str:
    """`elsewhere.example.`: a CDN's other half, and the end of an alias."""
    head = HEAD.format(apex="elsewhere.example.", server=HOSTING[0])
    return (
        head + glue(HOSTING) + "www.elsewhere.example. A 45.14.1.80\nedge.elsewhere.example. A 45.14.1.81\n"
    )


def asn_text() -> str:
    """`asn.example.`: which network an address is in, in the form that Zonemaster asks for."""
    lines = [HEAD.format(apex="asn.example.", server=HOSTING[0])]
    for address, number in AS_OF_ADDRESS.items():
        reverse, _, family = ip_address(address).reverse_pointer.removesuffix(".arpa").rpartition(".")
        origin = "origin" if family == "in-addr" else "origin6"
        prefix = f"{address}/{32 if family == 'in-addr' else 128}"
        lines.append(f'{reverse}.{origin}.asn.example. TXT "{number} | {prefix} | ZZ | none | 2026-11-24"\n')
    return "".join(lines)


def child_text(label: str) -> str:
    """A zone below steer's, served by the hosting server."""
    apex, server = f"{label}.{ZONE}", f"ns.{label}.{ZONE}"
    head = HEAD.format(apex=apex, server=server)
    return f"{head}{apex} NS {HOSTING[0]}\n{glue((server, *HOSTING[1:]))}www.{apex} A 45.14.1.90\n"


def glue(host: Host) -> str:
    """Both addresses of a host, as zone lines."""
    name, ipv4, ipv6 = host
    return f"{name} A {ipv4}\n{name} AAAA {ipv6}\n"
