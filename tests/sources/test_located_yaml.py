"""YAML as text with places: what is taken, what is refused, and that nothing hostile costs much."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steer.sources import located_yaml
from steer.sources.located_yaml import Faults, Node, Scalar, Sequence, Table, parse_yaml

LOADERS = [yaml.SafeLoader, *([yaml.CSafeLoader] if yaml.__with_libyaml__ else [])]


@pytest.fixture(params=LOADERS, ids=lambda loader: loader.__name__)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(located_yaml, "_LOADER", request.param)


def faults_in(text: str | bytes) -> list[str]:
    faults = Faults()
    parse_yaml(text if isinstance(text, bytes) else text.encode(), "f.yaml", faults)
    return [str(fault) for fault in faults.found]


def parsed(text: str) -> Node:
    faults = Faults()
    node = parse_yaml(text.encode(), "f.yaml", faults)
    assert not faults.found
    assert node is not None
    return node


def plain(node: Node) -> object:
    if isinstance(node, Scalar):
        return node.text
    if isinstance(node, Sequence):
        return [plain(item) for item in node.items]
    return {key: plain(value) for key, (_, value) in node.entries.items()}


@pytest.mark.usefixtures("loader")
def test_text_stays_as_it_was_written() -> None:
    text = "country: [NO, on, yes]\nnumbers: [012, 1:30, 1e3, 0x10, 1_000]\nempty:\n"
    text += "day: 2026-11-24\nquoted: 'null'\n"
    assert plain(parsed(text)) == {
        "country": ["NO", "on", "yes"],
        "numbers": ["012", "1:30", "1e3", "0x10", "1_000"],
        "empty": "",
        "day": "2026-11-24",
        "quoted": "null",
    }


@pytest.mark.usefixtures("loader")
def test_every_key_and_value_knows_its_place() -> None:
    root = parsed("a: 1\nb:\n  - x\n  - {c: ü, d: [y,\n    z]}\n")
    assert isinstance(root, Table)
    key, value = root.entries["b"]
    assert (key.at.file, key.at.line, key.at.column) == ("f.yaml", 2, 1)
    assert isinstance(value, Sequence)
    inner = value.items[1]
    assert isinstance(inner, Table)
    assert (inner.at.line, inner.at.column, inner.end_line) == (4, 5, 5)
    d_key, d_value = inner.entries["d"]
    assert (d_key.at.line, d_key.at.column) == (4, 12)  # columns count characters, not bytes
    assert isinstance(d_value, Sequence)
    assert (d_value.items[1].at.line, d_value.items[1].at.column) == (5, 5)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        ("a: 1\nb: 2\na: 3\n", ["f.yaml:3:1: key `a` stands twice; first on line 1; remove one of them"]),
        ("a: &x {b: 1}\nc: {<<: *x}\n", ["f.yaml:2:5: merge keys (`<<`) are not taken; write the keys out"]),
        (
            "a: !!int 1\n",
            [
                (
                    "f.yaml:1:4: tag `tag:yaml.org,2002:int`; "
                    "remove the tag; values are read as what their key needs"
                )
            ],
        ),
        (
            "[!!python/object/apply:os.system [ls]]\n",
            [
                (
                    "f.yaml:1:2: tag `tag:yaml.org,2002:python/object/apply:os.system`; "
                    "remove the tag; values are read as what their key needs"
                )
            ],
        ),
        (
            "? {a: 1}\n: 2\n",
            ["f.yaml:1:3: a key is a mapping; write keys as plain words, such as `policy: web`"],
        ),
        ("a: &a [*a]\n", ["f.yaml:1:8: alias `*a` stands inside what it names; write the values out"]),
        (
            "a: *b\n",
            [
                (
                    "f.yaml:1:4: alias `*b` has no anchor before it; "
                    'put quotes around a text that starts with `*`, as in "*"'
                )
            ],
        ),
        (
            "a: 1\n---\nb: 2\n",
            ["f.yaml:2:1: a second document starts here; keep one document in a file; remove `---`"],
        ),
        ("", ["f.yaml: the file is empty; write at least its required keys"]),
        ("# nothing\n", ["f.yaml: the file is empty; write at least its required keys"]),
        ("a:\n\tb: 1\n", ["f.yaml:2:1: a tab where only spaces may stand; indent with spaces"]),
        (
            "a: b: c\n",
            [
                (
                    "f.yaml:1:5: a `:` where no key can stand; "
                    "indent the line as its neighbours, or put quotes around a text with `: ` in it"
                )
            ],
        ),
        ("a: 'x\n", ["f.yaml:1:4: a quote that is never closed; close it on the same line"]),
        (
            "a: {x: 1",
            [
                (
                    "f.yaml:1:4: a bracket that is not closed, or no comma between two values; "
                    "write `[one, two]` or `{key: value, other: value}`"
                )
            ],
        ),
        (
            "api: [::1]:53\n",
            ['f.yaml:1:7: a text with colons and brackets; put quotes around it, as in "[::1]:53"'],
        ),
        ("names:\n  @: x\n", ['f.yaml:2:3: a text that starts with @; put quotes around it, as in "@"']),
        ("names:\n  *: x\n", ['f.yaml:2:3: a text that starts with *; put quotes around it, as in "*"']),
        ("a:\n - 1\n b: 2\n", ["f.yaml:3:2: a line that fits none above it; indent it as its neighbours"]),
    ],
)
@pytest.mark.usefixtures("loader")
def test_refused(text: str, faults: list[str]) -> None:
    assert faults_in(text) == faults


def test_bytes_that_are_no_text_are_refused_with_their_place() -> None:
    assert faults_in(b"a: 1\nb: \xff\n") == ["f.yaml:2:4: byte 0xff is not UTF-8; save the file as UTF-8"]
    assert faults_in(b"a: \x00\nb: \x07\n") == [
        "f.yaml:1:4: control character U+0000; remove it; only tabs and line ends are allowed",
        "f.yaml:2:4: control character U+0007; remove it; only tabs and line ends are allowed",
    ]
    assert faults_in(b"\xef\xbb\xbfa: 1\n") == []  # a byte order mark is no fault


def test_a_billion_laughs_are_refused_where_they_pass_the_bound() -> None:
    lines = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 20)]
    (fault,) = faults_in("\n".join(lines))
    assert fault.startswith("f.yaml:4:")
    assert "aliases stand for more than 10,000 values" in fault


def test_aliases_within_the_bound_are_taken() -> None:
    assert plain(parsed("a: &x [1, 2]\nb: *x\nc: &y web\nd: *y\n")) == {
        "a": ["1", "2"],
        "b": ["1", "2"],
        "c": "web",
        "d": "web",
    }


@pytest.mark.usefixtures("loader")
@pytest.mark.parametrize("opener", ["[", "{a: ", "- ", "&a [", "? "])
def test_depth_is_bounded(opener: str) -> None:
    (fault,) = faults_in(opener * 200)
    assert "nested deeper than 32 levels" in fault


def test_size_and_count_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(located_yaml, "LARGEST_FILE_BYTES", 100)
    (fault,) = faults_in("a" * 101)
    assert fault.startswith("f.yaml: 101 bytes are more than 100; ")
    monkeypatch.setattr(located_yaml, "LARGEST_NODE_COUNT", 5)
    (fault,) = faults_in("[1, 2, 3, 4, 5, 6]")
    assert fault.startswith("f.yaml:1:17: more than 5 values in one file; ")


def test_faults_are_bounded() -> None:
    faults = Faults()
    parse_yaml("\n".join(["a: 1"] * 5000).encode(), "f.yaml", faults)
    assert len(faults.found) == located_yaml.LARGEST_FAULT_COUNT + 1
    assert "more than 1,000 faults" in str(faults.found[-1])


@pytest.mark.usefixtures("loader")
def test_a_message_never_spans_lines_or_holds_control_characters() -> None:
    for text in (
        '"a\\nb": 1\n"a\\nb": 2\n',
        '"\\e[31m": 1\n"\\e[31m": 2\n',
        f"{'x' * 500}: 1\n{'x' * 500}: 2\n",
    ):
        (fault,) = faults_in(text)
        assert fault.isprintable()
        assert len(fault) < 200


@given(st.one_of(st.binary(max_size=200), st.text(alphabet="ab:-[]{}&*!|>'\"#%@?,\n\t 1~<", max_size=200)))
def test_no_input_raises(data: bytes | str) -> None:
    raw = data if isinstance(data, bytes) else data.encode()
    faults = Faults()
    node = parse_yaml(raw, "f.yaml", faults)
    assert node is not None or faults.found
    assert all(str(fault).isprintable() for fault in faults.found)
