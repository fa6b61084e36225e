"""A verdict of `auto` as a sentence, for `explain`. Pure."""

import math

from steer.decide.resolver_mix import HARM_MS, HARMED_SHARE
from steer.model.evidence import Reason, Verdicts
from steer.model.policy import AutoSettings

_ALL_PERCENT = 99.5
_CONCLUSIONS = {
    Reason.OVERRIDDEN: "overridden",
    Reason.KEPT: "overridden before, and kept while the gain is at least {return_margin:g} ms",
    Reason.TOO_FEW_PERIODS: "not yet overridden, {wins} are needed",
    Reason.UNSURE: "not sure to be the {margin:g} ms for which anycast is left",
    Reason.ANYCAST_GOOD: "anycast is good, less than the {margin:g} ms for which it is left",
    Reason.TAKEN_BACK: "overridden before, and taken back, since the gain was below {return_margin:g} ms",
}
_STAYS = "too many would lose more than {harm:g} ms, so anycast stays"
_HARMFUL = {
    Reason.TOO_FEW_PERIODS: _STAYS,
    Reason.UNSURE: _STAYS,
    Reason.ANYCAST_GOOD: _STAYS,
    Reason.TAKEN_BACK: "overridden before, and taken back, since too many lost more than {harm:g} ms",
}


def sentence(verdicts: Verdicts, group: int, settings: AutoSettings) -> str:
    """Why this row of the verdicts is answered as it is, with the numbers that led to it."""
    reason = Reason(int(verdicts.reason[group]))
    if reason == Reason.NO_EVIDENCE:
        return (
            f"too little evidence of its own (fewer than {settings.min_samples} fresh samples of anycast or "
            f"of every other target, or most from one network): {_led(verdicts, group)}; "
            "the wider group decides"
        )
    if reason == Reason.STALE or math.isnan(float(verdicts.gain_ms[group])):
        return (
            f"overridden before, but fewer than {settings.min_samples} fresh samples tell whether it still "
            f"helps: back to anycast; {_led(verdicts, group)}"
        )
    is_harmful = float(verdicts.harmed_share[group]) > HARMED_SHARE  # false where nobody is told of
    conclusions = _CONCLUSIONS | _HARMFUL if is_harmful else _CONCLUSIONS
    conclusion = conclusions[reason].format(
        margin=settings.margin_ms,
        return_margin=settings.return_margin_ms,
        wins=settings.wins,
        harm=HARM_MS,
    )
    told = (_measured(verdicts, group), _gained(verdicts, group, settings), _crowd(verdicts, group))
    return ": ".join((*filter(None, told), conclusion))


def _measured(verdicts: Verdicts, group: int) -> str:
    """Both sides, `anycast takes them to sin at 182 ms (64 samples); pop:fra is 31 ms (58 samples)`."""
    target = _shown(verdicts, group)
    return (
        f"{_led(verdicts, group)} at {_number(verdicts.anycast_ms[group])} ms "
        f"({_number(verdicts.anycast_samples[group])} samples); {target} is "
        f"{_number(verdicts.best_ms[group])} ms ({_number(verdicts.best_samples[group])} samples)"
    )


def _gained(verdicts: Verdicts, group: int, settings: AutoSettings) -> str:
    """`gain 151 ms, at least 139 ms with 95 % confidence, in 3 of 4 periods`; a loss is named as one."""
    gain, low = float(verdicts.gain_ms[group]), float(verdicts.gain_low_ms[group])
    named = f"gain {_number(gain)} ms" if gain >= 0 else f"loss {_number(-gain)} ms"
    bound = f"at least {_number(low)} ms" if low >= 0 else f"at worst a loss of {_number(-low)} ms"
    return (
        f"{named}, {bound} with {100 * settings.confidence:g} % confidence, "
        f"in {verdicts.periods_won[group]} of {verdicts.periods_seen[group]} periods"
    )


def _crowd(verdicts: Verdicts, group: int) -> str:
    """`of its clients 83 % gain, 2 % lose`, of those who are known; '' where nobody is told of."""
    known, gaining, harmed = (
        100 * float(each[group])
        for each in (verdicts.known_share, verdicts.gaining_share, verdicts.harmed_share)
    )
    if math.isnan(known):
        return ""
    whose = (
        "of its clients" if known >= _ALL_PERCENT else f"of the {known:.0f} % of its clients who are known"
    )
    return f"{whose} {gaining:.0f} % gain, {harmed:.0f} % lose"


def _led(verdicts: Verdicts, group: int) -> str:
    """Where anycast leads, as far as known."""
    catchment = int(verdicts.catchment[group])
    if catchment < 0:
        return "anycast takes them to an unknown POP"
    return f"anycast takes them to {verdicts.targets[catchment].removeprefix('pop:')}"


def _shown(verdicts: Verdicts, group: int) -> str:
    """The target of which the numbers speak: the one that is answered, else the best that was found."""
    first = verdicts.targets[int(verdicts.first[group])]
    return first if first != "anycast" else verdicts.targets[int(verdicts.best[group])]


def _number(value: float) -> str:
    """A number as a person reads it: whole from ten on, else with one decimal."""
    value = float(value)
    return f"{value:.0f}" if abs(value) >= 10 or value == round(value) else f"{value:.1f}"
