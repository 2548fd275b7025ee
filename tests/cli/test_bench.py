import json

KEYS = {
    "pixel_years_per_s",
    "pixel_years_per_s_bf16",
    "whittaker_pixel_years_per_s",
    "overhead_fraction",
}
TINY = ("--size", 16, "--repeats", 1, "--whittaker-pixels", 2)


def test_json_is_one_object_with_the_promised_keys(command):
    done = command("bench", "harmonize_modis_viirs", "--json", *TINY, "--area", 4)
    results = json.loads(done.stdout)
    assert done.status == 0
    assert KEYS | {"peak_rss_mib", "peak_rss_mib_4x_area"} <= set(results)
    assert {"threads", "torch", "cpu", "cube", "precision", "areas_px"} <= set(results["circumstances"])
    assert 0.5 < results["peak_rss_mib_4x_area"] / results["peak_rss_mib"] < 2


def test_the_table_names_what_it_shows(command):
    done = command("bench", "harmonize_modis_viirs", *TINY, "--skip-memory")
    assert done.status == 0
    assert "whittaker-eilers, one thread" in done.stdout
    assert "peak memory" not in done.stdout
    assert "generating" in done.stderr


def test_sizes_must_be_positive(command):
    done = command("bench", "harmonize_modis_viirs", "--size", 0)
    assert done.status == 2
    assert "above 0" in done.stderr


def test_the_speed_of_each_filler_is_one_object(command):
    done = command("bench", "fill_gaps", "--json", "--size", 8, "--repeats", 1, "--whittaker-pixels", 2)
    results = json.loads(done.stdout)
    assert done.status == 0
    assert set(results["series_per_s"]) == {"linear", "whittaker", "seasonal", "fluxneteo"}
    assert results["library_series_per_s"] > 0


def test_the_table_has_a_row_for_each_filler(command):
    done = command("bench", "fill_gaps", "--size", 8, "--repeats", 1, "--whittaker-pixels", 2)
    for method in ("linear", "whittaker", "seasonal", "fluxneteo"):
        assert f"series/s, {method}\n" in done.stdout
    assert "whittaker-eilers" in done.stdout


def test_the_embedding_is_measured_beside_patch_by_patch(command, monkeypatch):
    from openeo_udf_fusion.bench import embed_sentinel1_sentinel2 as bench
    from openeo_udf_fusion.bench import machine

    monkeypatch.setattr(machine, "MATMUL_SIZE", 200)
    monkeypatch.setattr(bench, "COUNTED_PX", 8)
    size = ("--size", 16, "--repeats", 1, "--threads", 1, "--skip-memory")
    done = command("bench", "embed_sentinel1_sentinel2", "--json", *size)
    results = json.loads(done.stdout)
    assert done.status == 0
    assert results["times_patchwise"] > 1
    assert {"pixel_dates_per_s", "patchwise_pixel_dates_per_s", "gflops", "matmul_gflops"} <= set(results)


def test_the_fusion_of_landsat_and_sentinel2_is_one_json_object(command):
    size = ["--size", 6, "--s2", 2, "--landsat", 2, "--queries", 2, "--threads", 1, "--dtype", "bfloat16"]
    done = command("bench", "fuse_landsat_sentinel2", "--json", *size)
    assert done.status == 0
    found = json.loads(done.stdout)
    assert {"seconds", "cpu_seconds", "peak_rss_mib", "gflops", "matmul_gflops"} <= found.keys()
    about = found["circumstances"]
    assert [about[name] for name in ("size", "s2", "landsat", "queries", "dtype")] == [6, 2, 2, 2, "bfloat16"]


def test_the_fusion_of_landsat_and_sentinel2_is_a_table(command):
    size = ["--size", 6, "--s2", 1, "--landsat", 1, "--queries", 1, "--threads", 1]
    done = command("bench", "fuse_landsat_sentinel2", *size)
    assert "in matrix products" in done.stdout
    assert "dtype: float32" in done.stdout
