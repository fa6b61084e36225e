"""Add and take back lines of `overrides.yaml`, as `steer override` and `steer drain` do.

Comments and the other lines stay as they are where the file's layout allows; what is written is proved by
reading it again before it replaces the old file, atomically: a kill at any moment leaves the old file or the
new one. Times are written in whole seconds."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from steer.errors import Refused
from steer.model.deployment import Deployment, Drain, ForcedTarget, Overrides
from steer.sources.file_edit import locked, replace_file
from steer.sources.located_yaml import LARGEST_FILE_BYTES, Faults, Node, Scalar, Sequence, Table, parse_yaml
from steer.sources.overrides_file import is_blank, parse_overrides, read_overrides, time_text
from steer.sources.reading import read_bounded

_HEADER = "# Break-glass targets and drained POPs; `steer override` and `steer drain` write here too.\n"
_INDENT = "  "


def set_forced(path: Path, deployment: Deployment, forced: ForcedTarget) -> Overrides:
    """Force a target, in place of any for the same scope. Raises Refused where file or line will not do."""
    whole = replace(forced, expires_s=_whole(forced.expires_s))
    texts = {"scope": whole.scope, "target": str(whole.target), "reason": whole.reason}
    _prove_line("forced", texts, deployment)

    def change(now: Overrides) -> Overrides:
        if whole in now.forced:
            return now
        return replace(now, forced=(*(line for line in now.forced if line.scope != whole.scope), whole))

    return _edit(path, deployment, change)


def clear_forced(path: Path, deployment: Deployment, scope: str) -> Overrides:
    """Take back what is forced for a scope; nothing happens where nothing is. Raises Refused."""
    return _edit(
        path, deployment, lambda now: replace(now, forced=tuple(f for f in now.forced if f.scope != scope))
    )


def set_drain(path: Path, deployment: Deployment, drain: Drain) -> Overrides:
    """Drain a POP, in place of any drain of the same POP and service. Raises Refused."""
    whole = replace(drain, expires_s=_whole(drain.expires_s))
    texts = {"pop": whole.pop, "reason": whole.reason}
    if whole.service is not None:
        texts["service"] = whole.service
    _prove_line("drains", texts, deployment)

    def change(now: Overrides) -> Overrides:
        if whole in now.drains:
            return now
        others = (line for line in now.drains if (line.pop, line.service) != (whole.pop, whole.service))
        return replace(now, drains=(*others, whole))

    return _edit(path, deployment, change)


def clear_drain(path: Path, deployment: Deployment, pop: str, service: str | None) -> Overrides:
    """Take back a POP's drain; `service` None: every drain of the POP. Raises Refused."""
    return _edit(
        path,
        deployment,
        lambda now: replace(
            now, drains=tuple(d for d in now.drains if d.pop != pop or service not in (None, d.service))
        ),
    )


def _prove_line(kind: str, texts: Mapping[str, str], deployment: Deployment) -> None:
    """Prove a new line by itself, one key a line, so that its faults name keys and no line of the file, where
    it does not stand yet. Raises Refused."""
    keys = list(texts)
    lines = [f"{'- ' if key == keys[0] else '  '}{key}: {_quoted(texts[key])}\n" for key in keys]
    try:
        parse_overrides(f"{kind}:\n{''.join(lines)}".encode(), kind, deployment)
    except Refused as refused:
        first = 2  # below the line with the kind
        raise Refused(
            replace(fault, file=keys[fault.line - first], line=0, column=0)
            if first <= fault.line < first + len(keys)
            else replace(fault, line=0, column=0)
            for fault in refused.faults
        ) from refused


def _edit(path: Path, deployment: Deployment, change: Callable[[Overrides], Overrides]) -> Overrides:
    """Read, change, prove and write, with other editors of the directory locked out."""
    with locked(path.parent):
        now = read_overrides(path, deployment)
        wanted = change(now)
        if wanted == now:
            return now
        old = read_bounded(path, LARGEST_FILE_BYTES) if path.exists() else b""
        text = _patched(old, str(path), now, wanted)
        if text is None or _differs(text, str(path), deployment, wanted):
            text = _written_anew(old, wanted)
        taken = parse_overrides(text.encode("utf-8"), str(path), deployment)
        replace_file(path, text.encode("utf-8"))
        return taken


