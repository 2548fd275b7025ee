"""What is known about a result besides its pixels, for STAC and for people."""

import numpy as np

from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.formats import Template
from openeo_udf_fusion.local.grids import Grid
from openeo_udf_fusion.local.readers.dates import iso


def result_metadata(template: Template, format: str) -> Json:
    """Place, time and bands of a result.

    Returns
    -------
    dict
        `bbox` (EPSG:4326) or None, `epsg` or None, `wkt2` or None, `dates` (RFC 3339), `bands` (labels),
        `band_attrs` (by label), `shape` (by dimension), `format`.
    """
    shape: Json = {} if template.t is None else {"t": len(template.t)}
    if template.bands is not None:
        shape["bands"] = len(template.bands)
    shape |= {"y": len(template.y), "x": len(template.x)}
    crs = template.crs
    return {
        "bbox": None if crs is None else [float(edge) for edge in Grid(crs, template.x, template.y).bbox()],
        "epsg": None if crs is None else crs.to_epsg(),
        "wkt2": None if crs is None else crs.to_wkt(),
        "dates": [] if template.t is None else [iso(np.datetime64(date)) for date in template.t],
        "bands": list(template.bands or ()),
        "band_attrs": dict(template.band_attrs),
        "shape": shape,
        "format": format,
    }
