"""The demo's deployment over the databases that come with steer, as one more world of the proof."""

import functools
from pathlib import Path

from steer.control.inputs import read_inputs
from steer.control.map_geodata import Databases, read_geodata
from steer.sources.geodata_default import default_databases
from tests.decide.worlds import World

DEMO = Path(__file__).parents[2] / "policies" / "demo"


@functools.cache
def demo_world(_: int = 0) -> World:
    """Millions of networks and policies as an operator writes them; the same for every seed."""
    deployment = read_inputs(DEMO).deployment
    city, asn = default_databases()
    geodata = read_geodata(Databases((city,), (asn,)), lambda text: None)
    return World(deployment, geodata.places, geodata.geography)