def _patched(old: bytes, file: str, now: Overrides, wanted: Overrides) -> str | None:
    """The old text with single lines taken out and put in; None where the layout is not one item a line."""
    root = None if is_blank(old) else parse_yaml(old, file, Faults())
    if not isinstance(root, Table):
        return None
    lines = old.decode("utf-8-sig").splitlines(keepends=True)
    edits: list[
        tuple[int, int, str]
    ] = []  # first line, line after the last, text in their place; lines from 0
    parts = {
        "forced": (
            now.forced,
            wanted.forced,
            [_forced_line(f) for f in wanted.forced if f not in now.forced],
        ),
        "drains": (now.drains, wanted.drains, [_drain_line(d) for d in wanted.drains if d not in now.drains]),
    }
    for key, (before, after, added) in parts.items():
        if before == after:
            continue
        if key not in root.entries:
            end = len(lines)
            edits.append((end, end, _block(key, added)))
            continue
        node = root.entries[key][1]
        if not _is_one_item_a_line(node, lines):
            return None
        assert isinstance(node, Sequence)
        removed = [item for item, value in zip(node.items, before, strict=True) if value not in after]
        edits += [(item.at.line - 1, _last_line(item, lines), "") for item in removed]
        last = _last_line(node.items[-1], lines)
        indent = lines[node.items[0].at.line - 1].partition("-")[0]
        edits.append((last, last, "".join(f"{indent}- {line}\n" for line in added)))
        if len(removed) == len(node.items) and not added:
            at = root.entries[key][0].at.line - 1
            edits = [edit for edit in edits if edit[0] < at or edit[0] > last]
            edits.append((at, last, ""))
    return _applied(lines, edits)


def _applied(lines: list[str], edits: list[tuple[int, int, str]]) -> str:
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    for first, after, text in sorted(edits, reverse=True):
        lines[first:after] = [text] if text else []
    return "".join(lines)


def _is_one_item_a_line(node: Node, lines: list[str]) -> bool:
    """Whether the list is in block style, each item starting a line of its own."""
    return (
        isinstance(node, Sequence)
        and bool(node.items)
        and all(lines[item.at.line - 1].lstrip().startswith("- ") for item in node.items)
        and len({item.at.line for item in node.items}) == len(node.items)
        and not any(isinstance(item, Scalar) for item in node.items)
    )


def _last_line(item: Node, lines: list[str]) -> int:
    """The item's last line, from 1; a block scalar ends for YAML only where the next token starts."""
    last = item.end_line
    while last > item.at.line and (last > len(lines) or lines[last - 1].strip()[:1] in ("", "#")):
        last -= 1
    return last


def _differs(text: str, file: str, deployment: Deployment, wanted: Overrides) -> bool:
    """Whether the patched text says anything but what is wanted, or cannot be read."""
    try:
        return parse_overrides(text.encode("utf-8"), file, deployment) != wanted
    except Refused:
        return True


def _written_anew(old: bytes, wanted: Overrides) -> str:
    """The whole file from the values, under the comments that the old one began with."""
    comments = []
    for line in old.decode("utf-8-sig", "replace").splitlines():
        if line.strip() and not line.lstrip().startswith("#"):
            break
        comments.append(line + "\n")
    head = "".join(comments) or _HEADER
    return (
        head
        + _block("forced", [_forced_line(forced) for forced in wanted.forced])
        + _block("drains", [_drain_line(drain) for drain in wanted.drains])
    )


def _block(key: str, lines: list[str]) -> str:
    return f"{key}:\n" + "".join(f"{_INDENT}- {line}\n" for line in lines) if lines else ""


def _whole(seconds: float | None) -> float | None:
    return None if seconds is None else float(int(seconds))


def _forced_line(forced: ForcedTarget) -> str:
    until = "" if forced.expires_s is None else f", until: {time_text(forced.expires_s)}"
    scope, target = _scalar(forced.scope), _scalar(str(forced.target))
    return f"{{scope: {scope}, target: {target}{until}, reason: {_quoted(forced.reason)}}}"


def _drain_line(drain: Drain) -> str:
    service = "" if drain.service is None else f", service: {drain.service}"
    until = "" if drain.expires_s is None else f", until: {time_text(drain.expires_s)}"
    return f"{{pop: {drain.pop}{service}{until}, reason: {_quoted(drain.reason)}}}"


def _scalar(text: str) -> str:
    plain = text.replace(".", "").replace("-", "").isalnum() and text.isascii()
    return text if plain else _quoted(text)


def _quoted(text: str) -> str:
    """Text in double quotes, which JSON and YAML read alike."""
    return json.dumps(text, ensure_ascii=False)
