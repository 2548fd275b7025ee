"""Benchmark scenarios of the ESA APEx catalogue: one call of each process for an area of interest.

A `_cube` process has none: its cube would come from nodes that differ from backend to backend, and the
process for an area runs the very same UDF. Reference data is for whoever runs the first benchmark on a
production backend to add; there is none yet, so none is stated.
"""

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.publish.addresses import Addresses

EXAMPLE: Json = {
    "spatial_extent": {"west": 11.2, "south": 48.0, "east": 11.5, "north": 48.2},
    "temporal_extent": ["2023-05-01", "2023-08-01"],
}
"""22 x 22 km near Munich (fields, forest, a lake) through a growing season: small, with clouds and change."""


def scenarios(process: Json, addresses: Addresses) -> list[Json]:
    """Return the scenarios of a process for an area of interest: all but area and period as by default."""
    process_id = process["id"]
    return [
        {
            "id": process_id,
            "type": "openeo",
            "description": f"{process['summary']}; a growing season near Munich, defaults throughout",
            "backend": addresses.service_url,
            "process_graph": {
                process_id.replace("_", "") + "1": {
                    "process_id": process_id,
                    "namespace": addresses.of(f"{process_id}.json"),
                    "arguments": EXAMPLE,
                    "result": True,
                }
            },
        }
    ]
