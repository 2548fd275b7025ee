"""`openeo-udf-fusion demo`: the main job on a generated scene, through an embedded backend."""

import argparse
import sys
from pathlib import Path

TITLE = "MODIS and VIIRS harmonised by SatFuseNet - generated sample, not satellite data"


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("demo", help="run the main job on a generated scene", description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("demo"), metavar="DIR", help="default: demo")


def run(args: argparse.Namespace) -> int:
    """Generate a scene, harmonise it through the openEO client, draw the picture."""
    import openeo
    import xarray as xr

    from openeo_udf_fusion import local
    from openeo_udf_fusion.demo.picture import draw
    from openeo_udf_fusion.demo.sample import YEAR, write_sample
    from openeo_udf_fusion.local.collections import get_collection

    data, cube_file, picture = args.out / "data", args.out / "harmonized.nc", args.out / "harmonized.png"
    print("1/4 generating a scene (no satellite measured it) ...", file=sys.stderr)
    write_sample(data)
    print("2/4 starting an openEO backend on it ...", file=sys.stderr)
    with local.backend(data) as url:
        connection = openeo.connect(url)
        print(f"3/4 harmonising through {url} ...", file=sys.stderr)
        box = connection.describe_collection("modis")["extent"]["spatial"]["bbox"][0]
        cube = connection.datacube_from_process(
            "harmonize_modis_viirs",
            spatial_extent=dict(zip(("west", "south", "east", "north"), box, strict=True)),
            temporal_extent=[f"{YEAR}-01-01", f"{YEAR + 1}-01-01"],
            dates="P4D",
            uncertainty="quantiles",
        )
        cube.download(cube_file, format="netCDF", validate=False)
    print("4/4 drawing ...", file=sys.stderr)
    observed = xr.concat(
        [get_collection(data, name).open() for name in ("modis", "viirs")], "bands"
    ).compute()
    draw(observed, get_collection(args.out, "harmonized").open().compute(), picture, title=TITLE)
    print(f"wrote {cube_file} and {picture}", file=sys.stderr)
    return 0
