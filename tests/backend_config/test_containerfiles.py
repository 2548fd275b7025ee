"""Each image is built from one file alone, so files repeat each other: here they are kept the same."""

import pytest

FILES = ("dask/Containerfile", "dask/Containerfile.cuda", "embedded/Containerfile")


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "backend_config"


def stages(text):
    """The lines of each stage, without comments."""
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    starts = [number for number, line in enumerate(lines) if line.startswith("FROM ")]
    return [lines[begin:end] for begin, end in zip(starts, [*starts[1:], None], strict=True)]


def test_images_for_the_cpu_are_built_alike(folder):
    one, other = (stages((folder / name).read_text())[0] for name in (FILES[0], FILES[2]))
    assert one == other
    assert any("pip install" in line for line in one)


def test_the_image_for_gpus_copies_and_installs_the_same(folder):
    cpu, gpu = (stages((folder / name).read_text())[0] for name in FILES[:2])
    for first in ("WORKDIR", "COPY", "RUN python3"):
        assert [line for line in gpu if line.startswith(first)] == [
            line for line in cpu if line.startswith(first)
        ]
    for stage in (cpu, gpu):
        assert "-c constraints.txt" in " ".join(stage)


@pytest.mark.parametrize("first", ["USER", "COPY --from", "    && useradd"])
def test_all_images_run_as_the_same_user_from_the_same_place(folder, first):
    found = {
        tuple(line for line in stages((folder / name).read_text())[1] if line.startswith(first))
        for name in FILES
    }
    assert len(found) == 1
    assert found != {()}


def test_the_same_files_are_left_out(folder):
    assert len({(folder / f"{name}.dockerignore").read_text() for name in FILES}) == 1
