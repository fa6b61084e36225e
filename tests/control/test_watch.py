"""A change is reported once, after it is quiet; both ways of changing a file are seen."""

from pathlib import Path

import pytest

from steer.control.watch import QuietWatch, Signature, signatures

FILE, OTHER = Path("/p/steer.yaml"), Path("/p/other")


def at(size: int) -> Signature:
    return Signature(1, 1, size, 1, 1)


def test_a_change_is_reported_once_and_only_when_quiet() -> None:
    watch = QuietWatch({FILE: at(1)})
    looks = [at(1), at(2), at(3), at(3), at(3)]
    reported = [watch.changed({FILE: look}) for look in looks]
    assert reported == [frozenset(), frozenset(), frozenset(), {FILE}, frozenset()]


def test_a_change_taken_back_before_it_is_quiet_is_none() -> None:
    watch = QuietWatch({FILE: at(1)})
    assert not any(watch.changed({FILE: look}) for look in (at(2), at(1), at(1)))


def test_files_that_come_and_go_are_changes() -> None:
    watch = QuietWatch({FILE: at(1)})
    for seen in ({FILE: at(1), OTHER: at(1)}, {OTHER: at(1)}):
        assert not watch.changed(seen)
        assert watch.changed(seen) == seen.keys() ^ watch_before(seen)


def watch_before(seen: dict[Path, Signature]) -> set[Path]:
    return {FILE} if FILE in seen else {FILE, OTHER}


def test_movement_elsewhere_delays_the_report() -> None:
    watch = QuietWatch({FILE: at(1), OTHER: at(1)})
    assert not watch.changed({FILE: at(2), OTHER: at(2)})
    assert not watch.changed({FILE: at(2), OTHER: at(3)})
    assert watch.changed({FILE: at(2), OTHER: at(3)}) == {FILE, OTHER}


def test_what_is_taken_up_is_not_reported() -> None:
    watch = QuietWatch({FILE: at(1)})
    watch.take_up({FILE: at(2)})
    assert not any(watch.changed({FILE: at(2)}) for _ in range(3))


@pytest.mark.parametrize("how", ["in place", "replace", "same size"])
def test_real_changes_change_the_signature(tmp_path: Path, how: str) -> None:
    file = tmp_path / "steer.yaml"
    file.write_text("one")
    before = signatures(tmp_path, [])
    if how == "replace":
        (tmp_path / "new").write_text("one")
        (tmp_path / "new").rename(file)
    else:
        with file.open("r+") as stream:
            stream.write("two" if how == "same size" else "three")
    assert signatures(tmp_path, [])[file] != before[file]


def test_a_link_that_is_switched_changes_the_signature(tmp_path: Path) -> None:
    for name in ("v1", "v2"):
        (tmp_path / f".{name}").mkdir()
        (tmp_path / f".{name}" / "steer.yaml").write_text("x")
    link = tmp_path / "steer.yaml"
    link.symlink_to(".v1/steer.yaml")
    before = signatures(tmp_path, [])
    link.unlink()
    link.symlink_to(".v2/steer.yaml")
    assert signatures(tmp_path, [])[link] != before[link]


def test_what_is_watched_is_bounded(tmp_path: Path) -> None:
    deep = tmp_path.joinpath(*"abcdefg")
    deep.mkdir(parents=True)
    for path in (deep / "x.yaml", tmp_path / "a" / "y.yaml", tmp_path / ".hidden", tmp_path / "z.yaml~"):
        path.write_text("")
    (tmp_path / "loop").symlink_to(".")  # followed, but not for ever
    absent = Path("/nonexistent/geodata.mmdb")
    seen = signatures(tmp_path, [absent])
    assert seen[absent] is None
    assert {path.name for path in seen if path != absent} == {"y.yaml"}


def test_an_unreadable_directory_is_empty() -> None:
    assert signatures(Path("/nonexistent"), []) == {}
