import re

import numpy as np
import rioxarray  # noqa: F401 (cube.rio)
import xarray as xr

from openeo_udf_fusion import udfs, udps
from openeo_udf_fusion.cli.main import main
from openeo_udf_fusion.processes import self_test
from openeo_udf_fusion.udps.deployments import PUBLISHED, Deployment


def text_of(process):
    (node,) = process["process_graph"].values()
    return node["arguments"]["process"]["process_graph"]["runudf1"]["arguments"]["udf"]


def test_it_takes_a_cube_and_nothing_else(definitions):
    process = definitions["self_test_cube"]
    assert [parameter["name"] for parameter in process["parameters"]] == ["data"]
    (node,) = process["process_graph"].values()
    assert node["arguments"]["context"] == {}


def test_the_description_states_every_band_and_the_tolerance(definitions):
    description = definitions["self_test_cube"]["description"]
    assert re.findall(r"^\| (\w+) \| ", description, re.MULTILINE)[1:] == self_test.output_bands()
    assert f"{self_test.TOLERANCE:.5f}" in description


def test_an_archive_is_named_in_the_text_instead_of_a_requirement():
    deployment = Deployment(PUBLISHED.sources, archive_folder="unpacked")
    for name, process in udps.definitions(deployment).items():
        text = str(process)
        assert "sys.path.insert(0" in text, name
        assert "# /// script" not in text, name
    built = udps.definitions(deployment)["self_test_cube"]
    assert text_of(built) == udfs.with_archive("self_test", "unpacked")


def test_it_runs_on_the_local_executor_and_its_file_says_what_was_found(make_cube, tmp_path):
    (tmp_path / "data").mkdir()
    cube = make_cube(days=3, sensors=("modis",))
    cube.to_dataset("bands").rio.write_crs(32632).to_netcdf(tmp_path / "data" / "modis.nc")
    out = tmp_path / "found.nc"
    given = ["-p", "data=modis", "-o", str(out)]
    assert main(["run", "self_test_cube", "--data", str(tmp_path / "data"), *given]) == 0
    with xr.open_dataset(out) as found:
        assert found.sizes["t"] == 3
        assert (found["passed"] == 1).all()
        assert found["passed"].attrs["flag_meanings"] == "no yes"
        np.testing.assert_allclose(found["checksum"], self_test.EXPECTED, atol=self_test.TOLERANCE)
        assert found.attrs["runtime"] in self_test.RUNTIMES
