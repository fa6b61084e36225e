"""What a policy says of the answer `auto`, and of differences that do not matter to it."""

from dataclasses import replace
from fractions import Fraction

from steer.model.policy import AutoSettings, Rule, Tolerance, UnitLengths, is_auto
from steer.sources.fields import Parser, read_fields
from steer.sources.located_yaml import Faults, Node
from steer.sources.scalars import duration_s, integer, number, percentage

AUTO_KEYS = {
    "margin": "10ms",
    "return_margin": "5ms",
    "min_samples": "20",
    "wins": "2",
    "periods": "4",
    "confidence": "95%",
    "holdout": "2%",
    "holdout_unit": "{ipv4: 20, ipv6: 40}",
}
TOLERANCE_KEYS = {"ms": "2", "km": "100"}
UNIT_KEYS = {"ipv4": "24", "ipv6": "48"}
AUTO_TOLERANCE = Tolerance(ms=2.0, km=100.0)  # of policies that answer `auto` and say nothing of it
LARGEST_PERIODS = 48  # as many as are kept one by one


def read_auto(node: Node, faults: Faults) -> AutoSettings | None:
    """The mapping `auto`. A margin of return that is not given is half of `margin`, 5 ms at most; `wins` that
    are not given are two, or all periods if fewer are looked at."""
    fields = read_fields(node, AUTO_KEYS, faults, "`auto`")
    if fields is None:
        return None
    default = AutoSettings()
    margin_ms = _ms(fields.optional("margin", duration_s(0, 10, "10ms"), default.margin_ms / 1000))
    usual_return_ms = min(default.return_margin_ms, margin_ms / 2)
    return_margin_ms = _ms(
        fields.optional("return_margin", duration_s(0, 10, "5ms"), Fraction(usual_return_ms) / 1000)
    )
    periods = fields.optional("periods", integer(1, LARGEST_PERIODS, 4), default.periods)
    usual_wins = min(default.wins, periods)
    wins = fields.optional("wins", integer(1, LARGEST_PERIODS, 2), usual_wins)
    if return_margin_ms > margin_ms:
        faults.add(
            fields.location("return_margin"),
            f"`return_margin` is {return_margin_ms:g} ms, above the `margin` of {margin_ms:g} ms, so an "
            "override could end as it starts",
            f"write such as `{usual_return_ms:g}ms`",
        )
    if wins > periods:
        faults.add(
            fields.location("wins"),
            f"{wins} `wins` of {periods} `periods` cannot be",
            f"write such as `{usual_wins}`, or more `periods`",
        )
    unit = fields.optional("holdout_unit", read_unit("holdout_unit"), None)
    settings = AutoSettings(
        margin_ms=margin_ms,
        return_margin_ms=return_margin_ms,
        min_samples=fields.optional("min_samples", integer(1, 1_000_000, 20), default.min_samples),
        wins=wins,
        periods=periods,
        confidence=float(fields.optional("confidence", _confidence, Fraction(default.confidence))),
        holdout=float(fields.optional("holdout", percentage(0, 50, "2%"), Fraction(default.holdout))),
    )
    if unit is None:
        return settings
    return replace(settings, holdout_ipv4_bits=unit.ipv4_bits, holdout_ipv6_bits=unit.ipv6_bits)


def read_tolerance(node: Node, faults: Faults) -> Tolerance | None:
    """The mapping `tolerance`; what is not given is 0."""
    fields = read_fields(node, TOLERANCE_KEYS, faults, "`tolerance`")
    if fields is None:
        return None
    return Tolerance(
        ms=fields.optional("ms", number(0, 1000, "2"), 0.0),
        km=fields.optional("km", number(0, 5000, "100"), 0.0),
    )


def usual_tolerance(rules: tuple[Rule, ...]) -> Tolerance:
    """What does not matter to a policy that does not say so: by these rules."""
    return AUTO_TOLERANCE if any(is_auto(rule.answer) for rule in rules) else Tolerance()


def read_unit(key: str) -> Parser[UnitLengths]:
    """The prefix lengths by which shares are hashed; what is not given is as for policies."""

    def parse(node: Node, faults: Faults) -> UnitLengths | None:
        fields = read_fields(node, UNIT_KEYS, faults, f"`{key}`")
        if fields is None:
            return None
        auto = AutoSettings()
        default = (
            UnitLengths(auto.holdout_ipv4_bits, auto.holdout_ipv6_bits)
            if key == "holdout_unit"
            else UnitLengths()
        )
        return UnitLengths(
            fields.optional("ipv4", integer(8, 32, default.ipv4_bits), default.ipv4_bits),
            fields.optional("ipv6", integer(16, 64, default.ipv6_bits), default.ipv6_bits),
        )

    return parse


def _confidence(node: Node, faults: Faults) -> Fraction | None:
    """From an even chance to all but certainty."""
    share = percentage(50, 100, "95%")(node, faults)
    if share is not None and share > Fraction(999_999, 1_000_000):
        faults.add(node.at, "nothing is certain of what was measured", "write less than 100%, such as `95%`")
        return None
    return share


def _ms(seconds: float | Fraction) -> float:
    return float(Fraction(seconds) * 1000)
