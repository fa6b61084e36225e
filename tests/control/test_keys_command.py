"""`steer keys` as an operator types it, with and without a server that runs; and where keys are kept."""

import json
import os
import re
import shutil
import time
from pathlib import Path
from unittest import mock

import dns.rdatatype
import pytest

from steer.control.inputs import read_inputs
from steer.control.keys_command import open_zone, open_zones
from steer.errors import Refused
from steer.model.dnssec import FLAGS_ZSK, KeyTimes
from steer.publish.store import open_store
from steer.sources.key_edit import make_key
from tests.control.cdn import TOKYO, Cdn, Said, Server, wait_for

START_S = 1_795_500_000
DAY_S = 86_400


class Operator:
    """Types commands at a time of our choice."""

    def __init__(self, cdn: Cdn) -> None:
        self.cdn, self.now_s = cdn, START_S

    def keys(self, command: str, *others: str, zone: str | None = "cdn.example") -> Said:
        where = [str(self.cdn.directory), *([zone] if zone else [])]
        with mock.patch("steer.cli.time.time", return_value=float(self.now_s)):
            return self.cdn.command("keys", command, *where, *others)

    def good(self, command: str, *others: str) -> str:
        said = self.keys(command, *others)
        assert (said.returncode, said.stderr) == (0, ""), said
        return said.stdout

    def refused(self, command: str, *others: str) -> str:
        said = self.keys(command, *others)
        assert (said.returncode, said.stdout) == (1, "")
        assert "Traceback" not in said.stderr
        return said.stderr

    def listed(self) -> dict[int, str]:
        """Tag -> role and state."""
        (zone,) = json.loads(self.good("list", "--json"))
        return {key["tag"]: f"{key['role']}: {key['state']}" for key in zone["keys"]}


@pytest.fixture
def operator(cdn: Cdn) -> Operator:
    """Of a zone that says `dnssec: {}`."""
    sign(cdn)
    return Operator(cdn)


def sign(cdn: Cdn, settings: str = "{}") -> None:
    cdn.write("cdn.example.yaml", cdn.zone().replace("names:", f"dnssec: {settings}\nnames:"))


def test_from_the_first_key_to_the_next_one(operator: Operator) -> None:
    made = operator.good("make")
    tag = int(re.findall(r"\(CSK (\d+)\)", made)[0])
    assert "give the DS to the parent from 2026-11-24 08:05:00 UTC on" in made
    assert operator.listed() == {tag: "CSK: published, signs DNSKEY and the zone"}
    assert f"copy {operator.cdn.directory}/keys to the other nameservers of the zone within 5m" in made
    ds = operator.good("ds", "--early")
    record = rf"cdn\.example\. IN DS {tag} 13 2 [0-9A-F]{{64}}"
    assert re.search(rf"^; not before .*\n{record}$", ds, re.M)
    not_yet = operator.keys("ds")
    assert (not_yet.returncode, not_yet.stderr) == (1, "")
    assert re.search(rf"^; not before .*\n; not yet: {record}$", not_yet.stdout, re.M)
    assert all(line.startswith(";") for line in not_yet.stdout.splitlines())
    where = f"{operator.cdn.directory} cdn.example"
    refused = operator.refused("roll")
    assert f"the DS of {tag} belongs at no parent before 2026-11-24 08:05:00 UTC" in refused
    assert f"say `steer keys make {where}`" in refused
    assert operator.refused("roll", "--algorithm", "ed25519") == refused
    operator.now_s += DAY_S
    assert operator.listed() == {tag: "CSK: published, signs DNSKEY and the zone, in CDS"}
    assert operator.good("ds").endswith(f"; CDS and CDNSKEY say now: {tag}\n")
    assert operator.good("ds").startswith("cdn.example. IN DS")
    assert operator.good("ds-seen", str(tag)) == "nothing is to be changed\n"
    operator.now_s += DAY_S
    rolled = operator.good("roll")
    new = int(re.findall(r"\(CSK (\d+)\)", rolled)[0])
    assert f"has it: `steer keys ds-seen {where} {new}`" in rolled
    assert "to the other nameservers of the zone within 5m" in rolled
    assert f"then say `steer keys ds-seen {where} {new}`" in operator.good("list")
    assert "; not yet: " in operator.good("ds"), "the old DS is there"
    early = operator.refused("ds-seen", str(new))
    allowed = "2026-11-26 07:05:00 UTC"
    assert f"too early: before {allowed}" in early
    assert "to do from" in operator.good("list")
    operator.now_s += 3_900
    told = operator.good("ds-seen", str(new), "--ds-ttl", "2d")
    assert f"key {tag} leaves DNSKEY at 2026-11-28 09:15:00 UTC" in told
    assert operator.listed() == {
        tag: "CSK: published, signs DNSKEY and the zone",
        new: "CSK: published, signs DNSKEY, in CDS",
    }
    assert operator.good("delete-old") == "no key is past its time\n"
    operator.now_s += 2 * DAY_S + 300
    assert operator.listed()[tag] == "CSK: published, signs no more"
    operator.now_s += 2 * 3_600 + 300
    assert operator.listed()[tag] == "CSK: over"
    assert f"removes the files of {tag}" in operator.good("list")
    operator.good("delete-old")
    assert operator.listed() == {new: "CSK: published, signs DNSKEY and the zone, in CDS"}
    assert len(list((operator.cdn.directory / "keys").iterdir())) == 2


