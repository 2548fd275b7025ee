import json
import subprocess
import sys

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_udf_fusion.errors import CorruptWeights, InvalidParameter
from openeo_udf_fusion.models import cards
from openeo_udf_fusion.models.satfusenet import Config


def anything(uri: str) -> Resource:
    """Schemas that the MLM one refers to are not at hand: whatever they ask for is granted."""
    return Resource.from_contents({"definitions": {}, "$id": uri}, default_specification=DRAFT7)


def test_the_card_is_a_valid_mlm_item(shared_data):
    schema = json.loads((shared_data / "schemas" / "stac-mlm.json").read_text())
    schema["$defs"]["DataType"] = {"enum": ["float32"]}
    schema["$defs"]["ProcessingExpression"] = {"type": "null"}
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text())
    jsonschema.Draft7Validator(schema, registry=Registry(retrieve=anything)).validate(card)


def test_the_card_states_what_a_process_needs():
    card, config = cards.read("satfusenet"), Config()
    assert card.bands == {"modis": config.modis, "viirs": config.viirs}
    assert card.receptive_field_px == 0
    assert card.support_days >= 40
    assert card.training["kind"] == "semi-real"


def test_in_no_band_is_the_other_sensor_as_it_is_better():
    translation = cards.read("satfusenet").skill["translation"]
    assert set(translation) == {"viirs_to_modis", "modis_to_viirs"}
    ratios = [
        band["rmse"] / band["rmse_identity"]
        for platforms in translation.values()
        for bands in platforms.values()
        for band in bands.values()
    ]
    assert len(ratios) == 30
    assert max(ratios) <= 1 + 1e-4  # I1 and M4 pass as they are
    assert sum(ratio < 0.96 for ratio in ratios) >= 22


def test_the_readme_quotes_the_card(repository):
    readme = (repository / "README.md").read_text(encoding="utf-8")
    for days, gap in cards.read("satfusenet").skill["gap_filling_modis_alone"].items():
        (line,) = (line for line in readme.splitlines() if line.startswith(f"| {days} days |"))
        ratio, covered = gap["ratio_mean"], gap["coverage80"]
        assert f"{ratio['ratio']:.3f} ({ratio['low']:.3f}–{ratio['high']:.3f})" in line
        assert f"{100 * covered['coverage80']:.1f} %" in line


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(InvalidParameter, match="no model 'presto'"):
        cards.read("presto")


def test_reading_a_card_needs_no_torch():
    code = "from openeo_udf_fusion.models import cards; import sys; cards.read('satfusenet'); "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_folder_of_ones_own_comes_before_the_package(tmp_path, monkeypatch):
    assert cards.folder_of("satfusenet") == cards.FOLDER
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(tmp_path))
    assert cards.folder_of("satfusenet") == cards.FOLDER
    (tmp_path / "satfusenet.json").write_text("{}")
    assert cards.folder_of("satfusenet") == tmp_path


def test_a_name_known_nowhere_is_refused_with_all_that_are(tmp_path, monkeypatch):
    with pytest.raises(InvalidParameter, match=r"no model 'x'.*'satfusenet'.*OPENEO_UDF_FUSION_MODELS may"):
        cards.folder_of("x")
    (tmp_path / "mine.json").write_text("{}")
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(tmp_path))
    with pytest.raises(InvalidParameter, match=r"no model 'x'.*\['mine'\].*'satfusenet'"):
        cards.folder_of("x")


def test_a_name_leads_to_no_other_folder(tmp_path, monkeypatch):
    (tmp_path / "secret.json").write_text("{}")
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("OPENEO_UDF_FUSION_MODELS", str(tmp_path / "own"))
    for name in ("../secret", str(tmp_path / "secret")):
        with pytest.raises(InvalidParameter, match="there is no model"):
            cards.folder_of(name)


@pytest.mark.parametrize("keep", ["", "{}", "[1]", '{"type": "Feature", "stac_version": "1.1.0"}', None])
def test_what_is_no_card_is_named(tmp_path, keep):
    whole = (cards.FOLDER / "satfusenet.json").read_text(encoding="utf-8")
    (tmp_path / "other.json").write_text(whole[: len(whole) // 2] if keep is None else keep)
    with pytest.raises(CorruptWeights, match=r"other\.json is no card of a model.*out of the folder"):
        cards.read("other", tmp_path)


def test_a_card_without_a_hash_of_its_weights_is_none(tmp_path):
    card = json.loads((cards.FOLDER / "satfusenet.json").read_text(encoding="utf-8"))
    del card["assets"]["weights"]["file:checksum"]
    (tmp_path / "other.json").write_text(json.dumps(card))
    with pytest.raises(CorruptWeights, match="file:checksum"):
        cards.read("other", tmp_path)
