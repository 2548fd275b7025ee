"""Parameters that say where a sensor is, how its numbers are stored, and what its bands are called."""

from collections.abc import Iterable

from openeo.api.process import Parameter
from openeo.internal.graph_building import PGNode

from openeo_udf_fusion.jsontypes import Json, JsonValue
from openeo_udf_fusion.udps import graph
from openeo_udf_fusion.udps.deployments import Source
from openeo_udf_fusion.udps.graph import given, optional


def collection(name: str, described: str, source: Source) -> Parameter:
    """Where to load from."""
    return optional(name, described, {"type": "string", "subtype": "collection-id"}, source.collection)


def number(name: str, described: str, default: float) -> Parameter:
    """Return a scale or an offset."""
    return optional(name, described, {"type": "number"}, default)


def names(name: str, described: str, default: Iterable[str], *, all_of_them: bool = False) -> Parameter:
    """Names or labels of bands: at least one, or `all_of_them`."""
    listed = list(default)
    count = {"minItems": len(listed), "maxItems": len(listed)} if all_of_them else {"minItems": 1}
    return optional(name, described, {"type": "array", "items": {"type": "string"}, **count}, listed)


def load(sensor: str, source: Source, properties: Json | None = None) -> PGNode:
    """Load a sensor's measurements by its parameters, in physical values under this project's labels."""
    stored = graph.load(
        given(f"{sensor}_bands"), given(f"{sensor}_collection"), list(source.bands), properties
    )
    return graph.scaled(stored, given(f"{sensor}_scale"), given(f"{sensor}_offset"))


def load_flags(sensor: str, labels: JsonValue, properties: Json | None = None) -> PGNode:
    """Load a sensor's flags by its parameters."""
    return graph.load(given(f"{sensor}_flags"), given(f"{sensor}_collection"), labels, properties)
