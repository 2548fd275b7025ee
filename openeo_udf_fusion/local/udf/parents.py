"""Which processes call UDFs, and how small their chunks may be."""

PARENTS = {
    "apply": "process",
    "apply_dimension": "process",
    "apply_neighborhood": "process",
    "reduce_dimension": "reducer",
}
"""The processes that may have a UDF as their callback, and the argument it stands in."""

MINIMAL_SIZE_PX = 4
