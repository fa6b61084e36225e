"""From a policy directory, or from the store, to a deployment that is ready to serve."""

import asyncio
import logging
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from steer.control.directories import summaries_file
from steer.control.inputs import Inputs, find_databases, read_inputs
from steer.control.limits import give_way
from steer.control.map_child import MapFile, ensure_map, stored_map
from steer.control.map_geodata import Databases
from steer.control.serving import Serving, prepare, renew
from steer.control.signing import Signing
from steer.control.zone_copies import ZoneCopies
from steer.dataplane.engine import EngineForm
from steer.errors import Refused
from steer.publish.deployments import StoredDeployment
from steer.publish.store import Store
from steer.telemetry.counters import Registry

P = ParamSpec("P")
T = TypeVar("T")
log = logging.getLogger("steer.control")


@dataclass(slots=True)
class Loader:
    """Reads, maps and proves deployments, one at a time, off the event loop.

    One thread does all of it, so that a load which was given up and one that takes its place never meet; it
    gives way to the packet threads.
    `cache`: where packaged databases are unpacked. `cookie_secret`: for deployments that give none."""

    form: EngineForm
    registry: Registry
    store: Store
    signing: Signing
    copies: ZoneCopies
    cache: Path
    cookie_secret: bytes = field(repr=False)
    _worker: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(1, "steer-load", give_way))

    @property
    def summaries(self) -> Path:
        """The file of what was learned last; it need not be there."""
        return summaries_file(self.store.directory)

    async def read(self, directory: Path) -> Inputs:
        """Read and prove a policy directory, with what its zones' primaries gave. Raises Refused."""
        return await self._in_worker(lambda: self._laid(read_inputs(directory)))

    async def databases(self, inputs: Inputs) -> Databases:
        """Find and look at its databases. Raises Refused."""
        return await self._in_worker(find_databases, inputs.deployment, self.cache)

    async def map(self, inputs: Inputs, databases: Databases, progress: Callable[[str], None]) -> MapFile:
        """Its map, from the cache or built by a child; `progress` is called only in the latter case.

        Raises Refused or MapBuildError."""
        return await ensure_map(inputs.deployment, databases, self.store.maps, progress, self.summaries)

    async def prepare(
        self, inputs: Inputs, databases: Databases, map_file: MapFile, *, partly: bool = False
    ) -> Serving:
        """Sign it and prove it for the engine. `partly`: even where something cannot be signed. Raises
        Refused."""
        return await self._in_worker(self._prepare, inputs, databases, map_file, partly=partly)

    async def renew(self, serving: Serving) -> Serving:
        """Sign it anew where that is due. Raises Refused."""
        return await self._in_worker(renew, self.form, serving, self.registry, self.signing)

    async def lay(self, serving: Serving) -> Serving:
        """The same with the copies of its zones as they are now. Raises Refused where they do not fit."""
        return await self._in_worker(self._lay, serving)

    async def save(self, serving: Serving, now_s: float) -> None:
        """Keep it as the last good one, and remove the maps that nothing needs any more. Raises OSError."""
        await self._in_worker(self._save, serving, now_s)

    async def tidy(self, keep: Iterable[bytes]) -> None:
        """Remove the maps that neither a stored deployment nor `keep` (identities) names. Raises OSError."""
        await self._in_worker(self._tidy, tuple(keep))

    async def restore(self, stored: StoredDeployment) -> Serving | None:
        """A deployment of the store, ready to serve; None where it cannot."""
        return await self._in_worker(self._restore, stored)

    async def stored(self) -> Serving | None:
        """The newest deployment in the store that can serve, from its copies and its map alone."""
        return await self._in_worker(self._stored)

    def close(self) -> None:
        """Take no more work; what is under way ends by itself."""
        self._worker.shutdown(wait=False, cancel_futures=True)

    def _lay(self, serving: Serving) -> Serving:
        laid = replace(serving, inputs=self._laid(serving.inputs))
        return renew(self.form, laid, self.registry, self.signing)

    def _laid(self, inputs: Inputs) -> Inputs:
        return replace(inputs, deployment=self.copies.lay(inputs.deployment))

    def _prepare(
        self, inputs: Inputs, databases: Databases | None, map_file: MapFile, *, partly: bool
    ) -> Serving:
        return prepare(
            self.form,
            self._laid(inputs),
            databases,
            map_file,
            self.registry,
            self.cookie_secret,
            self.signing,
            partly=partly,
        )

    def _save(self, serving: Serving, now_s: float) -> None:
        deployment, identity = serving.deployment, serving.map_file.identity
        inputs = serving.inputs
        self.store.deployments.save(
            deployment.directory,
            inputs.contents,
            (*inputs.outside, *inputs.evidence),
            deployment.policy_hash,
            identity,
            now_s,
        )
        self._tidy((identity,))

    def _tidy(self, keep: tuple[bytes, ...]) -> None:
        for name in self.store.remove_unused_maps(keep):
            log.info("removed the unused map %s", name)

    def _stored(self) -> Serving | None:
        current = self.store.deployments.current()
        candidates = [current] if current else []
        candidates += [stored for stored in self.store.deployments.history() if stored != current]
        return next((serving for stored in candidates if (serving := self._restore(stored))), None)

    def _restore(self, stored: StoredDeployment) -> Serving | None:
        map_file = stored_map(self.store.maps, stored.map_identity)
        if map_file is None:
            return None
        try:
            inputs = read_inputs(self.store.deployments.restore(stored), is_stored=True)
            databases = None
            try:
                databases = find_databases(inputs.deployment, self.cache)
            except Refused:
                log.warning("the databases of the last good deployment are gone; it serves without them")
            serving = self._prepare(inputs, databases, map_file, partly=True)
        except (Refused, ValueError, OSError) as error:
            log.warning("deployment %d of the store cannot serve: %s", stored.number, error)
            return None
        return replace(serving, restored=stored.number)

    async def _in_worker(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._worker, lambda: work(*args, **kwargs))
