"""Files of measurements: which there are, what their columns are, and whether their form will do.

Only forms are judged here: a file of an unknown form is a fault, a row that breaks a rule is left out later.
DuckDB reads; nothing of it is fetched from the network."""

import csv
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from steer.errors import Fault, Refused
from steer.sources.fields import suggestion
from steer.sources.measurement_paths import SUFFIXES, files_below
from steer.sources.measurement_rules import FIELDS, REQUIRED

FILE_BYTES_MAX = 32 << 30
HEADER_BYTES_MAX = 4096
LINE_BYTES_MAX = 65_536
_NAME = re.compile(r"[A-Za-z][A-Za-z_ -]{0,39}\Z")  # else it may be a row, with an address
_GLOB = re.compile(r"[*?\[\]{}]")
_NUMBERS = re.compile(r"(?:U?(?:TINY|SMALL|BIG|HUGE)?INT(?:EGER)?|DOUBLE|FLOAT|DECIMAL\(.*\))\Z")
_TEXTS = re.compile(r"(?:VARCHAR|ENUM\(.*\))\Z", re.S)
_LINE = re.compile(r"\bLine: ?([0-9]+)", re.I)
FILE_ERRORS = (duckdb.Error, MemoryError)  # a damaged file may end in any of DuckDB's own
_NUMBER_FIELDS = ("time", "rtt_ms", "weight")


@dataclass(frozen=True, slots=True)
class Source:
    """A file that DuckDB can read: `relation` is SQL for a table whose columns are those of `types` (see
    `measurement_sql.checked_sql`)."""

    path: Path
    relation: str
    types: dict[str, str]


