"""What must hold of `cname:HOST` answers: a name is a CNAME for every client, or for none.

A CNAME stands alone at its name (RFC 1034 section 3.6.2), so never at a zone's apex, and there is one of it
(RFC 2181 section 10.1). It leaves no address to fall back to: a policy must say what everybody gets."""

from collections.abc import Collection, Iterable, Mapping
from itertools import pairwise

from steer.model.policy import Experiment, Fixed, Policy, SteeredName
from steer.sources.fields import Fields
from steer.sources.located_yaml import Faults
from steer.sources.zone_rules import Mention

EXAMPLE_HOST = "www.example.net"
_WITHOUT_EFFECT = ("families", "candidates", "auto", "pops")


def check_policy(
    fields: Fields, policy: Policy, mentions: Iterable[Mention], faults: Faults, *, is_whole: bool
) -> bool:
    """Refuse a policy that gives both addresses and CNAMEs, or CNAMEs but not to everybody. `mentions`: its
    own answers, in order; `is_whole`: none of its rules was faulty. Returns whether it is one or the other,
    so that what uses it can be looked at."""
    by_kind = {_is_cname(mention): mention for mention in reversed(tuple(mentions))}  # the first of each
    if True not in by_kind:
        return True
    if False in by_kind:
        first, second = sorted(by_kind.values(), key=lambda mention: (mention.at.line, mention.at.column))
        wrong = (
            f"policy `{policy.name}` gives {_given(second)} here and {_given(first)} on line {first.at.line}"
        )
        faults.add(second.at, wrong, "a name gives one or the other to every client: use a policy for each")
        return False
    if is_whole and not any(rule.when is None for rule in policy.rules):
        fix = f'end it with a rule without `when`, such as `{{answer: "cname:{EXAMPLE_HOST}"}}`'
        wrong = f"policy `{policy.name}` gives CNAMEs, but none to who matches no rule"
        faults.add(policy.location, wrong, fix)
    if policy.sticky:
        wrong = f"policy `{policy.name}` is sticky, but gives CNAMEs, whose addresses are the hosts' affair"
        faults.add(fields.location("sticky"), wrong, "remove `sticky: true`")
    if policy.pops.count > 1:
        wrong = f"`count: {policy.pops.count}` in policy `{policy.name}`, which gives CNAMEs"
        faults.add(fields.location("pops"), wrong, "remove it: a name has one CNAME (RFC 2181 section 10.1)")
        return True
    for key in _WITHOUT_EFFECT:
        if key in fields:
            wrong = f"`{key}` has no effect in policy `{policy.name}`, which gives CNAMEs"
            faults.warn(fields.location(key), wrong, "remove it")
    return True


def check_arms(experiment: Experiment, policies: Mapping[str, Policy], faults: Faults) -> None:
    """Refuse an experiment of whose arms some give addresses, others CNAMEs."""
    arms = [arm for arm in experiment.arms if arm.policy in policies]
    for first, second in pairwise(arms):
        of_first, of_second = policies[first.policy].gives_cname, policies[second.policy].gives_cname
        if of_first != of_second:
            words = {True: "CNAMEs", False: "addresses"}
            wrong = (
                f"arm `{first.name}` of experiment `{experiment.name}` gives {words[of_first]}, "
                f"arm `{second.name}` {words[of_second]}"
            )
            fix = "a name gives one or the other to every client: change the arms' policies"
            faults.add(experiment.location, wrong, fix)
            return


def check_names(names: Iterable[SteeredName], aliases: Collection[str], faults: Faults) -> None:
    """Refuse a CNAME at an apex; `aliases`: the owners that would be CNAMEs."""
    for name in names:
        if name.owner == "@" and name.owner in aliases:
            fix = (
                "answer addresses, or leave the name to an HTTPS record in alias mode in the zone file "
                "(RFC 9460 section 2.4.2)"
            )
            faults.add(name.location, "`@` would be a CNAME, but SOA and NS stand at the zone's apex", fix)


def _is_cname(mention: Mention) -> bool:
    return isinstance(mention.answer, Fixed) and mention.answer.target.kind == "cname"


def _given(mention: Mention) -> str:
    return "a CNAME" if _is_cname(mention) else "addresses"
