"""`evaluate s1s2_embedding`: its further parts."""

import json

import pytest

from ..training.s1s2 import made_up, write

PARTS = (("--features",), ("--gpp", "towers"), ("--picture", "codes.png"))


@pytest.mark.parametrize("part", PARTS)
def test_parts_are_the_embeddings_alone_and_go_without_a_card(command, part):
    other = command("evaluate", "satfusenet", *part)
    assert other.status != 0
    assert "is for s1s2_embedding" in other.stderr
    with_card = command("evaluate", "s1s2_embedding", *part, "--card")
    assert with_card.status != 0
    assert "does not go with --card" in with_card.stderr


def test_one_part_at_a_time(command):
    assert command("evaluate", "s1s2_embedding", "--features", "--gpp", "towers").status == 2


def test_a_picture_of_a_site(command, tmp_path):
    write(made_up(y=12, x=12, days=620), tmp_path / "site")
    done = command(
        "evaluate", "s1s2_embedding", "--data", tmp_path / "site", "--picture", tmp_path / "codes.png"
    )
    assert done.status == 0
    assert (tmp_path / "codes.png").is_file()
    assert "wrote" in done.stderr


def test_what_towers_lack_is_named(command, tmp_path):
    done = command("evaluate", "s1s2_embedding", "--gpp", tmp_path, "--json")
    assert done.status != 0
    assert "gpp.csv" in done.stderr
    with pytest.raises(json.JSONDecodeError):
        json.loads(done.stdout)
