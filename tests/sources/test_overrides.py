"""`overrides.yaml`: what is read, what is refused, and edits that keep what people wrote."""

import os
import stat
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steer.errors import Refused
from steer.model.deployment import Deployment, Drain, ForcedTarget, Overrides
from steer.model.service import ANYCAST, Target
from steer.sources.deployment_files import read_deployment
from steer.sources.overrides_edit import clear_drain, clear_forced, set_drain, set_forced
from steer.sources.overrides_file import parse_overrides, read_overrides, time_text
from tests.sources.policy_directory import EXAMPLE, ZONE, change, copy_example, taken

DEPLOYMENT, _ = read_deployment(EXAMPLE)
NOON_S = 1_795_521_600.0  # 2026-11-24T12:00:00Z
LEAK = ForcedTarget("www.cdn.example", ANYCAST, "BGP leak", NOON_S)
WORKS = Drain("fra", None, "power works", None)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "overrides.yaml"


def parse(text: str, deployment: Deployment = DEPLOYMENT) -> Overrides:
    return parse_overrides(text.encode(), "o", deployment)


def faults_in(text: str) -> list[str]:
    with pytest.raises(Refused) as refused:
        parse(text)
    return [str(fault) for fault in refused.value.faults]


def test_lines_are_read_with_their_times() -> None:
    text = """
forced:
  - {scope: WWW.cdn.example., target: anycast, until: 2026-11-24T12:00:00Z, reason: BGP leak}
  - {scope: all, target: "pop:fra", until: "2026-11-24 13:30:00.5+01:30", reason: "a: b"}
  - {scope: cdn.example, target: "region:southamerica", reason: x}
drains:
  - {pop: fra, reason: power works}
  - {pop: fra, service: default, until: 2026-11-24T12:00Z, reason: power works}
"""
    assert parse(text) == Overrides(
        (
            LEAK,
            ForcedTarget("all", Target("pop", "fra"), "a: b", NOON_S + 0.5),
            ForcedTarget("cdn.example", Target("region", "southamerica"), "x", None),
        ),
        (WORKS, Drain("fra", "default", "power works", NOON_S)),
    )


@pytest.mark.parametrize(
    "text", ["", "# nothing\n\n", "forced:\n", "forced: []\ndrains:\n  # - {pop: fra}\n"]
)
def test_nothing_is_no_fault(text: str) -> None:
    assert parse(text) == Overrides()


def test_no_file_is_no_fault_and_a_strange_one_is(path: Path) -> None:
    assert read_overrides(path, DEPLOYMENT) == Overrides()
    os.mkfifo(path)
    with pytest.raises(Refused, match=r"overrides\.yaml cannot be read"):
        read_overrides(path, DEPLOYMENT)


