"""The published network: it gives what the reference gives, and only its checkpoints are taken for it."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from openeo_udf_fusion.errors import InvalidWeights
from openeo_udf_fusion.models import psf, tamrf

from .small_tamrf import far

SHARED = Path(os.environ.get("OPENEO_UDF_FUSION_DATA", Path(__file__).parents[2] / "../shared/data"))
PARITY = SHARED / "tamrf_parity"
MTF = {"lr": [0.3] * 7 + [0.2], "hr": [1, 1, 1, 0.3, 0.3, 0.3, 1, 0.3, 0.3, 0.3]}
RATIO = {"lr": [3] * 7 + [9], "hr": [1, 1, 1, 2, 2, 2, 1, 2, 2, 2]}
needs_parity = pytest.mark.skipif(not PARITY.is_dir(), reason=f"needs the reference's outputs in {PARITY}")


@pytest.fixture(scope="module")
def reference():
    with np.load(PARITY / "io.npz") as archive:
        return {name: torch.from_numpy(archive[name][0]) for name in archive}


@pytest.fixture(scope="module")
def official():
    return tamrf.load(PARITY / "random_s1t3.ckpt")


def series_of(reference, *sensors):
    given = {}
    for sensor in sensors:
        given[sensor] = reference[f"{sensor}_dn"].float() / 1e4
        given[f"{sensor}_days"] = reference[f"{sensor}_doy"]
    return given


@needs_parity
def test_the_published_network_has_its_published_size(official):
    assert sum(p.numel() for p in official.parameters()) == 2_329_250
    assert sum(p.numel() for p in official.encoder["hr"].parameters()) == 762_176
    assert sum(p.numel() for p in official.encoder["lr"].parameters()) == 797_952


@needs_parity
def test_its_parts_give_what_the_reference_gives(official, reference):
    given = {
        s: tamrf.Series(reference[f"{s}_dn"].float() / 1e4, reference[f"{s}_doy"]) for s in tamrf.SENSORS
    }
    with torch.inference_mode():
        features = tamrf.encode(official, given)
        tokens = official.tokens(
            features[8:16, 8:16].flatten(0, 1), official.codes({s: g.days for s, g in given.items()})
        )
        encoded = official.encoded(tokens).reshape(8, 8, 12, 136)
        queries = official.queries(reference["query_doy"])
    assert far(features[:, :, :2].permute(2, 3, 0, 1), reference["lr_features"]) < 1e-5
    assert far(features[:, :, 5:7].permute(2, 3, 0, 1), reference["hr_features"]) < 1e-5
    assert far(encoded.permute(2, 3, 0, 1), reference["encoded"]) < 1e-5
    assert far(queries[:, 64:128], reference["pe_query"]) == 0


@needs_parity
@pytest.mark.parametrize(
    ("sensors", "suffix"), [(("lr", "hr"), ""), (("hr",), "_only_hr_input"), (("lr",), "_only_lr_input")]
)
def test_predictions_are_those_of_the_reference(official, reference, sensors, suffix):
    lr, hr = tamrf.predict(official, **series_of(reference, *sensors), query_days=reference["query_doy"])
    assert far(lr, reference[f"pred_lr{suffix}"]) < 1e-6
    assert far(hr, reference[f"pred_hr{suffix}"]) < 1e-6


@needs_parity
def test_decoded_values_before_their_scale_are_those_of_the_reference(official, reference):
    plain = tamrf.built(official.config, official.state_dict(), "copy").eval()
    for sensor in tamrf.SENSORS:
        plain.get_buffer(f"{sensor}_mean").zero_()
        plain.get_buffer(f"{sensor}_std").fill_(1)
    given = series_of(reference, "lr", "hr")
    for sensor in tamrf.SENSORS:
        given[sensor] = official.standardised(given[sensor], sensor)
    both = tamrf.predict(plain, **given, query_days=reference["query_doy"])
    assert far(torch.cat(both, 1), reference["decoded_std"]) < 1e-5


@needs_parity
@pytest.mark.parametrize("sensor", tamrf.SENSORS)
def test_the_point_spread_is_that_of_the_reference(reference, sensor):
    seen = psf.blurred(reference[f"pred_{sensor}"], MTF[sensor], RATIO[sensor])
    seen = psf.coarser(seen, 3) if sensor == "lr" else seen
    assert far(seen, reference[f"pred_{sensor}_downscaled"]) < 1e-6


@needs_parity
def test_tiles_with_a_border_of_zeros_are_those_of_the_reference(official, reference):
    """The reference pads an image with zeros, cuts tiles of 12 pixels with a margin of 6, and joins them."""
    given = series_of(reference, "lr", "hr")
    given["hr"] = torch.nn.functional.pad(given["hr"], (6,) * 4)
    given["lr"] = torch.nn.functional.pad(given["lr"], (2,) * 4)
    out = {sensor: torch.empty_like(reference[f"pred_{sensor}"]) for sensor in tamrf.SENSORS}
    for y in (0, 12):
        for x in (0, 12):
            part = dict(given)
            part["hr"] = given["hr"][..., y : y + 24, x : x + 24]
            part["lr"] = given["lr"][..., y // 3 : y // 3 + 8, x // 3 : x // 3 + 8]
            tile = tamrf.predict(official, **part, query_days=reference["query_doy"])
            for sensor, values in zip(tamrf.SENSORS, tile, strict=True):
                out[sensor][..., y : y + 12, x : x + 12] = values[..., 6:18, 6:18]
    assert far(out["lr"], reference["tiled12_m6_lr"]) < 1e-6
    assert far(out["hr"], reference["tiled12_m6_hr"]) < 1e-6


# --- checkpoints


def test_what_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "notes.ckpt"
    file.write_text("not a checkpoint")
    with pytest.raises(InvalidWeights, match="cannot be read"):
        tamrf.load(file)


def test_code_in_a_checkpoint_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (Path.touch, (tmp_path / "ran",))

    torch.save({"state_dict": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(InvalidWeights, match="cannot be read"):
        tamrf.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_checkpoint_of_another_network_is_refused(tmp_path):
    torch.save({"state_dict": {"first.weight": torch.zeros(3)}}, tmp_path / "other.ckpt")
    with pytest.raises(InvalidWeights, match="tensors differ"):
        tamrf.load(tmp_path / "other.ckpt")
    torch.save([1, 2], tmp_path / "list.ckpt")
    with pytest.raises(InvalidWeights, match="no dict of tensors"):
        tamrf.load(tmp_path / "list.ckpt")


@needs_parity
def test_names_of_compiled_checkpoints_are_understood(tmp_path, official):
    content = torch.load(PARITY / "random_s1t3.ckpt", weights_only=True)
    renamed = {
        name.replace("the_modules.encoder.", "the_modules.encoder._orig_mod."): value
        for name, value in content["state_dict"].items()
    } | {"cca_loss_instance.weight": torch.zeros(2)}
    torch.save({"state_dict": renamed}, tmp_path / "compiled.ckpt")
    again = tamrf.load(tmp_path / "compiled.ckpt").state_dict()
    assert all(torch.equal(again[name], value) for name, value in official.state_dict().items())
