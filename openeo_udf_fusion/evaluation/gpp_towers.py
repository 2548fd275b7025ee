"""Daily GPP of flux towers beside the six HLS bands and the weather of the same day."""

from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from openeo_udf_fusion.errors import InvalidParameter

Doubles = NDArray[np.float64]
Integers = NDArray[np.int64]
TOWERS_FILE = Path("hls_gpp") / "data_train_hls_37sites_v0_1.csv"
HLS_BANDS = ("b2", "b3", "b4", "b5", "b6", "b7")
"""Blue, green, red, narrow near infrared and both short-wave infrared bands, numbered as Landsat 8 does."""
WEATHER = (
    *("T2MIN", "T2MAX", "T2MEAN", "TSMDEWMEAN", "GWETROOT"),
    *("LHLAND", "SHLAND", "SWLAND", "PARDFLAND", "PRECTOTLAND"),
)
SHORTWAVE = WEATHER.index("SWLAND")


@dataclass(frozen=True)
class Towers:
    """Rows of one tower and day each.

    Attributes
    ----------
    site
        (n,) the tower's number, 0 to sites - 1; `names` (sites,) is what the networks call it.
    place
        (n,) towers on one HLS tile, or on tiles that share a tower, are of one place: neighbours see the same
        weather and often the same vegetation, so that a model that knows one is no stranger to the other.
    day
        (n,) days since 1970-01-01.
    hls
        (n, 6) surface reflectance of `HLS_BANDS`.
    weather
        (n, 10) MERRA-2, `WEATHER`: K, K, K, K, 1, W m-2, W m-2, W m-2, W m-2, kg m-2 s-1.
    plant_type
        (n,) abbreviation of the tower's vegetation, e.g. "ENF".
    gpp
        (n,) gross primary production, gC m-2 d-1.
    """

    site: Integers
    names: NDArray[np.str_]
    place: Integers
    day: NDArray[np.int32]
    hls: Doubles
    weather: Doubles
    plant_type: NDArray[np.str_]
    gpp: Doubles

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.gpp)

    def take(self, rows: NDArray[np.bool_]) -> "Towers":
        """Some of the rows; the towers' numbers and names stay."""
        of_rows = [each.name for each in fields(self) if each.name != "names"]
        return Towers(names=self.names, **{name: getattr(self, name)[rows] for name in of_rows})


def read_towers(data: Path) -> Towers:
    """Read the towers of a data folder.

    GPP is the night-time partitioning of eddy covariance, HLS (v2.0) the mean over 50 x 50 pixels of 30 m
    around the tower. The rows are those of the GPP task of Prithvi-EO-2.0, doi:10.48550/arXiv.2412.02732;
    HLS: doi:10.1016/j.rse.2018.09.002; MERRA-2: doi:10.1175/JCLI-D-16-0758.1; fluxes:
    doi:10.1038/s41597-020-0534-3.

    Raises
    ------
    InvalidParameter
        The folder lacks the file, or the file lacks columns or values.
    """
    file = data / TOWERS_FILE
    if not file.is_file():
        raise InvalidParameter(
            f"the drop-in certificate needs tower GPP in {file}; there is no such file: "
            "name the folder that holds hls_gpp/"
        )
    table = pd.read_csv(file)
    needed = ["SITE_ID", "date", "TILE_ID_x", "PFT", "GPP", *HLS_BANDS, *WEATHER]
    missing = [name for name in needed if name not in table.columns]
    if missing:
        raise InvalidParameter(f"{file.name} lacks the columns {missing} of tower GPP")
    if table[needed].isna().to_numpy().any():
        raise InvalidParameter(f"{file.name} has rows without a value in one of {needed}; drop them")
    names, site = np.unique(table["SITE_ID"].to_numpy(dtype=np.str_), return_inverse=True)
    return Towers(
        site=site.astype(np.int64),
        names=names,
        place=places(site, table["TILE_ID_x"].to_numpy(dtype=np.str_)),
        day=np.array(table["date"], dtype="datetime64[D]").astype(np.int32),
        hls=table[list(HLS_BANDS)].to_numpy(dtype=np.float64),
        weather=table[list(WEATHER)].to_numpy(dtype=np.float64),
        plant_type=table["PFT"].to_numpy(dtype=np.str_),
        gpp=table["GPP"].to_numpy(dtype=np.float64),
    )


def places(site: NDArray[np.integer], tile: NDArray[np.str_]) -> Integers:
    """Number the groups of towers that tiles hold together: (n,) for rows of a tower on a tile."""
    _, tile_number = np.unique(tile, return_inverse=True)
    sites = int(site.max()) + 1
    nodes = sites + int(tile_number.max()) + 1
    links = coo_matrix((np.ones(len(site)), (site, sites + tile_number)), shape=(nodes, nodes))
    _, group = connected_components(links, directed=False)
    return np.unique(group[site], return_inverse=True)[1].astype(np.int64)
