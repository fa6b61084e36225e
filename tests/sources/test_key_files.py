"""Key files as BIND's tools write and read them; each way in which they can be wrong."""

import base64
import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import dns.dnssec
import dns.name
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from steer.errors import Refused
from steer.model.dnssec import FLAGS_KSK, FLAGS_ZSK, DnssecKey, KeyTimes
from steer.model.policy import Location
from steer.sources.dnssec_fields import with_keys
from steer.sources.key_edit import make_key, remove_key, set_times
from steer.sources.key_files import LARGEST_KEY_COUNT, read_keys, time_of
from steer.sources.reading import Reading
from tests.decide.key_worlds import settings

FIXTURES = Path(__file__).parent / "faults"
APEX = (b"cdn", b"example")
AT = Location("zone.yaml", 3, 9)
TIMES = KeyTimes(1_700_000_000, 1_700_000_001, 1_700_000_002, 1_800_000_000, 1_800_000_001, 1_700_000_003)
needs_bind = pytest.mark.skipif(shutil.which("dnssec-keygen") is None, reason="needs BIND's dnssec-keygen")


def read(directory: Path, **options: bool) -> tuple[tuple[DnssecKey, ...], list[str], list[str]]:
    """(keys, faults, warnings), with paths cut to names."""
    reading = Reading(Path("policy"))
    keys = read_keys(directory, APEX, AT, reading, **options)
    texts = [
        [str(fault).replace(f"{directory}/", "").replace(str(directory), "DIR") for fault in sorted(each)]
        for each in (reading.faults.found, reading.faults.warnings)
    ]
    return keys, texts[0], texts[1]


def run(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


def made(directory: Path, algorithm: int = 13, flags: int = FLAGS_KSK, times: KeyTimes = TIMES) -> DnssecKey:
    return make_key(directory, APEX, algorithm, flags, times, 3600)


# --- other tools' keys, and ours in other tools ---


def test_leading_zeros_that_bind_left_out_are_put_back(tmp_path: Path) -> None:
    number = (1 << 239) + 7  # 30 octets
    point = ec.derive_private_key(number, ec.SECP256R1()).public_key().public_numbers()
    public = base64.b64encode(point.x.to_bytes(32, "big") + point.y.to_bytes(32, "big")).decode()
    record = dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.DNSKEY, f"257 3 13 {public}")
    stem = tmp_path / f"Kcdn.example.+013+{dns.dnssec.key_id(record):05d}"  # type: ignore[arg-type]
    Path(f"{stem}.key").write_text(f"cdn.example. 3600 IN DNSKEY {record.to_text()}\n")
    short = base64.b64encode(number.to_bytes(30, "big")).decode()
    private = Path(f"{stem}.private")
    private.write_text(
        f"Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\nPrivateKey: {short}\n"
        "Created: 20261101000000\nPublish: 20261101000000\nActivate: 20261101000000\n"
    )
    private.chmod(0o600)
    keys, faults, _ = read(tmp_path)
    assert not faults
    assert [key.private for key in keys] == [number.to_bytes(32, "big")]


@needs_bind
@pytest.mark.parametrize("algorithm", [13, 15])
def test_keys_of_dnssec_keygen_are_read(algorithm: int, tmp_path: Path) -> None:
    when = ["-P", "20260101000000", "-A", "20260201000000", "-I", "20270101000000", "-D", "20270201000000"]
    sync = ["-P", "sync", "20260301000000", "-D", "sync", "20270301000000"]
    common: list[str | Path] = ["dnssec-keygen", "-q", "-K", tmp_path, "-a", str(algorithm)]
    stem = run(*common, "-f", "KSK", *when, *sync, "cdn.example").strip()
    run(*common, "-L", "7200", "CDN.example")
    run(*common, "other.example")
    keys, faults, warnings = read(tmp_path)
    assert (faults, warnings) == ([], [])
    assert sorted(key.flags for key in keys) == [FLAGS_ZSK, FLAGS_KSK]
    key = next(key for key in keys if key.is_sep)
    assert key.path == tmp_path / f"{stem}.key"
    assert f"+{key.algorithm:03d}+{key.tag:05d}" in stem
    moments = [time_of(f"{text}000000") for text in ("20260101", "20260201", "20270101", "20270201")]
    assert [key.times.publish_s, key.times.activate_s, key.times.inactive_s, key.times.delete_s] == moments
    assert key.times.sync_publish_s == time_of("20260301000000")
    assert key.times.sync_delete_s == time_of("20270301000000")
    digest = run("dnssec-dsfromkey", "-2", key.path).split("DS", 1)[1].split()
    assert digest == [str(key.tag), str(algorithm), "2", key.ds[4:].hex().upper()]


