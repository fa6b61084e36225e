"""Unpacking what comes with steer: once, whole, by several processes at once, or refused with a way out."""

import hashlib
import json
import lzma
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from steer.errors import Refused
from steer.sources.geodata_default import PACKED, default_databases, read_manifest

CONTENT = {"city": b"city " * 400_000, "asn": b"asn " * 300_000}


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """A directory like steer/_geodata, of other content: nothing here looks inside the databases."""
    directory = tmp_path / "packed"
    directory.mkdir()
    manifest = {}
    for name, content in CONTENT.items():
        (directory / f"{name}.mmdb.xz").write_bytes(lzma.compress(content, preset=0))
        digest = hashlib.sha256(content).hexdigest()
        manifest[name] = {"bytes": len(content), "sha256": digest, "vintage": "2026-06-05"}
    (directory / "manifest.json").write_text(json.dumps(manifest))
    return directory


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


def test_both_are_unpacked_and_readable_by_all(packed: Path, tmp_path: Path) -> None:
    cache = tmp_path / "deep" / "cache"
    city, asn = default_databases(cache, packed)
    assert (city.read_bytes(), asn.read_bytes()) == (CONTENT["city"], CONTENT["asn"])
    assert names_in(cache) == sorted([city.name, asn.name]), "nothing else is left behind"
    assert {path.stat().st_mode & 0o777 for path in (city, asn)} == {0o644}


def test_a_second_call_writes_nothing(packed: Path, tmp_path: Path) -> None:
    first = default_databases(tmp_path / "cache", packed)
    before = [path.stat() for path in first]
    for name in CONTENT:
        (packed / f"{name}.mmdb.xz").unlink()
    assert default_databases(tmp_path / "cache", packed) == first
    assert [path.stat().st_ino for path in first] == [stat.st_ino for stat in before]


@pytest.mark.parametrize("damage", [lambda content: content[:-1], lambda content: b"x" + content[1:]])
def test_a_damaged_file_in_the_cache_is_made_anew(
    packed: Path, tmp_path: Path, damage: Callable[[bytes], bytes]
) -> None:
    city, _ = default_databases(tmp_path / "cache", packed)
    city.write_bytes(damage(CONTENT["city"]))
    assert default_databases(tmp_path / "cache", packed)[0] == city
    assert city.read_bytes() == CONTENT["city"]


def test_a_new_version_stands_beside_the_old_one(packed: Path, tmp_path: Path) -> None:
    old, _ = default_databases(tmp_path / "cache", packed)
    content = b"newer"
    (packed / "city.mmdb.xz").write_bytes(lzma.compress(content))
    manifest = json.loads((packed / "manifest.json").read_text())
    manifest["city"] = {"bytes": 5, "sha256": hashlib.sha256(content).hexdigest(), "vintage": "2026-07-01"}
    (packed / "manifest.json").write_text(json.dumps(manifest))
    new, _ = default_databases(tmp_path / "cache", packed)
    assert (old.read_bytes(), new.read_bytes()) == (CONTENT["city"], content)


def unpack(cache: Path, packed: Path, gate: Any) -> None:
    gate.wait()
    for path, content in zip(default_databases(cache, packed), CONTENT.values(), strict=True):
        assert path.read_bytes() == content


def test_several_processes_at_once(packed: Path, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(4)
    cache = tmp_path / "cache"
    processes = [context.Process(target=unpack, args=(cache, packed, gate)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    assert [process.exitcode for process in processes] == [0] * 4
    assert len(names_in(cache)) == 2


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(path.read_bytes()[:-40]),
        lambda path: path.write_bytes(path.read_bytes()[:100]),
        lambda path: path.write_bytes(b"not xz at all"),
        lambda path: path.write_bytes(lzma.compress(b"something else")),
        lambda path: path.write_bytes(lzma.compress(bytes(50 << 20), preset=0)),
    ],
)
def test_a_damaged_package_is_refused_and_leaves_nothing(
    packed: Path, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(packed / "city.mmdb.xz")
    with pytest.raises(Refused, match="install steer again") as refused:
        default_databases(tmp_path / "cache", packed)
    assert str(refused.value).startswith(str(packed / "city.mmdb.xz"))
    assert names_in(tmp_path / "cache") == []


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"city": {}}', '{"city": 1, "asn": 2}', "\x00"])
def test_a_damaged_manifest_is_refused(packed: Path, text: str) -> None:
    (packed / "manifest.json").write_text(text)
    with pytest.raises(Refused, match="manifest"):
        read_manifest(packed)


def test_a_cache_that_cannot_be_written_is_refused_with_a_way_out(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Refused, match="cannot be unpacked into this directory") as refused:
        default_databases(tmp_path / "file" / "cache", packed)
    assert "set XDG_CACHE_HOME" in str(refused.value)


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes where nobody may")
def test_a_read_only_cache_is_refused(packed: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").mkdir(mode=0o500)
    with pytest.raises(Refused, match="Permission denied"):
        default_databases(tmp_path / "cache", packed)


def test_the_cache_is_where_the_user_keeps_caches(
    packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_databases(packed=packed)[0].parent == tmp_path / "xdg" / "steer"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative/counts/as/unset")
    assert default_databases(packed=packed)[0].parent == tmp_path / "home" / ".cache" / "steer"


def test_what_is_packed_is_what_the_manifest_says() -> None:
    raw = json.loads((PACKED / "manifest.json").read_text())
    for name in ("city", "asn"):
        content = (PACKED / f"{name}.mmdb.xz").read_bytes()
        assert hashlib.sha256(content).hexdigest() == raw[name]["compressed_sha256"]
        assert len(content) == raw[name]["compressed_bytes"]
    assert sum(raw[name]["compressed_bytes"] for name in ("city", "asn")) < 11_000_000
