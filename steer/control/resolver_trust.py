"""Which resolvers' evidence is believed: of many networks, or of the resolver's own. Pure."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from steer.control.map_geodata import Geodata
from steer.decide.groups import assign_groups
from steer.decide.rows import intern_rows
from steer.model.evidence import Groups, Units
from steer.model.networks import UNKNOWN_ASN
from steer.sources.evidence_cells import Sources

NETWORK_SHARE_MAX = 0.6  # of a resolver's evidence, from one network that is not its own


def believed(
    resolvers: Sources,
    clients: Sources,
    groups: Groups,
    behind: Mapping[str, NDArray[Any]],
    geodata: Geodata,
) -> Sources:
    """The resolvers but for those of which most evidence comes from one other network: who asks through a
    resolver of others, or forges its address, shall not speak for all behind it. `groups`: those of the
    clients first, in their order."""
    if not len(resolvers.units):
        return resolvers
    lookup = geodata.geography.__getitem__
    home = assign_groups(resolvers.units, lookup, geodata.places)[0].asn[: len(resolvers.units)]
    resolver = np.searchsorted(resolvers.codes, behind["resolver"])
    client = np.searchsorted(clients.codes, behind["client"])
    asn = groups.asn[client].astype(np.int64)
    network = np.where(asn == UNKNOWN_ASN, -1 - client, asn)  # without an AS, each unit is one
    pair, sample = intern_rows([resolver, network])
    share = np.bincount(pair, weights=behind["count"])
    owner, is_other = resolver[sample], network[sample] != home[resolver[sample]]
    total = np.bincount(owner, weights=share, minlength=len(home))
    largest = np.zeros(len(home))
    np.maximum.at(largest, owner, np.where(is_other, share, 0.0))
    kept = np.flatnonzero(largest <= NETWORK_SHARE_MAX * total)
    units = Units(resolvers.units.family[kept], resolvers.units.start[kept])
    return Sources(units, resolvers.codes[kept])
