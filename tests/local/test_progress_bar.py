"""What a run says of its progress where stderr is no terminal."""

import pytest

from openeo_udf_fusion.local import progress_bar
from openeo_udf_fusion.local.executor import Progress
from openeo_udf_fusion.local.progress_bar import ProgressBar


@pytest.mark.parametrize(("total", "lines"), [(40, 10), (3, 3), (1000, 10)])
def test_a_line_is_said_for_about_every_tenth(capsys, monkeypatch, total, lines):
    monkeypatch.setattr(progress_bar, "SHOWN_AFTER_S", 0.0)
    with ProgressBar() as bar:
        for done in range(1, total + 1):
            bar.update(Progress(done, total, 1234.0))
    said = capsys.readouterr().err.splitlines()
    assert len(said) == lines
    assert said[-1] == f"tile {total} of {total}, 1,234 pixels/s"


def test_what_is_done_at_once_is_done_in_silence(capsys):
    with ProgressBar() as bar:
        bar.update(Progress(1, 1, 1.0))
    assert capsys.readouterr().err == ""
