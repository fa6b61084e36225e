"""Who may import whom (DESIGN section 3), in Python and in Rust, and that no room is empty or left open.

The checkers are functions of text, so that the same file shows them failing on bad snippets."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LEVELS = (
    ("errors", "model"),
    ("sources", "decide", "publish", "telemetry"),
    ("dataplane",),
    ("control", "lab"),
    ("cli", "__main__"),
)
LEVEL_OF = {room: level for level, rooms in enumerate(LEVELS) for room in rooms}
PACKAGES = sorted(set(LEVEL_OF) - {"errors", "cli", "__main__"})
EXTRA_OF_LEVEL_0 = {"numpy"}  # besides the standard library
DATAPLANE_MAY_IMPORT = ("steer.publish.format", "steer.telemetry.counters")
RUST_MAY_USE = {
    "lib": {"sockets", "answer", "wire", "snapshot"},
    "sockets": {"answer", "wire", "snapshot"},
    "answer": {"wire", "snapshot"},
    "wire": set[str](),
    "snapshot": set[str](),
}
LEFT_OPEN = re.compile(r"\b(?:TODO|FIXME|XXX|HACK)\b|NotImplementedError|todo!|unimplemented!")


# --- Python ---


def imports_of(module: str, source: str, is_package: bool = False) -> Iterator[str]:
    """Every name that the source of `module` imports, as a whole dotted path, `from a import b` as `a.b`."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                kept = parents[: len(parents) - node.level + is_package]
                base = ".".join([*kept, base] if base else kept)
            yield from (f"{base}.{alias.name}" for alias in node.names)


def wrong_imports(module: str, source: str, is_package: bool = False) -> list[str]:
    """What the source of `module` imports against the table of DESIGN section 3, one sentence each."""
    return [
        f"{module} imports {name}"
        for name in imports_of(module, source, is_package)
        if not may_import(module, name)
    ]


def may_import(module: str, name: str) -> bool:
    """Whether `module` (of steer) may import `name` (of anything)."""
    room = room_of(module)
    if name.split(".")[0] != "steer":
        return LEVEL_OF[room] != 0 or is_plain(name)
    target = room_of(name)
    if target in (room, ""):
        return True  # its own room; or the package itself, which holds the version alone
    if target not in LEVEL_OF:
        return name == "steer.__version__"
    if room == "dataplane" and LEVEL_OF[target] == 1:
        return any(name == allowed or name.startswith(f"{allowed}.") for allowed in DATAPLANE_MAY_IMPORT)
    return LEVEL_OF[target] < LEVEL_OF[room] or (room, target) in (("lab", "control"), ("__main__", "cli"))


def room_of(module: str) -> str:
    """The room of a dotted path under `steer`; empty for `steer` itself."""
    return module.partition(".")[2].partition(".")[0]


def is_plain(name: str) -> bool:
    """Whether level 0 may import it: the standard library and NumPy."""
    top = name.split(".")[0]
    return top in sys.stdlib_module_names or top in EXTRA_OF_LEVEL_0


def python_modules() -> Iterator[tuple[str, str, bool]]:
    """(dotted name, source, whether a package) of every Python file under steer/."""
    for path in sorted((ROOT / "steer").rglob("*.py")):
        if "_geodata" in path.parts:
            continue  # a link to geodata/, which is data and the script that makes it
        parts = path.relative_to(ROOT).with_suffix("").parts
        is_package = parts[-1] == "__init__"
        yield ".".join(parts[:-1] if is_package else parts), path.read_text(encoding="utf-8"), is_package


def test_python_imports_follow_the_levels() -> None:
    modules = [module for module in python_modules() if module[0] != "steer"]
    assert len(modules) > 10
    unknown = sorted({name for name, _, _ in modules if room_of(name) not in LEVEL_OF})
    assert not unknown, "rooms that DESIGN section 3 does not name"
    wrong = [sentence for module in modules for sentence in wrong_imports(*module)]
    assert not wrong, "\n".join(wrong)