@pytest.mark.parametrize(
    ("text", "faults"),
    [
        (
            "- a\n",
            [
                (
                    "o:1:1: `overrides.yaml` is a list, not a mapping; write "
                    '`{forced: [{scope: www.cdn.example, target: anycast, reason: "ticket 4711"}], '
                    'drains: [{pop: fra, reason: "power works"}]}`'
                )
            ],
        ),
        ("force: []\n", ["o:1:1: unknown key `force` in `overrides.yaml`; did you mean `forced`?"]),
        (
            "drains: fra\n",
            ['o:1:9: `drains` is `fra`, not a list; write `[{pop: fra, reason: "power works"}]`'],
        ),
        (
            "drains: [fra]\n",
            ["o:1:10: a drain is `fra`, not a mapping; write `{pop: fra, service: default}`"],
        ),
        ("drains: [{pop: fra}]\n", ['o:1:10: `reason` is missing; add it, such as `reason: "power works"`']),
        (
            "drains: [{pop: frq, service: video}]\n",
            [
                'o:1:10: `reason` is missing; add it, such as `reason: "power works"`',
                "o:1:16: no POP `frq`; did you mean `fra`?",
                "o:1:30: no service `video`; the services are `default`",
            ],
        ),
        (
            'forced: [{scope: all, target: "pop:ams"}]\n',
            [
                'o:1:10: `reason` is missing; add it, such as `reason: "ticket 4711"`',
                (
                    "o:1:31: `www.cdn.example` is of service `default`, which has no `pop:ams`; "
                    "write another target, or force the names of one service each"
                ),
            ],
        ),
        ("drains: [{pop: frq, reason: x}]\n", ["o:1:16: no POP `frq`; did you mean `fra`?"]),
        (
            "drains: [{pop: fra, service: video, reason: x}]\n",
            ["o:1:30: no service `video`; the services are `default`"],
        ),
        (
            "drains: [{pop: fra, reason: x}, {pop: fra, reason: y}]\n",
            ["o:1:39: POP `fra` is drained twice; keep one line, also where the other has expired"],
        ),
        (
            "forced: [{scope: all, target: anycast, reason: x, until: tomorrow}]\n",
            ["o:1:58: `tomorrow` is not a time with its zone; write such as `2026-11-24T10:00:00Z`"],
        ),
        (
            "forced: [{scope: all, target: anycast, reason: x, until: 2026-11-24T10:00:00}]\n",
            [
                (
                    "o:1:58: `2026-11-24T10:00:00` is not a time with its zone; "
                    "write such as `2026-11-24T10:00:00Z`"
                )
            ],
        ),
        (
            "forced: [{scope: all, target: anycast, reason: x, until: 2026-11-31T10:00:00Z}]\n",
            [
                (
                    "o:1:58: `2026-11-31T10:00:00Z` is not a time with its zone; "
                    "write such as `2026-11-24T10:00:00Z`"
                )
            ],
        ),
        (
            "forced: [{scope: all, target: nearest, reason: x}]\n",
            ["o:1:31: `nearest` is not a target; write `anycast`, `pop:NAME`, `region:NAME` or `cname:HOST`"],
        ),
        (
            'forced: [{scope: all, target: "pop:ams", reason: x}]\n',
            [
                (
                    "o:1:31: `www.cdn.example` is of service `default`, which has no `pop:ams`; "
                    "write another target, or force the names of one service each"
                )
            ],
        ),
        (
            "forced: [{scope: ww.cdn.example, target: anycast, reason: x}]\n",
            ["o:1:18: no zone or steered name `ww.cdn.example`; did you mean `www.cdn.example`?"],
        ),
        (
            "forced: [{scope: all, target: anycast, reason: x}, {scope: all, target: anycast, reason: x}]\n",
            ["o:1:60: `all` is forced twice; keep one line, also where the other has expired"],
        ),
        (
            f"drains: [{{pop: fra, reason: {'x' * 201}}}]\n",
            [
                (
                    f"o:1:29: `{'x' * 60}…` cannot be a reason; write one line of at most 200 characters, "
                    "such as `power works`"
                )
            ],
        ),
    ],
)
def test_each_fault(text: str, faults: list[str]) -> None:
    assert faults_in(text) == faults


def test_edits_keep_comments_and_the_other_lines(path: Path) -> None:
    path.write_text(
        "# ours\n"
        "forced:   # break glass\n"
        "    # the leak of Monday\n"
        "    - {scope: www.cdn.example, target: anycast, reason: leak}   # ticket 1\n"
        "    - scope: img.cdn.example\n"
        "      target: pop:fra\n"
        "      reason: >-\n"
        "        two\n"
        "        lines\n"
        "# end"
    )
    set_forced(path, DEPLOYMENT, ForcedTarget("all", ANYCAST, 'a "b" \\ ü', NOON_S + 0.7))
    set_drain(path, DEPLOYMENT, WORKS)
    clear_forced(path, DEPLOYMENT, "img.cdn.example")
    assert path.read_text() == (
        "# ours\n"
        "forced:   # break glass\n"
        "    # the leak of Monday\n"
        "    - {scope: www.cdn.example, target: anycast, reason: leak}   # ticket 1\n"
        '    - {scope: all, target: anycast, until: 2026-11-24T12:00:00Z, reason: "a \\"b\\" \\\\ ü"}\n'
        "# end\n"
        "drains:\n"
        '  - {pop: fra, reason: "power works"}\n'
    )
    clear_drain(path, DEPLOYMENT, "fra", None)
    clear_forced(path, DEPLOYMENT, "all")
    clear_forced(path, DEPLOYMENT, "www.cdn.example")
    assert path.read_text() == "# ours\n# end\n"


