"""One deployment made ready to serve: proved for the engine, with the records and signatures of a moment."""

from dataclasses import dataclass, replace
from typing import Any

from steer.control.assemble import ChoiceMaker, assemble_records
from steer.control.explaining import counter_texts
from steer.control.inputs import Inputs
from steer.control.map_child import MapFile
from steer.control.map_geodata import Databases
from steer.control.signing import Signing, SigningReport
from steer.control.wire_settings import hashes_of, wire_settings
from steer.dataplane.engine import EngineForm
from steer.model.deployment import Deployment
from steer.publish.records_part import WireSettings
from steer.telemetry.counters import Registry


@dataclass(frozen=True, slots=True)
class Serving:
    """One deployment, proved and ready to serve: its inputs, its map, and both as the engine's parts.

    `databases`: for look-ups; None where they are not at hand. `restored`: the store's number of it where
    it came from there, since what the policy directory says cannot serve, or not yet."""

    inputs: Inputs
    databases: Databases | None
    map_file: MapFile
    maker: ChoiceMaker
    settings: WireSettings
    records: Any
    map: Any
    signatures: Any = None  # None: no zone is signed
    signing: SigningReport | None = None
    restored: int | None = None

    @property
    def deployment(self) -> Deployment:
        """The deployment that serves."""
        return self.inputs.deployment

    def snapshot(self, form: EngineForm, choices: Any) -> Any:
        """What answers with these choices."""
        signatures = () if self.signatures is None else (self.signatures,)
        return form.Snapshot(self.records, self.map, choices, *signatures)


def prepare(
    form: EngineForm,
    inputs: Inputs,
    databases: Databases | None,
    map_file: MapFile,
    registry: Registry,
    cookie_secret: bytes,
    signing: Signing | None = None,
    *,
    partly: bool = False,
) -> Serving:
    """Prove a deployment's records and map for the engine. Not on the event loop: it may take seconds.

    `cookie_secret`: 16 bytes, for a deployment that gives none. `signing` None: its zones are left unsigned,
    as for looks without a server. `partly`: see `Signing`."""
    deployment = inputs.deployment
    maker = ChoiceMaker.of(map_file.plans, deployment, map_file.identity, registry)
    map_part = form.Map(str(map_file.path))
    texts = counter_texts(deployment, map_file.plans, registry)
    settings = wire_settings(deployment, hashes_of(deployment, map_file), cookie_secret, texts)
    if signing is None:
        records = form.Records(assemble_records(deployment, registry, settings).data)
        return Serving(inputs, databases, map_file, maker, settings, records, map_part)
    made = signing.assemble(deployment, map_file.plans, registry, settings, partly=partly)
    signatures = form.Signatures(made.signatures) if made.signatures is not None else None
    records = form.Records(made.records)
    return Serving(inputs, databases, map_file, maker, settings, records, map_part, signatures, made.report)


def renew(form: EngineForm, serving: Serving, registry: Registry, signing: Signing) -> Serving:
    """The same deployment with the records and signatures of this moment. Not on the event loop.

    Raises Refused for keys with which nothing was ever signed and nothing can be."""
    plans, settings = serving.map_file.plans, serving.settings
    made = signing.assemble(serving.deployment, plans, registry, settings, partly=True)
    signatures = form.Signatures(made.signatures) if made.signatures is not None else None
    return replace(serving, records=form.Records(made.records), signatures=signatures, signing=made.report)
