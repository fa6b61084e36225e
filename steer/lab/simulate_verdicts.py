"""Answers from verdicts alone, without a map: the quick way, for trials of many settings. Pure.

It says what the map says where no tolerance merges leaves (a test holds the two together)."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from steer.lab.schemes import Answers
from steer.lab.simulate_learning import Membership
from steer.lab.simulate_map import Askers, Product
from steer.model.evidence import Verdicts
from steer.model.policy import AutoSettings

RESOLVER_COLUMN = 4  # of Membership.member


@dataclass(slots=True)
class ByVerdicts:
    """Each unit by its narrowest group that decides, each resolver by its own."""

    product: Product
    membership: Membership
    settings: AutoSettings
    _held_out: dict[str, NDArray[np.bool_]] = field(default_factory=dict)

    def steer(self, verdicts: Verdicts) -> Answers:
        """What everyone is told."""
        columns = self.product.columns
        number_of = {name: number for number, name in enumerate(columns.names)}
        column_of = np.array([number_of[name] for name in verdicts.targets], dtype=np.int16)
        member = self.membership.member
        first = np.full(len(member), columns.anycast, dtype=np.int16)
        for column in range(RESOLVER_COLUMN - 1, -1, -1):  # the narrowest is written last
            group = member[:, column]
            mine = (group >= 0) & verdicts.decides[group]
            first[mine] = column_of[verdicts.first[group[mine]]]
        rows = self.membership.of_resolver
        decided = verdicts.decides[rows]
        resolver = np.where(decided, column_of[verdicts.first[rows]], columns.anycast).astype(np.int16)
        return Answers(
            self._without_holdout(first, self.product.units),
            self._without_holdout(resolver, self.product.resolvers),
        )

    def _without_holdout(self, first: NDArray[np.int16], askers: Askers) -> NDArray[np.int16]:
        if askers.domain not in self._held_out:
            settings = self.settings
            bits = (settings.holdout_ipv4_bits, settings.holdout_ipv6_bits)
            self._held_out[askers.domain] = self.product.held_out(askers, settings.holdout, bits)
        return np.where(self._held_out[askers.domain], self.product.columns.anycast, first).astype(np.int16)
