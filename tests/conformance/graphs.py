"""Process graphs that the served collections can feed, and broken ones with the error that is to be found."""

COLLECTION = "modis"


def load(**arguments) -> dict:
    """The node that loads the collection."""
    extent = {"spatial_extent": None, "temporal_extent": None}
    return {"process_id": "load_collection", "arguments": {"id": COLLECTION} | extent | arguments}


def save(source: str, format: str = "netCDF") -> dict:
    """The node that stores its `source`, as the result."""
    arguments = {"data": {"from_node": source}, "format": format}
    return {"process_id": "save_result", "arguments": arguments, "result": True}


def copied(format: str = "netCDF") -> dict:
    """The collection as it is."""
    return {"load": load(), "save": save("load", format)}


def doubled() -> dict:
    """Twice the collection."""
    twice = {"process_id": "multiply", "arguments": {"x": {"from_parameter": "x"}, "y": 2}, "result": True}
    apply = {
        "process_id": "apply",
        "arguments": {"data": {"from_node": "load"}, "process": {"process_graph": {"twice": twice}}},
    }
    return {"load": load(bands=["modis_B1"]), "apply": apply, "save": save("apply")}


VALID = {"copied": copied(), "doubled": doubled(), "as_images": copied("GTiff")}

BROKEN = {
    "ProcessUnsupported": {"load": {"process_id": "no_such_process", "arguments": {}, "result": True}},
    "CollectionNotFound": {"load": load(id="nothing") | {"result": True}},
    "ProcessParameterRequired": {
        "load": {"process_id": "load_collection", "arguments": {}, "result": True},
    },
    "ProcessGraphInvalid": {"save": save("nowhere")},
}
"""By the code of the error that validation has to find."""
