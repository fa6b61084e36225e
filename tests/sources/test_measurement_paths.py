"""Directories of measurements as careless people leave them: links in circles, names that are no text, too
many files."""

import os
from pathlib import Path

import pytest

from steer.errors import Refused
from steer.sources import measurement_paths
from steer.sources.measurement_files import check_size, find_files
from steer.sources.measurement_paths import files_below


def test_links_in_circles_are_walked_once(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    for number in range(30):
        (tmp_path / f"again{number}").symlink_to(tmp_path)
    (tmp_path / "self").symlink_to(tmp_path / "self")
    (tmp_path / "self.csv").symlink_to(tmp_path / "self.csv")
    assert find_files([tmp_path]) == [tmp_path / "a.csv"]


def test_only_what_may_be_measurements_is_found(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.parquet", ".hidden.csv", "c.txt", "d.csv.part"):
        (tmp_path / name).write_text("")
    os.mkfifo(tmp_path / "fifo.csv")
    (tmp_path / "deep" / "er" / "and" / "on" / "too").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "and" / "on" / "e.csv").write_text("")
    (tmp_path / "deep" / "er" / "and" / "on" / "too" / "f.csv").write_text("")
    found = [os.path.relpath(path, tmp_path) for path in files_below(tmp_path)]
    assert found == ["a.parquet", "b.jsonl", "deep/er/and/on/e.csv"]


@pytest.mark.parametrize("bound", ["FILES_MAX", "_ENTRIES_MAX"])
def test_too_many_files_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bound: str) -> None:
    monkeypatch.setattr(measurement_paths, bound, 3)
    for number in range(4):
        (tmp_path / f"{number}.csv").write_text("")
    with pytest.raises(Refused, match="more than 3 files"):
        find_files([tmp_path])


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.csv"))
    path.write_text("")
    with pytest.raises(Refused, match="not UTF-8") as refused:
        check_size(path)
    assert str(refused.value).isprintable()
