"""Finding the PEP 723 block of a UDF, also in texts that are written to make it take long."""

import random

import pytest
from openeo.udf.run_code import extract_udf_dependencies

from openeo_udf_fusion.errors import InvalidParameter, UnmetRequirement
from openeo_udf_fusion.local.graph_limits import GraphLimits
from openeo_udf_fusion.local.udf import requirements
from openeo_udf_fusion.local.udf.requirements import check_requirements

MOST = GraphLimits().udf_characters
BLOCK = '# /// script\n# dependencies = ["no-such-thing"]\n# ///\n'


@pytest.fixture
def searched(monkeypatch):
    """The texts that openeo's regular expression is given."""
    found = []

    def extract(text):
        found.append(text)
        return extract_udf_dependencies(text)

    monkeypatch.setattr(requirements, "extract_udf_dependencies", extract)
    return found


def filled(line: str, end: str = "") -> str:
    return line * ((MOST - len(end)) // len(line)) + end


@pytest.mark.parametrize(
    "code",
    [
        filled("# /// a\n"),
        filled("# /// script\n"),
        filled("# /// script\n#\n"),
        filled("# /// script\n\n"),
        filled("# /// script\n# x\n\n"),
        filled("# x\n"),
        filled("# /// a\n", "x = 1\n# ///"),
    ],
)
def test_a_hostile_text_is_never_searched_by_the_expression(searched, code):
    """For 64 kB of `# /// a` it takes seconds, during which nothing else of the server runs."""
    check_requirements(code)
    assert searched == []


def test_only_the_block_is_searched(searched):
    with pytest.raises(UnmetRequirement, match="no-such-thing"):
        check_requirements(filled("# /// a\n\nx\n", "\n" + BLOCK))
    assert searched == [BLOCK.rstrip("\n")]


def test_every_line_is_looked_at_a_bounded_number_of_times(monkeypatch):
    looked = 0

    class Counting:
        def fullmatch(self, line):
            nonlocal looked
            looked += 1
            return opening.fullmatch(line)

    opening = requirements._OPENING
    monkeypatch.setattr(requirements, "_OPENING", Counting())
    for line in ("# /// a\n", "# /// script\n#\n\n", "x\n"):
        code, looked = filled(line), 0
        check_requirements(code)
        assert looked <= code.count("\n") + 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("# x = '" + "y" * 9000 + "'\n", "at most 8000"),
        ("# " + "a." * 2000 + "a = 1\n", "more than 20 dots"),
        ("# [" + "a." * 2000 + "a]\n", "more than 20 dots"),
        ("# x = " + "[" * 3000 + "\n", "cannot be read"),
        ("# dependencies = ['a; " + "(" * 3000 + "']\n", "no requirement|cannot be read"),
    ],
)
def test_a_block_that_takes_long_to_read_is_refused(content, reason):
    with pytest.raises((InvalidParameter, UnmetRequirement), match=reason):
        check_requirements(f"# /// script\n{content}# ///\n")


def test_two_blocks_are_refused():
    with pytest.raises(InvalidParameter, match="there are 2"):
        check_requirements(f"{BLOCK}x = 1\n{BLOCK}")


def test_the_same_blocks_are_found_as_by_openeo():
    rng = random.Random(3)
    lines = [
        "# /// script",
        "# /// script  ",
        "# /// other",
        "# ///",
        "#",
        "# dependencies = []",
        "",
        "x",
        "#x",
    ]
    found = 0
    for _ in range(5000):
        code = "\n".join(rng.choices(lines, k=rng.randrange(12)))
        try:
            theirs = extract_udf_dependencies(code)
        except ValueError:  # several blocks, or no TOML
            theirs = "refused"
        try:
            blocks = requirements._blocks(code)
            ours = extract_udf_dependencies(blocks[0]) if blocks else None
        except ValueError:
            ours = "refused"
        assert ours == theirs, code
        found += theirs is not None
    assert found > 100