def test_the_package_itself_imports_nothing() -> None:
    source = (ROOT / "steer" / "__init__.py").read_text(encoding="utf-8")
    assert list(imports_of("steer", source, is_package=True)) == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("steer.model.place", "import yaml"),
        ("steer.model.place", "from steer.publish import format"),
        ("steer.model.place", "from steer.errors import Fault"),
        ("steer.errors", "import aiohttp.web"),
        ("steer.errors", "from steer import sources"),
        ("steer.decide.plan", "import steer.sources.policy"),
        ("steer.sources.policy", "from steer.decide import plan"),
        ("steer.sources.policy", "from ..decide.plan import Plan"),
        ("steer.publish.compile", "def late():\n    from steer.telemetry.counters import Counters"),
        ("steer.dataplane.reference", "from steer.publish.store import Store"),
        ("steer.dataplane.reference", "from steer.publish import store"),
        ("steer.dataplane.reference", "from steer.publish.formatting import x"),
        ("steer.dataplane.reference", "import steer.publish"),
        ("steer.dataplane.reference", "from steer.telemetry import log"),
        ("steer.dataplane.reference", "from steer.decide import plan"),
        ("steer.dataplane.reference", "from steer.control import loop"),
        ("steer.control.loop", "from steer.lab import demo"),
        ("steer.control.loop", "from steer.cli import main"),
        ("steer.lab.demo", "import steer.cli"),
        ("steer.control.loop", "from steer.unheard import of"),
    ],
)
def test_a_wrong_import_is_found(module: str, source: str) -> None:
    assert len(wrong_imports(module, source)) == 1


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("steer.model.place", "import numpy as np\nfrom numpy.typing import NDArray\nimport dataclasses"),
        ("steer.model.place", "from . import service\nfrom .status import Status"),
        (
            "steer.sources.policy",
            "import yaml\nfrom steer.model.policy import Policy\nfrom .yaml import load",
        ),
        (
            "steer.dataplane.reference",
            "from steer.publish.format import MAGIC\nfrom steer.publish import format",
        ),
        ("steer.dataplane.reference", "from steer.telemetry.counters import Counters\nimport dnslib"),
        ("steer.dataplane.engine", "from steer.dataplane import _native"),
        ("steer.control.loop", "from steer.decide.plan import Plan\nfrom steer import __version__"),
        ("steer.lab.demo", "from steer.control.loop import run"),
        ("steer.cli", "from steer.lab.demo import run\nimport steer.control"),
    ],
)
def test_a_right_import_passes(module: str, source: str) -> None:
    assert wrong_imports(module, source) == []


def test_relative_imports_resolve_from_module_and_package() -> None:
    assert list(imports_of("steer.decide.plan", "from .. import model")) == ["steer.model"]
    assert list(imports_of("steer.decide", "from ..model import place", is_package=True)) == [
        "steer.model.place"
    ]


# --- Rust ---


def wrong_rust(room: str, source: str) -> list[str]:
    """What a file of the crate's module `room` does against DESIGN section 3, one sentence each.

    `lib` alone names pyo3, `sockets` alone has `unsafe`; a module names only siblings below it. Comments,
    strings and `#[cfg(test)]` modules do not count."""
    text = rust_code(source)
    wrong = []
    if room != "lib" and re.search(r"\bpyo3\b", text):
        wrong.append(f"{room} names pyo3")
    if room != "sockets" and re.search(r"\bunsafe\b", text):
        wrong.append(f"{room} has `unsafe`")
    siblings = set(RUST_MAY_USE) - {room} - RUST_MAY_USE[room]
    named = {match[1] for match in re.finditer(r"\b(?:crate|_native|steer_native)\s*::\s*(\w+)", text)}
    for group in re.finditer(r"\b(?:crate|super)\s*::\s*\{([^;]*)\}", text):
        named |= set(re.findall(r"(?:^|[,{])\s*(\w+)", group[1]))
    named |= {match[1] for match in re.finditer(r"\bsuper\s*::\s*(\w+)", text)}
    return wrong + [f"{room} uses {sibling}" for sibling in sorted(named & siblings)]