def test_split_keys_and_a_roll_of_the_zsk(operator: Operator) -> None:
    made = operator.good("make", "--split", "--algorithm", "ed25519")
    assert re.findall(r"\((\w+) \d+\)", made) == ["KSK", "ZSK"]
    operator.now_s += DAY_S
    rolled = operator.good("roll", "--zsk")
    assert "nothing more is to be done" in rolled
    assert sorted(operator.listed().values()) == [
        "KSK: published, signs DNSKEY, in CDS",
        "ZSK: published, does not sign",
        "ZSK: published, signs the zone",
    ]
    operator.now_s += DAY_S
    operator.good("delete-old")
    assert sorted(operator.listed().values()) == [
        "KSK: published, signs DNSKEY, in CDS",
        "ZSK: published, signs the zone",
    ]
    assert "the new keys enter DNSKEY at" in operator.good("roll", "--algorithm", "ecdsap256sha256")
    assert len(operator.listed()) == 4


def test_a_zone_that_is_not_signed_yet(cdn: Cdn) -> None:
    operator = Operator(cdn)
    assert operator.keys("list", zone=None).stdout == "cdn.example: no keys\n"
    assert "is not signed; add `dnssec: {}` first" in operator.refused("ds")
    assert "add the line `dnssec: {}` to" in operator.good("make")
    assert "not signed" in operator.good("list")


def test_the_wrong_zone_the_wrong_words(operator: Operator) -> None:
    assert (
        "no zone `cdn.exmple`; did you mean `cdn.example`?" in operator.keys("list", zone="cdn.exmple").stderr
    )
    for wrong in (
        ["nonsense"],
        ["ds-seen", "x", "y", "z"],
        ["roll", "d", "z", "--zsk", "--split"],
        ["make", "d", "z", "--algorithm", "rsasha256"],
        [],
    ):
        with pytest.raises(SystemExit) as ended:
            operator.cdn.command("keys", *wrong)
        assert ended.value.code == 2
    with pytest.raises(SystemExit):
        operator.keys("ds-seen", "1", "--ds-ttl", "90")
    operator.cdn.write("steer.yaml", "node: [\n")
    assert "steer.yaml:2:1" in operator.refused("list")


def test_no_key_is_made_twice_or_taken_for_another(operator: Operator) -> None:
    operator.good("make")
    assert "there are keys already" in operator.refused("make")
    keys = operator.cdn.directory / "keys"
    before = {path: path.read_bytes() for path in keys.iterdir()}
    (private,) = keys.glob("*.private")
    private.write_bytes(b"")
    for command in ("list", "ds", "roll", "make", "delete-old"):
        assert f"{private}: no `Private-key-format: v1.3`" in operator.keys(command).stderr
    assert {path: path.read_bytes() for path in keys.iterdir()} == {**before, private: b""}


def test_the_longest_ttl_counts_and_where_a_primary_has_the_data_it_is_asked_for(operator: Operator) -> None:
    zone = operator.cdn.directory / "cdn.example.zone"
    zone.write_text(zone.read_text() + "long 604800 TXT x\n")
    assert "from 2026-12-01 07:05:00 UTC on" in operator.good("make")
    text = operator.cdn.zone().replace(
        "zonefile: cdn.example.zone", "primary: {address: 192.0.2.53}\ndnssec: {}"
    )
    operator.cdn.write("cdn.example.yaml", text)
    operator.now_s += 8 * DAY_S
    assert "`--longest-ttl 1d`" in operator.refused("roll")
    operator.good("roll", "--longest-ttl", "1d")


def test_root_makes_keys_for_the_user_who_serves(operator: Operator) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root gives files away")
    os.chown(operator.cdn.directory, 12_345, 12_346)
    operator.good("make")
    for path in (operator.cdn.directory / "keys", *(operator.cdn.directory / "keys").iterdir()):
        assert (path.stat().st_uid, path.stat().st_gid) == (12_345, 12_346)
    operator.now_s += DAY_S
    operator.cdn.write("steer.yaml", operator.cdn.steer("user", "no-such-user"))
    assert "no user `no-such-user`" in operator.refused("roll")


