import ast
import inspect
from pathlib import Path

import pytest

from openeo_udf_fusion import processes
from openeo_udf_fusion.processes import layers

FOLDER = Path(next(iter(processes.__path__)))
NAMES = [
    "embed_sentinel1_sentinel2",
    "fill_gaps",
    "fuse_landsat_sentinel2",
    "harmonize_modis_viirs",
    "sharpen_landsat_thermal",
    "sharpen_sentinel2",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_process_notes_its_parameters_before_it_has_other_locals(name):
    """Any later, and its own variables would stand among the parameters in the attributes of its result."""
    tree = ast.parse((FOLDER / f"{name}.py").read_text(encoding="utf-8"))
    (process,) = (node for node in tree.body if isinstance(node, ast.FunctionDef) and node.name == name)
    docstring, first, *_ = process.body
    assert ast.get_docstring(process)
    assert isinstance(docstring, ast.Expr)
    assert ast.unparse(first).endswith("own_parameters(locals())")


def test_the_cube_is_no_parameter_that_a_result_tells():
    def process(cube: object, dates: str = "P1D", smooth: bool = False) -> dict:
        return layers.own_parameters(locals())

    assert process(object(), smooth=True) == {"dates": "P1D", "smooth": True}
    assert list(inspect.signature(process).parameters)[1:] == list(process(object()))
