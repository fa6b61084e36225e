"""The store survives a kill at every write: real files, and a child process that ends without clean-up."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from steer.errors import Refused
from steer.publish.deployments import KEPT_DEPLOYMENTS, KEPT_OF_ONE_POLICY
from steer.publish.disk import Disk
from steer.publish.store import Store, open_store

POLICY = Path("/srv/steer/policy")
GEODATA = Path("/srv/steer/geodata/city.mmdb")


def contents(text: str) -> dict[Path, bytes]:
    return {POLICY / "steer.yaml": text.encode(), POLICY / "zones" / "a.zone": b"$ORIGIN a.\n" * 3}


def save(store: Store, number: int) -> None:
    store.deployments.save(
        POLICY, contents(f"n: {number}"), [GEODATA], f"policy-{number}", bytes([number]) * 16, float(number)
    )


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path / "state")


def test_a_deployment_comes_back_as_it_was(store: Store) -> None:
    save(store, 7)
    stored = store.deployments.current()
    assert stored is not None
    assert (stored.number, stored.policy_hash, stored.map_identity, stored.saved_s) == (
        1,
        "policy-7",
        b"\7" * 16,
        7.0,
    )
    assert (stored.directory / "steer.yaml").read_bytes() == b"n: 7"
    assert (stored.directory / "zones" / "a.zone").read_bytes() == contents("")[POLICY / "zones" / "a.zone"]
    beside = stored.directory / ".." / "geodata" / "city.mmdb"  # as the policy names it
    assert beside.is_symlink()
    assert beside.readlink() == GEODATA


def test_copies_are_for_the_owner_alone(store: Store) -> None:
    save(store, 1)
    top = store.directory / "deployments"
    files = [path for path in top.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) == 3
    assert {path.stat().st_mode & 0o077 for path in (top, *files)} == {0}


def test_the_last_ten_are_kept_and_the_newest_is_first(store: Store) -> None:
    for number in range(1, 16):
        save(store, number)
    assert [stored.policy_hash for stored in store.deployments.history()] == [
        f"policy-{n}" for n in range(15, 5, -1)
    ]
    assert len(store.deployments.history()) == KEPT_DEPLOYMENTS


def test_maps_of_one_policy_do_not_push_out_the_policies_before(store: Store) -> None:
    for number in range(1, 6):
        save(store, number)
    for hour in range(30):
        store.deployments.save(POLICY, contents("n: 5"), [GEODATA], "policy-5", bytes([99, hour] * 8), 100.0)
    assert [stored.policy_hash for stored in store.deployments.history()] == [
        *["policy-5"] * KEPT_OF_ONE_POLICY,
        *(f"policy-{number}" for number in (4, 3, 2, 1)),
    ]
    current = store.deployments.current()
    assert current is not None
    assert current.map_identity == bytes([99, 29] * 8)


def test_saving_the_current_one_again_writes_nothing(store: Store) -> None:
    save(store, 1)
    before = sorted(store.directory.rglob("*"))
    save(store, 1)
    assert sorted(store.directory.rglob("*")) == before


@pytest.mark.parametrize("name", ["steer.yaml", "zones/a.zone"])
def test_a_changed_copy_is_not_served(store: Store, name: str) -> None:
    save(store, 1)
    save(store, 2)
    second = store.deployments.current()
    assert second is not None
    (second.directory / name).write_bytes(b"")
    found = store.deployments.current()
    assert found is not None
    assert found.policy_hash == "policy-1"


@pytest.mark.parametrize("name", ["current", "deployments/00000002/manifest", "states", "overrides"])
def test_a_file_torn_at_any_byte_counts_as_absent(store: Store, name: str) -> None:
    save(store, 1)
    save(store, 2)
    store.save_states(b"up")
    store.save_overrides(b"forced: []\n")
    path = store.directory / name
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        current = store.deployments.current()
        assert current is not None
        assert current.policy_hash == ("policy-1" if "manifest" in name else "policy-2")
        assert (store.states() == b"") == (name == "states")
        assert (store.overrides() == b"") == (name == "overrides")
    path.write_bytes(whole[:-2] + b"\x00" + whole[-1:])
    current = store.deployments.current()
    assert current is not None
    assert current.policy_hash == ("policy-1" if "manifest" in name else "policy-2")


def test_states_come_back(store: Store) -> None:
    assert store.states() == b""
    store.save_states(b'{"version": 1}')
    assert store.states() == b'{"version": 1}'


def test_files_outside_that_are_gone_are_stood_in_for(store: Store) -> None:
    save(store, 1)
    stored = store.deployments.current()
    assert stored is not None
    directory = store.deployments.restore(stored)
    assert (directory / ".." / "geodata" / "city.mmdb").read_bytes() == b""
    assert (directory / "steer.yaml").read_bytes() == b"n: 1"
    assert store.deployments.current() == stored


def test_a_file_outside_that_is_back_is_used_again(store: Store, tmp_path: Path) -> None:
    database = tmp_path / "city.mmdb"
    store.deployments.save(tmp_path, {tmp_path / "empty": b""}, [database], "policy", b"m" * 16, 1.0)
    (tmp_path / "empty").write_bytes(b"now full")
    stored = store.deployments.current()
    assert stored is not None
    top = tmp_path / "copy"
    assert (store.deployments.copy(stored, top) / "city.mmdb").read_bytes() == b""
    for _ in range(2):
        assert (store.deployments.restore(stored) / "city.mmdb").read_bytes() == b""
    database.write_bytes(b"back")
    assert (store.deployments.restore(stored) / "city.mmdb").read_bytes() == b"back"
    assert (store.deployments.restore(stored) / "empty").read_bytes() == b""
    assert store.deployments.current() == stored


def test_overrides_come_back_and_may_be_emptied(store: Store) -> None:
    assert store.overrides() == b""
    store.save_overrides(b"drained: {fra: {}}\n")
    assert store.overrides() == b"drained: {fra: {}}\n"
    store.save_overrides(b"")
    assert store.overrides() == b""


def test_maps_that_nothing_names_are_removed(store: Store) -> None:
    save(store, 1)
    first, second, third = (f"{bytes([n] * 16).hex()}.map" for n in (1, 2, 3))
    for name in (first, second, third, "notes.txt"):
        (store.maps / name).write_bytes(b"x")
    assert store.remove_unused_maps([b"\3" * 16]) == [second]
    assert {path.name for path in store.maps.iterdir()} == {first, third, "notes.txt"}


def test_a_second_server_is_kept_out(store: Store) -> None:
    with pytest.raises(Refused, match="another steer server"):
        open_store(store.directory)
    store.close()
    open_store(store.directory).close()


def test_a_directory_that_cannot_be_made_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(Refused, match="cannot be used"):
        open_store(tmp_path / "file" / "state")


@pytest.mark.parametrize("path", [Path("relative.yaml"), Path("/srv/../etc/passwd")])
def test_a_copy_never_leaves_the_store(store: Store, path: Path) -> None:
    with pytest.raises(ValueError, match="plain absolute path"):
        store.deployments.save(POLICY, {path: b""}, [], "h", bytes(16), 0.0)


# --- kills ---


class MortalDisk(Disk):
    """Kills its process at the `last`-th operation: before it, or halfway into it where it is a write."""

    def __init__(self, last: int, halfway: bool) -> None:
        self.left, self.halfway = last, halfway

    def step(self) -> bool:
        self.left -= 1
        return self.left < 0

    def die(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    def write(self, path: Path, data: bytes) -> None:
        if self.step():
            if self.halfway:
                path.write_bytes(data[: len(data) // 2])
            self.die()
        super().write(path, data)

    def link(self, path: Path, target: Path) -> None:
        if self.step():
            self.die()
        super().link(path, target)

    def rename(self, source: Path, target: Path) -> None:
        if self.step():
            self.die()
        super().rename(source, target)

    def sync(self, directory: Path) -> None:
        if self.step():
            self.die()
        super().sync(directory)

    def remove(self, path: Path) -> None:
        if self.step():
            if self.halfway and path.is_dir():
                next(file for file in path.rglob("*") if not file.is_dir()).unlink()  # a tree half removed
            self.die()
        super().remove(path)


def killed_at(directory: Path, step: int, halfway: bool) -> bool:
    """Whether a child that makes all kinds of writes was killed at this step (and not past its last)."""
    child = os.fork()
    if child == 0:
        try:
            store = open_store(directory, MortalDisk(step, halfway))
            save(store, 12)
            store.save_states(b"12")
            store.save_overrides(b"twelve: 12\n")
            store.save_zone("cdn.example", b"zone 12")
        finally:
            os._exit(0)
    _, status = os.waitpid(child, 0)
    return os.WIFSIGNALED(status)


@pytest.mark.parametrize("halfway", [False, True])
def test_a_kill_at_any_write_loses_nothing(tmp_path: Path, halfway: bool) -> None:
    store = open_store(tmp_path / "before")
    for number in range(1, 12):
        save(store, number)  # so that the twelfth also removes an old one
    store.save_states(b"11")
    store.save_overrides(b"eleven: 11\n")
    store.save_zone("cdn.example", b"zone 11")
    store.close()
    steps = 0
    seen = set()
    while True:
        directory = tmp_path / f"state-{steps}"
        shutil.copytree(store.directory, directory, symlinks=True)
        killed = killed_at(directory, steps, halfway)
        again = open_store(directory)
        current, states, overrides = again.deployments.current(), again.states(), again.overrides()
        assert current is not None
        assert current.policy_hash in ("policy-11", "policy-12")
        assert (current.directory / "steer.yaml").read_bytes() == f"n: {current.policy_hash[7:]}".encode()
        assert states in (b"11", b"12")
        assert overrides in (b"eleven: 11\n", b"twelve: 12\n")
        assert again.zone("cdn.example") in (b"zone 11", b"zone 12")
        assert not list(directory.rglob(".new-*"))
        seen.add((current.policy_hash, states, overrides))
        save(again, 13)  # and the store goes on
        after = again.deployments.current()
        assert after is not None
        assert after.policy_hash == "policy-13"
        again.close()
        if not killed:
            break
        steps += 1
    assert steps > 20
    assert len(seen) == 4  # a kill before, between and after the three writes


def test_the_copy_of_a_zone_with_a_long_name(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    long = ".".join(["x" * 49] * 5)
    store.save_zone(long, b"long")
    store.save_zone("cdn.example", b"short")
    assert (store.zone(long), store.zone("cdn.example"), store.zone("other.example")) == (
        b"long",
        b"short",
        b"",
    )
    (tmp_path / "zones" / "cdn.example").write_bytes(b"torn")
    assert store.zone("cdn.example") == b""
    assert store.damaged() == ("zones/cdn.example",)