def test_a_new_line_replaces_the_old_one_of_its_scope(path: Path) -> None:
    set_forced(path, DEPLOYMENT, LEAK)
    assert set_forced(path, DEPLOYMENT, ForcedTarget("www.cdn.example", Target("pop", "fra"), "y", None)) == (
        Overrides((ForcedTarget("www.cdn.example", Target("pop", "fra"), "y", None),))
    )
    set_drain(path, DEPLOYMENT, WORKS)
    set_drain(path, DEPLOYMENT, Drain("fra", "default", "z", None))
    assert len(read_overrides(path, DEPLOYMENT).drains) == 2  # one for every service, one for the default
    assert clear_drain(path, DEPLOYMENT, "fra", "default").drains == (WORKS,)


def test_a_layout_that_cannot_be_patched_is_written_anew_under_its_first_comments(path: Path) -> None:
    path.write_text("# ours\n\nforced: [{scope: all, target: anycast, reason: x}]\n# lost\n")
    set_forced(path, DEPLOYMENT, LEAK)
    assert path.read_text() == (
        "# ours\n\nforced:\n"
        '  - {scope: all, target: anycast, reason: "x"}\n'
        '  - {scope: www.cdn.example, target: anycast, until: 2026-11-24T12:00:00Z, reason: "BGP leak"}\n'
    )


def test_what_will_not_do_leaves_the_file_alone(path: Path) -> None:
    path.write_text("drains: [{pop: fra, reason: x}]\n")
    os.chmod(path, 0o640)  # noqa: PTH101 - the mode is the point
    with pytest.raises(Refused, match="no POP `ams`"):
        set_drain(path, DEPLOYMENT, Drain("ams", None, "x", None))
    with pytest.raises(Refused, match="no zone or steered name"):
        set_forced(path, DEPLOYMENT, ForcedTarget("foo.example", ANYCAST, "x", None))
    assert path.read_text() == "drains: [{pop: fra, reason: x}]\n"
    clear_drain(path, DEPLOYMENT, "nrt", None)  # nothing to take back
    assert path.read_text() == "drains: [{pop: fra, reason: x}]\n"
    set_drain(path, DEPLOYMENT, Drain("nrt", None, "x", None))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.write_text("drains: [")
    with pytest.raises(Refused):
        set_drain(path, DEPLOYMENT, WORKS)
    assert path.read_text() == "drains: ["
    assert [file.name for file in path.parent.iterdir()] == ["overrides.yaml"]


def test_editors_do_not_lose_each_others_lines(path: Path) -> None:
    scopes = [
        "all",
        "cdn.example",
        "www.cdn.example",
        "auto.cdn.example",
        "live.cdn.example",
        "img.cdn.example",
    ]
    threads = [
        threading.Thread(target=set_forced, args=(path, DEPLOYMENT, ForcedTarget(scope, ANYCAST, "x", None)))
        for scope in scopes
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {forced.scope for forced in read_overrides(path, DEPLOYMENT).forced} == set(scopes)


REASONS = st.text(st.characters(categories=("L", "N", "P", "S", "Zs")), min_size=1, max_size=20).filter(
    str.isprintable
)
LINES = st.one_of(
    st.builds(
        ForcedTarget,
        st.sampled_from(["all", "cdn.example", "www.cdn.example", "img.cdn.example"]),
        st.sampled_from([ANYCAST, Target("pop", "gru"), Target("region", "southamerica")]),
        REASONS,
        st.none() | st.integers(0, 4_000_000_000).map(float),
    ),
    st.builds(
        Drain,
        st.sampled_from(["fra", "gru", "nrt"]),
        st.none() | st.just("default"),
        REASONS,
        st.none() | st.integers(0, 4_000_000_000).map(float),
    ),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(LINES, st.booleans()), min_size=1, max_size=8))