@needs_bind
@pytest.mark.parametrize("algorithm", [13, 15])
def test_our_keys_are_read_and_changed_by_other_tools(algorithm: int, tmp_path: Path) -> None:
    key = made(tmp_path, algorithm)
    shown = run("dnssec-settime", "-u", "-p", "all", key.path)
    assert re.findall(r"^(Created|Publish|Activate|Inactive|Delete|SYNC \w+): (\d+|UNSET)$", shown, re.M) == [
        ("Created", "1700000000"),
        ("Publish", "1700000001"),
        ("Activate", "1700000002"),
        ("Inactive", "1800000000"),
        ("Delete", "1800000001"),
        ("SYNC Publish", "1700000003"),
        ("SYNC Delete", "UNSET"),
    ]
    run("dnssec-settime", "-I", "20300101000000", "-D", "none", key.path)
    (changed,), faults, warnings = read(tmp_path)
    assert (faults, warnings) == ([], [])
    assert changed == replace(key, times=replace(TIMES, inactive_s=time_of("20300101000000"), delete_s=None))
    digest = run("dnssec-dsfromkey", "-2", key.path).split("DS", 1)[1].split()
    assert digest[3] == key.ds[4:].hex().upper()
    zone = tmp_path / "zone"
    soa = "@ 60 IN SOA ns hostmaster 1 1 1 1 1\n@ 60 IN NS ns\nns 60 IN A 192.0.2.1\n"
    zone.write_text(f"$ORIGIN cdn.example.\n{soa}{key.path.read_text()}")
    run(
        "dnssec-signzone",
        "-q",
        "-z",
        "-K",
        tmp_path,
        "-d",
        tmp_path,
        "-o",
        "cdn.example",
        "-f",
        tmp_path / "out",
        zone,
        key.path,
    )
    run("dnssec-verify", "-q", "-z", "-o", "cdn.example", tmp_path / "out")


@pytest.mark.skipif(shutil.which("ldns-key2ds") is None, reason="needs ldns-key2ds")
@pytest.mark.parametrize("algorithm", [13, 15])
def test_the_ds_is_that_of_ldns(algorithm: int, tmp_path: Path) -> None:
    key = made(tmp_path, algorithm)
    assert run("ldns-key2ds", "-n", "-2", key.path).split()[-1] == key.ds[4:].hex()


@pytest.mark.skipif(shutil.which("keymgr") is None, reason="needs Knot's keymgr")
@pytest.mark.parametrize("algorithm", [13, 15])
def test_our_keys_can_be_taken_to_knot(algorithm: int, tmp_path: Path) -> None:
    key = made(tmp_path, algorithm)
    store = tmp_path / "kasp"
    run("keymgr", "-D", store, "cdn.example.", "import-bind", key.path)
    lines = run("keymgr", "-D", store, "cdn.example.", "ds", str(key.tag))
    assert key.ds[4:].hex() in lines.lower()


@pytest.mark.parametrize("algorithm", [13, 15])
@pytest.mark.parametrize("flags", [FLAGS_ZSK, FLAGS_KSK])
def test_tag_ds_and_cds_are_those_of_dnspython(algorithm: int, flags: int, tmp_path: Path) -> None:
    key = made(tmp_path, algorithm, flags)
    rdata = dns.rdata.from_wire(dns.rdataclass.IN, dns.rdatatype.DNSKEY, key.dnskey, 0, len(key.dnskey))
    assert dns.dnssec.key_id(rdata) == key.tag  # type: ignore[arg-type]
    name = dns.name.from_text("cdn.example.")
    assert dns.dnssec.make_ds(name, rdata, "SHA256").to_wire() == key.ds
    assert dns.dnssec.make_cds(name, rdata, "SHA256").to_wire() == key.ds


# --- made and changed by us ---


def test_what_is_made_is_read_and_its_owners_alone(tmp_path: Path) -> None:
    keys = sorted((made(tmp_path), made(tmp_path, 15, FLAGS_ZSK)), key=lambda key: key.path)
    assert read(tmp_path) == (tuple(keys), [], [])
    for key in keys:
        assert key.path.with_suffix(".private").stat().st_mode & 0o777 == 0o600
        secret = base64.b64encode(key.private).decode()
        assert secret in key.path.with_suffix(".private").read_text()
        assert secret not in repr(key)
        assert repr(key.private) not in repr(key)