def rust_code(source: str) -> str:
    """The source without comments, strings, and `#[cfg(test)]` modules (up to a `}` in the first column)."""
    source = re.sub(r"^#\[cfg\(test\)\]\s*\nmod \w+ \{\n.*?^\}", "", source, flags=re.M | re.S)
    tokens = re.compile(
        r"""//[^\n]*|/\*.*?\*/|b?r(?P<hashes>\#+)".*?"(?P=hashes)|b?"(?:\\.|[^"\\])*"|b?'(?:\\.|[^'\\])'""",
        re.S,
    )
    return tokens.sub(" ", source)


def rust_files() -> Iterator[tuple[str, Path]]:
    """(top-level module, path) of every file under native/src/; `answer/edns.rs` is of `answer`."""
    top = ROOT / "native" / "src"
    for path in sorted(top.rglob("*.rs")):
        yield path.relative_to(top).with_suffix("").parts[0], path


def test_the_crate_follows_its_order() -> None:
    files = list(rust_files())
    assert ("lib", ROOT / "native" / "src" / "lib.rs") in files
    assert {room for room, _ in files} <= set(RUST_MAY_USE), "modules that DESIGN section 3 does not name"
    wrong = [
        sentence for room, path in files for sentence in wrong_rust(room, path.read_text(encoding="utf-8"))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_compiler_denies_unsafe_outside_sockets() -> None:
    assert re.search(
        r'^unsafe_code = "deny"', (ROOT / "native" / "Cargo.toml").read_text(encoding="utf-8"), re.M
    )
    allowing = {
        room
        for room, path in rust_files()
        if re.search(r"allow\([^)]*unsafe_code", path.read_text(encoding="utf-8"))
    }
    assert allowing <= {"lib", "sockets"}  # lib may stand above `mod sockets`, and above pyo3's own macros


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("answer", "use pyo3::prelude::*;"),
        ("wire", "let x = unsafe { *p };"),
        ("wire", "use crate::snapshot::Snapshot;"),
        ("wire", "use crate::{answer, wire::Name};"),
        ("wire", "use super::{\n    snapshot::Leaf,\n};"),
        ("wire", "fn f(x: crate::snapshot::Leaf) {}"),
        ("snapshot", "use super::wire;"),
        ("snapshot", "let c = '\"'; use crate::wire; // \""),
        ("answer", "use crate::sockets::Batch;"),
        ("sockets", "use crate::lib;"),
    ],
)
def test_wrong_rust_is_found(room: str, source: str) -> None:
    assert len(wrong_rust(room, source)) == 1


@pytest.mark.parametrize(
    ("room", "source"),
    [
        ("lib", "use pyo3::prelude::*;\nuse crate::{sockets, answer};"),
        ("sockets", "unsafe { libc::recvmmsg() }\nuse crate::answer;"),
        ("answer", "use crate::{snapshot::Snapshot, wire};"),
        ("wire", '// crate::snapshot\n/* unsafe */ let a = "use crate::snapshot"; use super::name::Name;'),
        ("wire", 'let a = r#"unsafe "pyo3" "#;'),
        ("snapshot", "fn f() {}\n#[cfg(test)]\nmod tests {\n    use crate::wire;\n}\n"),
    ],
)
def test_right_rust_passes(room: str, source: str) -> None:
    assert wrong_rust(room, source) == []


# --- No room empty, nothing left open ---


@pytest.mark.parametrize("room", PACKAGES)
def test_no_room_stands_empty(room: str) -> None:
    code = [path for path in (ROOT / "steer" / room).glob("**/*.py") if path.name != "__init__.py"]
    assert any(path.stat().st_size for path in code), f"steer/{room} holds no code"


def test_no_source_says_that_it_is_unfinished() -> None:
    folders = ("steer", "native", "tests", "bench", "scripts", "geodata")
    paths = [
        path
        for folder in folders
        for pattern in ("*.py", "*.rs", "*.sh", "*.c")
        for path in (ROOT / folder).rglob(pattern)
        if "target" not in path.parts and path != Path(__file__)  # this file names the words
    ]
    assert len(paths) > 20
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()}"
        for path in paths
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if LEFT_OPEN.search(line)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("line", ["# TODO: later", "// FIXME", "raise NotImplementedError", "todo!()"])
def test_an_unfinished_line_is_found(line: str) -> None:
    assert LEFT_OPEN.search(line)
    assert not LEFT_OPEN.search("a method to do: nothing")
