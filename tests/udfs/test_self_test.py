"""The UDF's text, run as a backend runs it."""

import logging

import pytest
import xarray as xr

from openeo_udf_fusion import udfs
from openeo_udf_fusion.processes import self_test

TEXTS = pytest.mark.parametrize("text", [udfs.source("self_test"), udfs.with_archive("self_test")])


@TEXTS
def test_the_udf_is_the_process(run_code, cube, text):
    xr.testing.assert_identical(run_code(text, cube, {}), self_test.self_test(cube))


@TEXTS
def test_the_bands_are_those_announced(run_code, announce, cube, text):
    assert announce(text, cube, {}).band_names == run_code(text, cube, {})["bands"].values.tolist()


@pytest.mark.parametrize(
    ("passed", "level", "verdict"), [(True, "INFO", "passed"), (False, "ERROR", "FAILED")]
)
def test_the_log_says_what_was_found(run_code, cube, monkeypatch, caplog, passed, level, verdict):
    report = self_test.report()._replace(passed=passed)
    monkeypatch.setattr(self_test, "report", lambda: report)
    with caplog.at_level(logging.INFO):
        run_code(udfs.source("self_test"), cube, {})
    (record,) = (record for record in caplog.records if "self-test" in record.message)
    assert record.levelname == level
    assert record.message == f"openeo_udf_fusion self-test {verdict}"
    assert record.data == report._asdict()


def test_an_unknown_key_is_an_error_that_names_it(run_code, cube):
    with pytest.raises(TypeError, match="runtime"):
        run_code(udfs.source("self_test"), cube, {"runtime": "onnx"})
