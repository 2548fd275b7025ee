"""What the paper reports of its own network on its own data: other sites, other weights, other margins.

Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159. To stand beside our numbers, never to be compared
with them as if they were of one table.
"""

from openeo_udf_fusion.jsontypes import Json

SOURCE = "Michel and Inglada 2025, doi:10.1016/j.rse.2025.115159, on LS2S2: other data, other weights"


def row(task: str, sensor: str, band: str, method: str, **scores: float) -> Json:
    """One of the paper's results; RMSE in reflectance or kelvin."""
    empty = {"rmse": None, "fr_db": None, "brisque": None}
    return {
        "task": task,
        "sensor": sensor,
        "band": band,
        "method": method,
        **empty,
        **scores,
        "source": SOURCE,
    }


PAPER: list[Json] = [
    row("gap_filling", "l8", "B1", "TAMRF-SITS", rmse=0.015, brisque=49.7),
    row("gap_filling", "s2", "B02", "TAMRF-SITS", rmse=0.015, brisque=35.2),
    row("band_sharpening", "s2", "B06", "TAMRF-SITS", fr_db=5.5, brisque=14.18),
    row("fusion", "s2", "B04", "TAMRF-SITS", rmse=0.014, brisque=21.4),
    row("thermal_sharpening", "l8", "LST", "TAMRF-SITS, residuals put back", rmse=0.381),
    row("thermal_sharpening", "l8", "LST", "DMS", rmse=0.477),
]