def test_any_run_of_edits_is_what_a_list_would_hold(
    tmp_path_factory: pytest.TempPathFactory, edits: list[tuple[ForcedTarget | Drain, bool]]
) -> None:
    path = tmp_path_factory.mktemp("edits") / "overrides.yaml"
    path.write_text("# ours\nforced:\n  - {scope: auto.cdn.example, target: anycast, reason: kept} # here\n")
    kept = ForcedTarget("auto.cdn.example", ANYCAST, "kept", None)
    forced, drains = {"auto.cdn.example": kept}, dict[tuple[str, str | None], Drain]()
    for line, sets in edits:
        if isinstance(line, ForcedTarget):
            if not sets or forced.get(line.scope) != line:  # the same line again changes nothing
                forced.pop(line.scope, None)
            if sets:
                forced[line.scope] = line
                set_forced(path, DEPLOYMENT, line)
            else:
                clear_forced(path, DEPLOYMENT, line.scope)
            continue
        if sets:
            if drains.get((line.pop, line.service)) != line:
                drains.pop((line.pop, line.service), None)
            drains[line.pop, line.service] = line
            set_drain(path, DEPLOYMENT, line)
        else:
            drains = {
                key: drain
                for key, drain in drains.items()
                if key[0] != line.pop or line.service not in (None, key[1])
            }
            clear_drain(path, DEPLOYMENT, line.pop, line.service)
    assert read_overrides(path, DEPLOYMENT) == Overrides(tuple(forced.values()), tuple(drains.values()))
    assert "# here" in path.read_text()


def test_times_are_utc() -> None:
    assert time_text(NOON_S) == "2026-11-24T12:00:00Z"


def test_hosts_are_forced_on_names_that_are_cnames_and_addresses_on_all_others(tmp_path: Path) -> None:
    directory = copy_example(tmp_path)
    change(directory, ZONE, "policies:\n", "  multi: {policy: alias}\npolicies:\n")
    answer = '{"cname:a.example.net": 1, "cname:b.example.net": 0}'
    change(directory, ZONE, "policies:\n", f"policies:\n  alias: {{rules: [{{answer: {answer}}}]}}\n")
    deployment, _ = taken(directory)
    for scope in ("all", "cdn.example", "multi.cdn.example"):
        (line,) = parse(
            f'forced: [{{scope: {scope}, target: "cname:B.example.net.", reason: x}}]', deployment
        ).forced
        assert line.target == Target("cname", "b.example.net")
        assert line.gives_cname
    for scope in ("all", "cdn.example", "www.cdn.example"):
        (line,) = parse(f'forced: [{{scope: {scope}, target: "pop:fra", reason: x}}]', deployment).forced
        assert not line.gives_cname
    for scope, target, fault in (
        (
            "multi.cdn.example",
            "pop:fra",
            (
                "`multi.cdn.example` is a CNAME, so `pop:fra`, an address, "
                "cannot be forced on it; force one of `cname:a.example.net`, `cname:b.example.net`"
            ),
        ),
        (
            "www.cdn.example",
            "cname:a.example.net",
            (
                "`www.cdn.example` gives addresses, so "
                "`cname:a.example.net` cannot be forced on it; force `anycast`, `region:NAME` or `pop:NAME`"
            ),
        ),
        (
            "all",
            "cname:c.example.com",
            (
                "no policy of this deployment answers `cname:c.example.com`; "
                "did you mean `cname:b.example.net`?"
            ),
        ),
    ):
        with pytest.raises(Refused) as refused:
            parse(f'forced: [{{scope: {scope}, target: "{target}", reason: x}}]', deployment)
        assert [str(fault).partition(": ")[2] for fault in refused.value.faults] == [fault]
    with pytest.raises(Refused, match=r"every steered name in `all` gives addresses, so `cname:a"):
        parse('forced: [{scope: all, target: "cname:a.example.net", reason: x}]')
