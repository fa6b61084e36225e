"""Token buckets: how often strangers may do what costs something. The clock is an argument."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field


@dataclass(slots=True)
class TokenBucket:
    """`per_second` tokens flow in, at most `burst` lie in it; it starts full. `now_s` may be of any clock,
    and one that goes back adds nothing."""

    per_second: float
    burst: float
    _tokens: float = field(default=-1.0)  # below 0: never used, so full
    _at_s: float = 0.0

    def take(self, now_s: float, cost: float = 1.0) -> float:
        """0.0 where `cost` tokens were taken; else nothing was, and so many seconds are to wait. What costs
        more than the burst takes a full bucket."""
        cost = min(cost, self.burst)
        tokens = self.level(now_s)
        self._at_s = max(now_s, self._at_s)
        if tokens < cost:
            self._tokens = tokens
            return (cost - tokens) / self.per_second
        self._tokens = tokens - cost
        return 0.0

    def level(self, now_s: float) -> float:
        """How many tokens lie in it now."""
        if self._tokens < 0:
            return self.burst
        return min(self.burst, self._tokens + max(0.0, now_s - self._at_s) * self.per_second)


@dataclass(slots=True)
class BucketTable:
    """A bucket for each key, at most `most` of them. Where all are in use, a new key finds none: it is
    refused rather than that a busy one be forgotten, which would fill its bucket."""

    per_second: float
    burst: float
    most: int
    _buckets: OrderedDict[Hashable, TokenBucket] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return len(self._buckets)

    def take(self, key: Hashable, now_s: float) -> float:
        """As `TokenBucket.take`, from the key's own."""
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self.most and not self._forget_one(now_s):
                return self.burst / self.per_second
            bucket = self._buckets[key] = TokenBucket(self.per_second, self.burst)
        self._buckets.move_to_end(key)
        return bucket.take(now_s)

    def _forget_one(self, now_s: float) -> bool:
        """Forget the bucket that was used longest ago, if it is as full as a new one."""
        key, bucket = next(iter(self._buckets.items()))
        if bucket.level(now_s) < self.burst:
            return False
        del self._buckets[key]
        return True
