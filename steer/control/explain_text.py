"""An explanation as text for people: one block, widest facts first, the sentence that sums it up last."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any


def explanation_text(found: Mapping[str, Any]) -> str:
    """The readable form of what `steer.control.explain.explain` found."""
    return "\n".join(_lines(found)) + "\n"


def _lines(found: Mapping[str, Any]) -> Iterator[str]:
    asked, answer = found["question"], found["answer"]
    client = f"client {asked['client']}" if asked["client"] else "no client subnet"
    yield f"{asked['name']} {asked['type']}, {client}, resolver {asked['resolver']}"
    yield f"  from       {found['origin']} ({found['engine']} engine, policy {found['policy_hash'][:12]})"
    reasons, place = found["reasons"], found["place"]
    if reasons is not None:
        yield f"  place      {_place(place)}"
        yield f"  view       {reasons['view']}; {reasons['client']}"
        arm = f", experiment {reasons['experiment']} arm {reasons['arm']}" if reasons["arm"] else ""
        yield f"  policy     {reasons['policy']} of {reasons['zone']}, service {reasons['service']}{arm}"
        for trial in reasons["rules"]:
            yield f"  rule       {'->' if trial['matched'] else '  '} {trial['identity']}: {trial['why']}"
        for share in reasons["shares"]:
            yield f"  share      {share}"
        if reasons["evidence"] is not None:
            yield from _evidence(reasons["evidence"])
        yield from _candidates(reasons["candidates"])
        for note in reasons["notes"]:
            yield f"  note       {note}"
    if found["override"] is not None:
        line = found["override"]
        yield f"  OVERRIDE   {line['scope']} answers {line['target']} whatever rules say: {line['reason']}"
    for drain in found["drains"]:
        where = f" in {drain['service']}" if drain["service"] else ""
        yield f"  DRAINED    {drain['pop']}{where}: {drain['reason']}"
    yield f"  answer     {answer['rcode']}{_scope(answer['scope'], asked['client'])}"
    for record in answer["records"]:
        yield f"             {record['name']} {record['ttl_s']} {record['type']} {record['data']}"
    if found["ttl"] is not None:
        yield f"  ttl        {found['ttl']}"
    if found["agrees"] is False:
        yield "  WARNING    the engine answered something else than these reasons come to: a bug of steer"
    yield f"  so         {found['sentence']}"


def _place(place: Mapping[str, Any]) -> str:
    if not place["databases"] and not place["told_by"]:
        return "unknown: the databases are not at hand"
    words = [place["city"], place["subdivision"], place["country"], place["continent"]]
    where = ", ".join(word for word in words if word) or "unknown"
    if place["latitude_deg"] is not None:
        radius = f" within {place['accuracy_km']} km" if place["accuracy_km"] is not None else ""
        where += f" ({place['latitude_deg']:.2f}, {place['longitude_deg']:.2f}{radius})"
    if place["asn"]:
        where += f", AS{place['asn']}"
    told = f" of {place['told_by']}" if place["told_by"] else ""
    return f"{where}, by network {place['network']}{told}" if place["network"] else where


def _evidence(evidence: Mapping[str, Any]) -> Iterator[str]:
    """What `auto` went by: who decided, on what numbers, where BGP leads, who is held out."""
    for number, group in enumerate(evidence["groups"]):
        mark = "->" if number == evidence["decided_by"] else "  "
        gives = f", {group['first']}" if group["decides"] else ""
        leads = f", BGP leads to {group['catchment']}" if group["catchment"] else ""
        yield f"  evidence   {mark} {group['kind']} {group['name']}: {group['reason']}{gives}{leads}"
    if not evidence["groups"]:
        yield f"  evidence   {evidence['sentence']}"
    for each in evidence["measured"]:
        yield f"  measured   {each['target']}: {each['rtt_ms']:g} ms (median of {each['samples']:g})"
    if evidence["gain_ms"] is not None:
        low = "?" if evidence["gain_low_ms"] is None else f"{evidence['gain_low_ms']:g}"
        yield (
            f"  gain       {evidence['best']} over anycast: {evidence['gain_ms']:g} ms, at least {low} ms; "
            f"won {evidence['periods_won']} of {evidence['periods_seen']} periods seen"
        )
    if evidence["catchment"]:
        yield f"  catchment  {evidence['catchment']}, by {evidence['catchment_by']}"
    if evidence["held_out"] is not None:
        yield f"  holdout    this unit is {'' if evidence['held_out'] else 'not '}held out"
    model = evidence["model"]
    if model["pairs"]:
        error = "" if model["error_ms"] is None else f" +- {model['error_ms']:.0f} ms"
        yield (
            f"  estimates  {model['base_ms']:.1f} ms + {model['ms_per_km']:.4f} ms/km{error}, fitted to "
            f"{model['pairs']} pairs of group and POP"
        )


def _candidates(candidates: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    if not candidates:
        return
    rows = [("", "target", "km", "~ms", "state", "why")] + [
        (
            "=>" if each["won"] else "",
            each["target"],
            "" if each["distance_km"] is None else f"{each['distance_km']:.0f}",
            "" if each["expected_rtt_ms"] is None else f"{each['expected_rtt_ms']:.0f}",
            each["state"],
            each["why"],
        )
        for each in candidates
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    for mark, target, away, rtt, state, why in rows:
        yield (
            f"  candidate  {mark:2} {target:{widths[1]}}  {away:>{widths[2]}}  {rtt:>{widths[3]}}  "
            f"{state:{widths[4]}}  {why}"
        )


def _scope(scope: int | None, client: str | None) -> str:
    if scope is None or client is None:
        return ""
    return f", scope /{scope}: " + (
        "the same for every client"
        if scope == 0
        else "resolvers may reuse it for the clients inside that prefix"
    )
