import pytest

from openeo_udf_fusion import udfs
from openeo_udf_fusion.local.udf.calls import UdfCall
from openeo_udf_fusion.local.udf.models_used import may_run_a_model

FILL = udfs.source("fill_gaps")


@pytest.mark.parametrize(
    ("code", "context", "expected"),
    [
        (FILL, {}, False),
        (FILL, {"method": "whittaker"}, False),
        (FILL, {"method": "satfusenet"}, True),
        (udfs.with_requirement("fill_gaps", None), {"method": "satfusenet"}, True),
        (udfs.with_archive("fill_gaps"), {"method": "linear"}, False),
        (udfs.source("harmonize_modis_viirs"), {}, True),
        ("import torch\n", {}, True),
        ("  from onnxruntime import InferenceSession\n", {}, True),
        ("from openeo_udf_fusion.models import weights\n", {}, True),
        ("import numpy\n# import torch\n", {}, False),
        ("import torchlike\n", {}, False),
    ],
)
def test_a_model_is_told_by_process_and_method_or_by_import(code, context, expected):
    assert may_run_a_model(UdfCall("b", "apply_dimension", code, context, "all")) is expected