def test_times_change_in_both_files_and_other_lines_stay(tmp_path: Path) -> None:
    key = made(tmp_path)
    private = key.path.with_suffix(".private")
    private.write_text(private.read_text() + "Successor: 12345\n")
    private.chmod(0o400)
    key.path.write_text("; kept\n" + key.path.read_text())
    times = KeyTimes(publish_s=5, delete_s=1_900_000_000)
    changed = set_times(key, times)
    assert read(tmp_path) == ((changed,), [], [])
    assert changed == replace(key, times=times)
    assert "Successor: 12345" in private.read_text()
    assert private.stat().st_mode & 0o777 == 0o400
    text = key.path.read_text()
    assert text.startswith("; kept\n")
    assert "; Publish: 19700101000005 (Thu Jan  1 00:00:05 1970)" in text
    assert "Activate" not in text + private.read_text()
    remove_key(changed)
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_left_of_a_write_that_fails(tmp_path: Path) -> None:
    missing = tmp_path / "none"
    with pytest.raises(Refused, match="cannot be written"):
        made(missing)
    key = made(tmp_path)
    key.path.unlink()
    with pytest.raises(Refused, match="no file"):
        set_times(key, KeyTimes())
    assert [path.suffix for path in tmp_path.iterdir()] == [".private"]


# --- wrong ---

PRIVATE_KEY = r"PrivateKey: \S+"


def in_private(old: str, new: str) -> Callable[[DnssecKey], None]:
    return lambda key: _edit(key.path.with_suffix(".private"), old, new)


def in_public(old: str, new: str) -> Callable[[DnssecKey], None]:
    return lambda key: _edit(key.path, old, new)


def _edit(path: Path, old: str, new: str) -> None:
    text, count = re.subn(old, new, path.read_text(), count=1, flags=re.S)
    assert count
    path.write_text(text)


DAMAGES: dict[str, Callable[[DnssecKey], object]] = {
    "public half gone": lambda key: key.path.unlink(),
    "private half gone": lambda key: key.path.with_suffix(".private").unlink(),
    "public half empty": lambda key: key.path.write_bytes(b""),
    "record cut off": in_public(r"DNSKEY 257 .*", "DNSKEY 257 3"),
    "another zone's key": in_public("cdn.example. 3600", "other.example. 3600"),
    "revoked": in_public(" 257 ", " 385 "),
    "not a DNSKEY of a zone": in_public(" 257 3 13 ", " 0 2 8 "),
    "public key too short": in_public(r" 13 \S{8}", " 13 "),
    "public key no base64": in_public(r" 13 \S", " 13 !"),
    "a flag changed": in_public(" 257 ", " 256 "),
    "private half empty": lambda key: key.path.with_suffix(".private").write_bytes(b""),
    "private key cut off within its name": in_private(PRIVATE_KEY + ".*", "Priv"),
    "private key cut off": in_private(r"(PrivateKey: \S{20}).*", r"\1"),
    "private key zero": in_private(PRIVATE_KEY, "PrivateKey: " + "A" * 43 + "="),
    "another private key": in_private(PRIVATE_KEY, "PrivateKey: " + base64.b64encode(b"\7" * 32).decode()),
    "another algorithm": in_private("Algorithm: 13", "Algorithm: 8"),
    "another format": in_private("Private-key-format: v1.3", "Private-key-format: v2.0"),
    "a time too long": in_private("Publish: ", "Publish: 2"),
    "times that are none, and one twice": in_private(r"Activate: \d+", "Activate: 20261324000000\nDelete: x"),
    "to be revoked": in_private("Publish:", "Revoke: 20261124120000\nPublish:"),
    "in hardware": in_private("Algorithm:", "Engine: cGtjczExAA==\nAlgorithm:"),
    "public half too large": lambda key: key.path.write_bytes(bytes(1 << 17)),
    "another tool's algorithm": lambda key: key.path.rename(key.path.parent / "Kcdn.example.+008+00001.key"),
}


def expected_faults() -> dict[str, list[str]]:
    blocks = (FIXTURES / "key_files.txt").read_text(encoding="utf-8").strip().split("\n\n")[1:]
    return {lines[0].removeprefix("- "): lines[1:] for lines in (block.split("\n") for block in blocks)}


FAULTS = expected_faults()


@pytest.mark.parametrize("damage", DAMAGES)
def test_each_damage_is_told_and_does_not_hide_another_key(damage: str, tmp_path: Path) -> None:
    key = made(tmp_path)
    good = made(tmp_path, 15)
    DAMAGES[damage](key)
    keys, found, _ = read(tmp_path)
    assert keys == (good,)
    found = [re.sub(r"the key's tag is \d+", "the key's tag is OTHER", text) for text in found]
    expected = [text.format(stem=key.path.stem, tag=key.tag) for text in FAULTS[damage]]
    assert sorted(found) == sorted(expected)


