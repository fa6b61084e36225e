"""From a browser to the spool, with nothing stood in for: the demo's POPs and site, `steer serve`, Chromium,
and a resolver that asks for the view's own name from a public address."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.control.cdn import Cdn
from tests.lab.chromium import needs_chromium
from tests.lab.demo_directory import copy_demo


@pytest.fixture
def _tools() -> None:
    needs_chromium()
    if shutil.which("dig") is None:
        pytest.skip("no dig (scripts/install-test-tools.sh installs it)")
    if subprocess.run(["unshare", "--net", "ip", "link", "set", "lo", "up"], capture_output=True).returncode:
        pytest.skip("no network namespace can be made here (that takes root)")


@pytest.mark.usefixtures("_tools")
def test_a_haul_is_seen_and_its_resolver_is_known(tmp_path: Path) -> None:
    directory = copy_demo(tmp_path)
    writer = Cdn(tmp_path, {})
    writer.write_city()
    writer.write_asn()
    with (directory / "steer.yaml").open("a") as file:
        file.write("geodata: {city: ../geodata/city.mmdb, asn: ../geodata/asn.mmdb}\n")
        file.write(f"state_directory: {tmp_path / 'state'}\n")
    command = [sys.executable, "-m", "tests.lab.beacon_in_namespace", str(directory), "osaka", "fra"]
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run(
        ["unshare", "--net", *command], capture_output=True, text=True, timeout=200, env=environment
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    rows = {row["target"]: row for row in found["rows"]}
    assert rows["anycast"]["pop"] == "fra"
    assert rows["region:asiapacific"]["pop"] == "nrt"
    assert rows["anycast"]["rtt_ms"] > rows["pop:nrt"]["rtt_ms"] + 50
    assert {row["client"] for row in rows.values()} == {"133.1.0.0/24"}
    assert {row["resolver"] for row in rows.values()} == {"193.0.6.0/24"}
    assert "5 targets measured from osaka" in found["shown"]
