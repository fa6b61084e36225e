"""Why a rule's conditions do not hold for one client, in a few words. Pure."""

from steer.model.place import Place
from steer.model.policy import When
from steer.model.service import Address


def mismatch(when: When | None, address: Address | None, place: Place) -> str:
    """What keeps a rule's client conditions from holding; empty when all of them hold."""
    if when is None:
        return ""
    if when.prefixes is not None and not any(
        address is not None and prefix.version == address.version and address in prefix
        for prefix in when.prefixes
    ):
        return f"not in its {len(when.prefixes)} prefixes"
    for what, wanted, has in (
        ("country", when.countries, place.country),
        ("continent", when.continents, place.continent),
        ("subdivision", when.subdivisions, place.subdivision),
    ):
        if wanted is not None and has not in wanted:
            return f"{what} is {has or 'unknown'}, not {_listed(sorted(wanted))}"
    if when.asns is not None and place.asn not in when.asns:
        own = f"AS{place.asn}" if place.asn else "unknown"
        return f"ASN is {own}, not {_listed([f'AS{asn}' for asn in sorted(when.asns)])}"
    if when.negated is not None and not mismatch(when.negated, address, place):
        return "its `not` holds"
    return ""


def _listed(values: list[str]) -> str:
    return ", ".join(values[:5]) + (f" or {len(values) - 5} more" if len(values) > 5 else "")
