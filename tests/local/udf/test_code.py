"""What is said of a UDF that fails."""

import pytest

from openeo_udf_fusion.local.udf.code import described


def test_what_is_wrong_with_a_udf_is_said_with_its_own_lines_alone():
    with pytest.raises(ValueError, match="reshape") as raised:
        exec(
            "import xarray\n\nxarray.DataArray([1.0]).reduce(lambda values, axis: values.reshape(7), 'dim_0')"
        )
    text = described(raised.value, "import xarray\n\nxarray.broken()")
    assert 'File "UDF", line 3' in text
    assert "xarray.broken()" in text
    assert "site-packages" not in text
    assert __file__ not in text
    assert text.endswith("cannot reshape array of size 1 into shape (7,)")


def test_bad_syntax_is_a_sentence_with_its_line():
    text = "x = 1\ndef f(:\n    pass\n"
    with pytest.raises(SyntaxError) as raised:
        exec(text)
    said = described(raised.value, text).splitlines()
    assert said[0] == "the UDF is no valid Python: SyntaxError: invalid syntax (line 2)"
    assert said[1].strip() == "def f(:"
    assert not any("File" in line for line in said)
