"""What does not serve: inputs that were refused, versions that are held, a deployment on its way in."""

from dataclasses import dataclass

from steer.errors import Fault


@dataclass(frozen=True, slots=True)
class Pending:
    """An input that waits. `what`: policy, geodata, map, overrides, signing, which were refused and wait to
    be mended; guard, rollout, rollback, which hold a sound one."""

    what: str
    since_s: float
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Held:
    """A sound version that waits. `by`: guard, rollout or rollback; `hash`: what `steer apply --force` takes.
    `moved`, `limit`: of the guard, shares of the demand; `number`: of the rollback, what serves."""

    by: str
    hash: str
    since_s: float
    moved: float | None = None
    limit: float | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Build:
    """A deployment on its way in."""

    what: str
    since_s: float
    progress: str
