"""The JSON Schemas for editors say what the readers say: same keys, same files taken and refused."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

import steer.sources
from steer.sources import (
    auto_fields,
    beacon_fields,
    change_fields,
    dnssec_fields,
    evidence_fields,
    overrides_file,
    pops_file,
    primary_fields,
    server_settings,
    steer_file,
    zone_file,
    zone_policies,
    zone_rules,
)
from steer.sources.located_yaml import Faults, Node, Scalar, Sequence, parse_yaml
from tests.sources.policy_directory import ROOT, change, copy_example
from tests.sources.test_policy_faults import CASES, Case

SCHEMAS = Path(steer.sources.__file__).parent / "schemas"
KEYS: dict[str, dict[str, Mapping[str, str]]] = {
    "steer.json": {
        "": steer_file.STEER_KEYS,
        "properties/node": steer_file.NODE_KEYS,
        "properties/geodata": steer_file.GEODATA_KEYS,
        "properties/tcp": server_settings.TCP_KEYS,
        "properties/cookies": server_settings.COOKIES_KEYS,
        "properties/rate_limit/oneOf/1": server_settings.RATE_LIMIT_KEYS,
        "properties/identity": server_settings.IDENTITY_KEYS,
        "properties/guard": change_fields.GUARD_KEYS,
        "properties/rollout": change_fields.ROLLOUT_KEYS,
        "properties/evidence": evidence_fields.EVIDENCE_KEYS,
        "$defs/beacon": beacon_fields.BEACON_KEYS,
    },
    "pops.json": {
        "": pops_file.POPS_KEYS,
        "$defs/service": pops_file.SERVICE_KEYS,
        "$defs/addresses": pops_file.ADDRESSES_KEYS,
        "$defs/site": pops_file.POP_KEYS,
        "$defs/pop": pops_file.POP_KEYS,
        "$defs/health": pops_file.HEALTH_KEYS,
    },
    "zone.json": {
        "": zone_file.ZONE_KEYS,
        "$defs/primary": primary_fields.PRIMARY_KEYS,
        "$defs/tsig_key": primary_fields.TSIG_KEY_KEYS,
        "$defs/dnssec": dnssec_fields.DNSSEC_KEYS,
        "$defs/steered_name": zone_file.NAME_KEYS,
        "$defs/test": zone_file.TEST_KEYS,
        "$defs/policy": zone_policies.POLICY_KEYS,
        "$defs/policy/properties/pops": zone_policies.POPS_KEYS,
        "$defs/policy/properties/auto": auto_fields.AUTO_KEYS,
        "$defs/policy/properties/tolerance": auto_fields.TOLERANCE_KEYS,
        "$defs/unit": auto_fields.UNIT_KEYS,
        "$defs/experiment": zone_policies.EXPERIMENT_KEYS,
        "$defs/arm": zone_policies.ARM_KEYS,
        "$defs/rule": zone_rules.RULE_KEYS,
        "$defs/when": zone_rules.WHEN_KEYS,
        "$defs/not": zone_rules.NOT_KEYS,
        "$defs/prefix_item/oneOf/1": zone_rules.PREFIX_FILE_KEYS,
    },
    "overrides.json": {
        "": overrides_file.OVERRIDES_KEYS,
        "$defs/forced": overrides_file.FORCED_KEYS,
        "$defs/drain": overrides_file.DRAIN_KEYS,
    },
}
SCHEMA_OF = {"steer.yaml": "steer.json", "pops.yaml": "pops.json", "overrides.yaml": "overrides.json"}
# wrong for a reason that no schema can see: other files, other places of the same file, or arithmetic
BEYOND_SCHEMAS = re.compile(
    r"""no (?:file|directory|region|policy|experiment|name|service|POP)
