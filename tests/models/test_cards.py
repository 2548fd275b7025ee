import json
import subprocess
import sys

import jsonschema
import pytest
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT7

from openeo_udf_fusion.errors import InvalidParameter
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


def test_an_unknown_model_is_refused_by_name():
    with pytest.raises(InvalidParameter, match="no model 'presto'"):
        cards.read("presto")


def test_reading_a_card_needs_no_torch():
    code = "from openeo_udf_fusion.models import cards; import sys; cards.read('satfusenet'); "
    code += "sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
