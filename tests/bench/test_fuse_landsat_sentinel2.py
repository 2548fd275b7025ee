import pytest

from openeo_udf_fusion.bench import fuse_landsat_sentinel2 as bench
from openeo_udf_fusion.models import tamrf


def test_nominal_work_is_what_was_published_for_the_network():
    """150 MFLOP per pixel for 40 + 25 dates and 24 queries, 41 % of it in Sentinel-2's encoder."""
    config = tamrf.Config()
    whole = bench.work(config, 40, 25, 24)
    assert whole == pytest.approx(150e6, rel=0.005)
    assert 40 * bench.encoder_work(config, "hr") / whole == pytest.approx(0.41, abs=0.005)
    assert 25 * bench.encoder_work(config, "lr") / whole == pytest.approx(0.04, abs=0.005)


def test_work_grows_by_the_encoder_with_a_date():
    config = tamrf.Config()
    more = bench.work(config, 41, 0, 1) - bench.work(config, 40, 0, 1)
    assert more > bench.encoder_work(config, "hr")


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_prediction_is_measured_in_a_process_of_its_own(dtype):
    lines = []
    found = bench.measure(
        bench.Sizes(size=6, s2=2, landsat=2, queries=2, dtype=dtype, threads=1), lines.append
    )
    assert found["seconds"] > 0
    assert found["cpu_seconds"] <= 1.5 * found["seconds"] + 0.1
    assert 100 < found["peak_rss_mib"] < 4000
    assert found["of_peak"] == pytest.approx(found["gflops"] / found["matmul_gflops"], abs=0.01)
    assert found["circumstances"]["dtype"] == dtype
    assert lines