`\.` is a directory, not a file
stands? (?:twice|in POP)
is also an address|which the anycast address|has no (?:POP|region)
bits set beyond|no prefix length from|not an address prefix|longer than /64
holds every IPv4|IPv4 inside IPv6|6to4
not a key of 16 bytes
no whole number of periods|too many periods|is below `compact_after`|stands in no POP|does not announce
override could end as it starts|`wins` of|nothing is certain|is not below validity|signatures are valid for
out of the range|not a whole number of seconds|is not below interval|suspects the observer
cannot be reached|not an IP(?:v[46])? address|not an address and port|port `
names no host|has a user name|is not a URL
country's code
no single server|a primary stands twice|base64
sticky policy|gives addresses here|explain themselves|explains names
is an address|not written in full|every weight is 0|add up to
written in full|equals the one|cannot be a (?:name|zone|host|user's name)
is in no zone served here|cannot be the beacon's name|lacks `{label}\.
`location` is missing|`not` in `not`
alias|tag|merge keys|a text that starts
`012`|`3\.0`""".replace("\n", "|")
)


def schema(name: str) -> Any:
    return json.loads((SCHEMAS / name).read_text(encoding="utf-8"))


def as_json(node: Node) -> Any:
    """A node as an editor's YAML 1.2 parser has it."""
    if isinstance(node, Sequence):
        return [as_json(item) for item in node.items]
    if not isinstance(node, Scalar):
        return {key: as_json(value) for key, (_, value) in node.entries.items()}
    if node.is_empty:
        return None
    if node.plain and node.text in ("true", "false"):
        return node.text == "true"
    if node.plain and re.fullmatch(r"-?[0-9]+", node.text):
        return int(node.text)
    if node.plain and re.fullmatch(r"-?[0-9]+\.[0-9]+", node.text):
        return float(node.text)
    return node.text


def read(path: Path) -> Any:
    faults = Faults()
    node = parse_yaml(path.read_bytes(), str(path), faults)
    assert node is not None
    return as_json(node)


def errors(path: Path) -> list[str]:
    validator = Draft202012Validator(schema(SCHEMA_OF.get(path.name, "zone.json")))
    return [error.message for error in validator.iter_errors(read(path))]


@pytest.mark.parametrize("name", sorted(KEYS))
def test_a_schema_is_one_of_its_draft(name: str) -> None:
    Draft202012Validator.check_schema(schema(name))
    assert schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize(("name", "pointer"), [(name, pointer) for name in KEYS for pointer in KEYS[name]])
def test_a_mapping_has_the_same_keys_in_schema_and_reader(name: str, pointer: str) -> None:
    place = schema(name)
    for step in pointer.split("/") if pointer else ():
        place = place[int(step)] if isinstance(place, list) else place[step]
    assert set(place["properties"]) == set(KEYS[name][pointer])
    assert place["additionalProperties"] is False


def test_no_mapping_of_a_schema_is_left_out() -> None:
    def closed(place: Any) -> int:
        if isinstance(place, list):
            return sum(closed(item) for item in place)
        if not isinstance(place, dict):
            return 0
        return (place.get("additionalProperties") is False) + sum(closed(value) for value in place.values())

    assert {name: closed(schema(name)) for name in KEYS} == {
        name: len(places) for name, places in KEYS.items()
    }


@pytest.mark.parametrize("path", sorted((ROOT / "policies").glob("*/*.yaml")), ids=lambda path: path.name)
def test_every_file_under_policies_passes(path: Path) -> None:
    assert errors(path) == []


@pytest.mark.parametrize(
    "case",
    [case for case in CASES if not all(BEYOND_SCHEMAS.search(fault) for fault in case.faults)],
    ids=lambda case: f"{case.file}-{case.new!r}"[:60],
)
def test_what_the_reader_refuses_by_form_the_schema_refuses(case: Case, tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, case.file, case.old, case.new)
    assert errors(directory / case.file) != []


def test_overrides() -> None:
    validator = Draft202012Validator(schema("overrides.json"))
    line = {"scope": "all", "target": "pop:fra", "until": "2026-11-24T10:00:00Z", "reason": "x"}
    assert list(validator.iter_errors({"forced": [line], "drains": [{"pop": "fra", "reason": "x"}]})) == []
    assert list(validator.iter_errors({"forced": None})) == []
    assert list(validator.iter_errors({"forced": [{**line, "target": "nearest"}]})) != []
    assert list(validator.iter_errors({"drains": [{"pop": "fra"}]})) != []


@pytest.mark.parametrize(("name", "pointer"), [(name, pointer) for name in KEYS for pointer in KEYS[name]])
def test_the_examples_in_messages_fit_the_schema(name: str, pointer: str) -> None:
    root = schema(name)
    place = root
    for step in pointer.split("/") if pointer else ():
        place = place[int(step)] if isinstance(place, list) else place[step]
    for key, example in KEYS[name][pointer].items():
        node = parse_yaml(f"{key}: {example}".encode(), "example", Faults())
        assert node is not None
        value = as_json(node)[key]
        part = {"$defs": root["$defs"], **place["properties"][key]}
        assert list(Draft202012Validator(part).iter_errors(value)) == [], (key, example)