def find_files(paths: Iterable[Path]) -> list[Path]:
    """The files of measurements: those named, and below directories those with a known suffix, sorted; hidden
    ones are passed over. Raises Refused with what cannot be read."""
    found: dict[Path, None] = {}
    faults = []
    for path in paths:
        try:
            mode = path.stat().st_mode
        except OSError as error:
            fix = "name an existing file or directory"
            faults.append(Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", fix))
            continue
        if stat.S_ISDIR(mode):
            try:
                found |= dict.fromkeys(map(Path, files_below(path)))
            except Refused as refused:
                faults += refused.faults
        elif stat.S_ISREG(mode) and path.suffix in SUFFIXES:
            found[path] = None
        else:
            wrong = "is no file of measurements that is known here"
            faults.append(Fault(str(path), 0, 0, wrong, f"give a {', '.join(SUFFIXES)} file or a directory"))
    if faults:
        raise Refused(faults)
    return list(found)


def open_source(connection: Any, path: Path) -> Source:
    """Look at a CSV or Parquet file's form. Raises Refused."""
    check_size(path)
    if _GLOB.search(str(path)):
        fix = "rename it, without * ? [ ] { }"
        raise Refused([Fault(str(path), 0, 0, "its name would stand for many files", fix)])
    return _open_csv(path) if path.suffix == ".csv" else _open_parquet(connection, path)


def check_size(path: Path) -> None:
    """Raises Refused where a file is not there, larger than may be, or of a name that DuckDB cannot take."""
    shown = os.fsencode(path).decode("utf-8", "backslashreplace")
    if shown != str(path):
        raise Refused([Fault(shown, 0, 0, "its name is not UTF-8", "rename it")])
    try:
        size = path.stat().st_size
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", "")]) from error
    if size > FILE_BYTES_MAX:
        raise Refused([Fault(str(path), 0, 0, f"more than {FILE_BYTES_MAX:,} bytes", "split it")])


def refusal(path: Path, error: Exception) -> Refused:
    """A fault of DuckDB's as one of the file's; its text is left out, since it may quote an address. Raises
    it as it is where it is none of the file's: the disk is full, or the store is of no more use."""
    text = str(error)
    if isinstance(error, duckdb.FatalException) or "No space left" in text:
        raise error
    if isinstance(error, duckdb.OutOfMemoryException | MemoryError):
        fix = "split it, with smaller fields, and Parquet in smaller row groups"
        return Refused([Fault(str(path), 0, 0, "it takes too much memory to read", fix)])
    line = _LINE.search(text)
    number = int(line[1]) if line else 0
    what = "the file is not whole, or no Parquet file"
    if path.suffix == ".csv":
        what = "a row does not have the header's columns, is not UTF-8, or has an open quote"
    fix = "write it whole under another name, then rename it into place"
    return Refused([Fault(str(path), number, 1 if number else 0, what, fix)])


def _open_csv(path: Path) -> Source:
    try:
        with path.open("rb") as file:
            line = file.readline(HEADER_BYTES_MAX)
        text = line.decode("utf-8-sig")
    except OSError as error:
        raise Refused([Fault(str(path), 0, 0, f"cannot be read: {error.strerror}", "")]) from error
    except UnicodeDecodeError as error:
        raise Refused([Fault(str(path), 1, 1, "the header is not UTF-8", _header_fix())]) from error
    if not text.endswith("\n"):
        raise Refused([Fault(str(path), 1, 1, "no header line", _header_fix())])
    names = next(csv.reader([text.rstrip("\r\n")]), [])
    _check_names(path, names, 1)
    columns = ", ".join(f"'{name}': 'VARCHAR'" for name in names)
    relation = (
        f"read_csv({_literal(path)}, auto_detect=false, header=true, delim=',', quote='\"', escape='\"', "
        f"columns={{{columns}}}, nullstr='', max_line_size={LINE_BYTES_MAX}, strict_mode=true, "
        "null_padding=false)"
    )
    return Source(path, relation, dict.fromkeys(names, "text"))


def _open_parquet(connection: Any, path: Path) -> Source:
    relation = f"read_parquet({_literal(path)}, hive_partitioning=false)"
    try:
        rows = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    except FILE_ERRORS as error:
        raise refusal(path, error) from error
    _check_names(path, [row[0] for row in rows], 0)
    kinds = {name: _kind(name, text) for name, text, *_ in rows}
    faults = [
        Fault(str(path), 0, 0, f"column `{name}` is of type {text.partition('(')[0][:60]}", _type_fix(name))
        for name, text, *_ in rows
        if not kinds[name]
    ]
    if faults:
        raise Refused(faults)
    casts = {"text": "VARCHAR", "number": "DOUBLE"}
    selected = ", ".join(
        f"CAST({name} AS {casts[kind]}) AS {name}" if kind in casts else name for name, kind in kinds.items()
    )
    return Source(path, f"(SELECT {selected} FROM {relation})", kinds)


def _kind(name: str, text: str) -> str:
    """What a Parquet column is read as; '' where it will not do."""
    if _TEXTS.match(text) or text == '"NULL"' or text == "NULL":
        return "text"
    if name == "time" and text.startswith("TIMESTAMP"):
        return "moment"
    return "number" if name in _NUMBER_FIELDS and _NUMBERS.match(text) else ""


def _type_fix(name: str) -> str:
    if name == "time":
        return "make it a timestamp, a number of Unix seconds or text"
    return "make it a number or text" if name in _NUMBER_FIELDS else "make it text"


def _check_names(path: Path, names: list[str], line: int) -> None:
    """Raises Refused unless the columns are those of measurements, each once, the needed ones among them."""
    faults = []
    for place, name in enumerate(names):
        column = 1 + len(",".join(names[:place])) + (place > 0) if line else 0
        if name not in FIELDS:
            shown = f"`{name}`" if _NAME.match(name) else f"{place + 1}, which has no name"
            fix = suggestion(name, FIELDS, "remove it; the columns are")
            faults.append(Fault(str(path), line, column, f"unknown column {shown}", fix))
        elif name in names[:place]:
            faults.append(Fault(str(path), line, column, f"column `{name}` stands twice", "remove one"))
    for name in REQUIRED:
        if name not in names and not any(fault.fix == f"did you mean `{name}`?" for fault in faults):
            faults.append(Fault(str(path), line, int(line > 0), f"column `{name}` is missing", _header_fix()))
    if faults:
        raise Refused(faults)


def _header_fix() -> str:
    return f"the columns are {', '.join(FIELDS)}; {', '.join(REQUIRED)} are needed"


def _literal(path: Path) -> str:
    doubled = str(path.absolute()).replace("'", "''")
    return f"'{doubled}'"
