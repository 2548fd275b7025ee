"""Whether an argument is of the JSON type that a process declares for it."""

from openeo_udf_fusion.errors import InvalidParameter
from openeo_udf_fusion.jsontypes import Json, JsonValue


def type_errors(process_id: str, arguments: Json, parameters: list[Json]) -> list[InvalidParameter]:
    """Arguments whose kind of value is none of those in the schema of their parameter.

    Only the outermost type counts: what it holds is for the process itself to say. References, callbacks
    and null are not looked at.
    """
    errors = []
    for parameter in parameters:
        value, allowed = arguments.get(parameter["name"]), _types(parameter.get("schema"))
        if value is not None and allowed and not _is_open(value) and not allowed & _types_of(value):
            errors.append(
                InvalidParameter(
                    f"{process_id}: {parameter['name']!r} must be of type "
                    f"{' or '.join(sorted(allowed - {'null'}))}, got {value!r:.100}"
                )
            )
    return errors


def _types(schema: JsonValue) -> frozenset[str]:
    """The types that a schema, or a list of them, allows; empty: any."""
    alternatives = schema if isinstance(schema, list) else [schema]
    types = [each.get("type") if isinstance(each, dict) else None for each in alternatives]
    found: set[str] = set()
    for each in types:
        if not each:
            return frozenset()
        found.update([each] if isinstance(each, str) else each)
    return frozenset(found)


def _is_open(value: JsonValue) -> bool:
    return isinstance(value, dict) and not {"from_node", "from_parameter", "process_graph"}.isdisjoint(value)


def _types_of(value: JsonValue) -> frozenset[str]:
    if isinstance(value, bool):
        return frozenset({"boolean"})
    if isinstance(value, int | float):
        return frozenset({"number", "integer"} if float(value).is_integer() else {"number"})
    if isinstance(value, str):
        return frozenset({"string"})
    return frozenset({"array" if isinstance(value, list) else "object"})
