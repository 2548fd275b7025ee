import numpy as np
import pytest
import torch

from openeo_udf_fusion.models import tamrf
from openeo_udf_fusion.training import tamrf_start
from openeo_udf_fusion.training.tamrf_shrinkage import shares, shortened
from openeo_udf_fusion.training.tamrf_sites import is_validation
from openeo_udf_fusion.training.tamrf_validation import trials

from .tamrf import made_up
from .test_tamrf import TINY

SUPPORT_DAYS = 120


@pytest.fixture(scope="module")
def site():
    return made_up(days=240, size=12)


def network(site, std):
    torch.manual_seed(0)
    model = tamrf_start.network(TINY, tamrf_start.statistics([site], np.random.default_rng(0))).eval()
    torch.nn.init.normal_(model.decoder[-1].bias, std=std)
    return model


def predictions(model):
    generator = torch.Generator().manual_seed(3)
    series = {
        "hr": torch.rand(3, 10, 12, 12, generator=generator),
        "hr_days": torch.tensor([0, 9, 30]),
        "query_days": torch.tensor([4, 20]),
    }
    return tamrf.predict(model, **series)


def test_a_share_of_the_corrections_is_made_and_the_line_stays(site):
    model = network(site, 0.5)
    none, half, whole = (
        predictions(each)
        for each in (shortened(model, {"l8": 0, "s2": 0}), shortened(model, {"l8": 0.5, "s2": 0.2}), model)
    )
    for sensor, share in enumerate((0.5, 0.2)):
        made = none[sensor] + share * (whole[sensor] - none[sensor])
        torch.testing.assert_close(half[sensor], made, atol=1e-5, rtol=0)
        assert (whole[sensor] - none[sensor]).abs().max() > 0.01
    assert all(torch.equal(a, b) for a, b in zip(predictions(shortened(model, {})), whole, strict=True))


def test_harmful_corrections_are_dropped(site):
    found = shares(network(site, 3.0), trials([site], is_validation), SUPPORT_DAYS)
    assert found == {"l8": 0.0, "s2": 0.0}


def test_helpful_corrections_are_kept(site):
    """Where the truth is a constant above the line, and that constant is the correction."""
    model = network(site, 0.0)
    raised = [
        trial._replace(truth=trial.truth + 0.1)
        for trial in trials([site], is_validation)
        if trial.sensor == "s2"
    ]
    with torch.no_grad():
        model.decoder[-1].bias[8:] = 0.1 / model.hr_std
    assert shares(model, raised, SUPPORT_DAYS)["s2"] >= 0.8
