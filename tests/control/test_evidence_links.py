"""A stored deployment still finds its files of evidence, which its copy links to."""

from pathlib import Path

import pytest

from steer.control.inputs import read_inputs
from steer.publish.store import open_store
from steer.sources.measurement_files import find_files

EXAMPLE = Path(__file__).parents[2] / "policies" / "example"
HEAD = "time,client,target,pop,rtt_ms\n"


def policy(place: Path, evidence: str) -> Path:
    directory = place / "policy"
    directory.mkdir()
    for file in EXAMPLE.iterdir():
        (directory / file.name).write_bytes(file.read_bytes())
    steer = directory / "steer.yaml"
    steer.write_text(f"{steer.read_text()}\nevidence: {{files: {evidence}}}\n")
    return directory


@pytest.mark.parametrize(
    ("evidence", "linked"),
    [
        ("[../measured]", ["measured"]),
        ("[../measured/one.csv]", ["measured/one.csv"]),
        ("[../measured/one.csv, ../measured]", ["measured"]),
        ("[own]", ["policy/own"]),
        ("[.]", []),
    ],
)
def test_a_stored_deployment_finds_its_files_of_evidence(
    tmp_path: Path, evidence: str, linked: list[str]
) -> None:
    directory = policy(tmp_path, evidence)
    for place in (tmp_path / "measured", directory / "own"):
        place.mkdir()
        (place / "one.csv").write_text(HEAD)
    inputs = read_inputs(directory)
    assert list(inputs.evidence) == [tmp_path / path for path in linked]
    store = open_store(tmp_path / "state")
    stored = store.deployments.save(
        directory, inputs.contents, (*inputs.outside, *inputs.evidence), "hash", b"i" * 16, 0.0
    )
    again = read_inputs(store.deployments.restore(stored), is_stored=True).deployment
    found = [path.name for path in find_files(again.evidence.files)]
    assert found == (["one.csv"] if linked else [])
    store.close()