def test_keys_are_never_in_the_store(operator: Operator) -> None:
    operator.now_s = int(time.time()) - DAY_S
    operator.good("make")
    keys = operator.cdn.directory / "keys"
    inputs = read_inputs(operator.cdn.directory)
    assert not [path for path in inputs.contents if keys in path.parents]
    assert keys in inputs.outside
    assert set(inputs.deployment.files) >= set(keys.iterdir())
    store = open_store(operator.cdn.state)
    store.deployments.save(
        operator.cdn.directory, inputs.contents, inputs.outside, inputs.deployment.policy_hash, bytes(16), 1.0
    )
    secret = next(keys.glob("*.private")).read_bytes()
    kept = [path for path in operator.cdn.state.rglob("*") if path.is_file() and not path.is_symlink()]
    assert kept
    assert not [path for path in kept if secret in path.read_bytes()]
    stored = store.deployments.current()
    assert stored is not None
    again = read_inputs(store.deployments.restore(stored), is_stored=True)
    assert again.deployment.policy_hash == inputs.deployment.policy_hash
    assert again.deployment.zones[0].dnssec is not None
    assert len(again.deployment.zones[0].dnssec.keys) == 1

    shutil.move(keys, operator.cdn.top / "elsewhere")
    gone = read_inputs(store.deployments.restore(stored), is_stored=True)
    assert gone.deployment.zones[0].dnssec is not None
    assert gone.deployment.zones[0].dnssec.keys == ()
    with pytest.raises(Refused, match="no directory"):
        read_inputs(operator.cdn.directory)
    shutil.move(operator.cdn.top / "elsewhere", keys)
    back = read_inputs(store.deployments.restore(stored), is_stored=True)
    assert back.deployment.policy_hash == inputs.deployment.policy_hash
    store.close()


def test_expired_keys_and_a_clock_that_jumped_are_refused_on_reading(operator: Operator) -> None:
    operator.now_s = 4_000_000_000
    operator.good("make")
    with pytest.raises(Refused, match="but the clock says"):
        read_inputs(operator.cdn.directory)


def test_a_directory_of_keys_holds_nothing_else(operator: Operator) -> None:
    operator.good("make")
    sign(operator.cdn, "{keys: .}")
    for path in (operator.cdn.directory / "keys").iterdir():
        shutil.copy(path, operator.cdn.directory)
    with pytest.raises(Refused, match="stands in the directory of the keys"):
        read_inputs(operator.cdn.directory)
    with pytest.raises(Refused, match="no zone"):
        open_zone(operator.cdn.directory, "example")


# --- beside a server ---


def test_a_running_server_publishes_a_key_when_its_time_comes(cdn: Cdn) -> None:
    sign(cdn)
    assert cdn.command("keys", "make", str(cdn.directory), "cdn.example").returncode == 0
    (zone,) = open_zones(cdn.directory)
    begin_s = int(time.time()) + 8
    times = KeyTimes(created_s=begin_s, publish_s=begin_s, activate_s=begin_s + DAY_S)
    new = make_key(zone.settings.keys_directory, (b"cdn", b"example"), 13, FLAGS_ZSK, times, 60)
    server = cdn.serve()
    seen = [len(dnskeys(server))]
    assert time.time() >= begin_s or seen == [1]
    wait_for(lambda: len(dnskeys(server)) == 2, "a key whose time has come")
    assert time.time() >= begin_s
    assert any(text.startswith("256 3 13") for text in dnskeys(server)), new.tag


def dnskeys(server: Server) -> set[str]:
    """DNSKEY as a resolver gets it."""
    answer = server.reply(TOKYO, "cdn.example", "DNSKEY").answer
    return {str(rdata) for rrset in answer if rrset.rdtype == dns.rdatatype.DNSKEY for rdata in rrset}


def test_a_running_server_takes_a_roll_up_by_itself(cdn: Cdn) -> None:
    sign(cdn)
    where = (str(cdn.directory), "cdn.example")
    cdn.make_old_keys()
    server = cdn.serve()
    (first,) = dnskeys(server)
    assert cdn.command("keys", "roll", *where).returncode == 0
    wait_for(lambda: len(dnskeys(server)) == 2, "the successor in DNSKEY")
    assert first in dnskeys(server)
    private = next(path for path in (cdn.directory / "keys").glob("*.private"))
    whole = private.read_bytes()
    private.unlink()
    wait_for(lambda: server.state["pending"], "the refusal of half a key pair")
    assert len(dnskeys(server)) == 2, "the last good keys serve on"
    private.write_bytes(whole)
    private.chmod(0o600)
    wait_for(lambda: not server.state["pending"], "the end of the refusal")
    assert Path(cdn.directory / "keys").stat().st_mode & 0o777 == 0o755