def test_all_damage_is_told_at_once(tmp_path: Path) -> None:
    for _ in range(3):
        made(tmp_path).path.write_bytes(b"; nothing\n")
    assert len(read(tmp_path)[1]) == 3


def test_no_directory_no_keys_too_many_keys(tmp_path: Path) -> None:
    make = "`steer keys make policy cdn.example` makes keys"
    nowhere = tmp_path / "none"
    assert read(nowhere)[1] == [f"zone.yaml:3:9: no directory `DIR`; {make}"]
    assert read(tmp_path)[1] == [f"zone.yaml:3:9: no key of cdn.example in DIR; {make}"]
    assert read(nowhere, may_be_none=True) == read(tmp_path, may_be_none=True) == ((), [], [])
    for number in range(LARGEST_KEY_COUNT + 1):
        (tmp_path / f"Kcdn.example.+013+{number:05d}.key").touch()
    assert "33 keys of cdn.example in DIR, 32 are taken at most" in read(tmp_path)[1][0]
    (tmp_path / "file").touch()
    assert "cannot be read: Not a directory" in read(tmp_path / "file")[1][0]


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_a_key_that_may_not_be_read(tmp_path: Path) -> None:
    key = made(tmp_path)
    key.path.with_suffix(".private").chmod(0)
    assert "no permission to read" in read(tmp_path)[1][0]


def test_a_key_that_others_may_read_and_comments_that_say_otherwise_are_warnings(tmp_path: Path) -> None:
    key = made(tmp_path)
    private = key.path.with_suffix(".private")
    private.chmod(0o640)
    _edit(key.path, "; Publish: 2023", "; Publish: 2024")
    keys, faults, warnings = read(tmp_path)
    assert (keys, faults) == ((key,), [])
    assert warnings[0].startswith(
        f"{key.path.name}:3:1: `Publish` is not what {private.name} says, which counts; "
    )
    assert warnings[1:] == [f"{private.name}: others than its owner can read this secret; chmod 600 it"]


def test_no_mutation_crashes_the_reader_or_makes_it_show_a_secret(tmp_path: Path) -> None:
    """A private key that can be read is never shown, whatever is wrong around it."""
    chance = random.Random(7)
    key = made(tmp_path)
    private = key.path.with_suffix(".private")
    whole = {path: path.read_bytes() for path in (key.path, private)}
    secret = base64.b64encode(key.private).decode()
    for _ in range(600):
        path = chance.choice([key.path, private])
        data = bytearray(whole[path])
        for _ in range(chance.randint(1, 3)):
            at = chance.randrange(len(data))
            kind = chance.randrange(4)
            if kind == 0:
                data[at] = chance.randrange(256)
            elif kind == 1:
                del data[at : at + chance.randrange(1, 40)]
            elif kind == 2:
                data[at:at] = data[chance.randrange(len(data)) :][: chance.randrange(60)]
            else:
                del data[at:]
            data = data or bytearray(b"x")
        path.write_bytes(data)
        keys, faults, warnings = read(tmp_path)
        assert keys or faults
        shown = " ".join(faults + warnings)
        assert not any(secret[at : at + 12] in shown for at in range(len(secret) - 12))
        path.write_bytes(whole[path])


# --- hashes, and the store's copy ---


def test_hashes_say_when_a_file_changed_but_nothing_of_the_private_key(tmp_path: Path) -> None:
    key = made(tmp_path)
    private = key.path.with_suffix(".private")

    def hashes() -> dict[str, str]:
        reading = Reading(tmp_path)
        read_keys(tmp_path, APEX, AT, reading)
        return {path.suffix: digest for path, digest in reading.hashes.items()}

    before = hashes()
    assert set(before) == {".key", ".private"}
    _edit(private, PRIVATE_KEY, "PrivateKey: " + base64.b64encode(b"\7" * 32).decode())
    assert hashes() == before
    _edit(private, r"Delete: \d+", "Delete: 20990101000000")
    assert hashes()[".private"] != before[".private"]


def test_a_stored_deployment_reads_whole_keys_or_none(tmp_path: Path) -> None:
    found = replace(settings(), keys_directory=tmp_path)
    keys = tuple(sorted((made(tmp_path), made(tmp_path)), key=lambda key: key.path))
    reading = Reading(tmp_path, is_stored=True)
    assert with_keys(found, APEX, AT, reading).keys == keys
    assert len(reading.hashes) == 4
    keys[0].path.unlink()
    reading = Reading(tmp_path, is_stored=True)
    assert with_keys(found, APEX, AT, reading).keys == ()
    assert (reading.hashes, reading.faults.found) == ({}, [])
    assert "this half of a key pair is missing" in reading.faults.warnings[0].wrong
