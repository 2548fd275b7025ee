"""Runs whose tiles leave traces."""

import filecmp
import time
from collections.abc import Callable
from pathlib import Path

from openeo_udf_fusion.local import executor
from tests.local.graphs import code, load, node, of, process, udf, workspace

TILE_PX = 6


def traced(calls: Path, body: str = "") -> dict:
    """A graph on `demo` whose UDF adds a byte to a file for every tile that it computes."""
    steps = (
        "place = f'{float(cube.y[0]):.0f}_{float(cube.x[0]):.0f}'\n"
        f"calls = '{calls}/'\n"
        "with open(calls + place, 'a') as file:\n"
        "    file.write('.')\n"
        "print('computes', place)\n"
    )
    text = code(steps + body + "\nreturn cube * 2")
    return process(a=load("demo"), b=node("apply_dimension", data=of("a"), dimension="t", process=udf(text)))


def counts(calls: Path) -> list[int]:
    """How often each tile was computed."""
    return sorted(path.stat().st_size for path in calls.iterdir() if not path.name.startswith("."))


def run(graph: dict, folder: Path, output: Path, **options) -> executor.RunResult:
    """A run into a file whose suffix tells its format."""
    more = {"tile_px": TILE_PX, "format": output.suffix[1:], **options}
    return executor.run(graph, workspace(folder), output, **more)


def same_bytes(one: Path, other: Path) -> bool:
    """Whether two files, or two folders with everything in them, are equal."""
    if one.is_file():
        return filecmp.cmp(one, other, shallow=False)
    names = [sorted(str(path.relative_to(top)) for path in top.rglob("*")) for top in (one, other)]
    files = [name for name in names[0] if (one / name).is_file()]
    return names[0] == names[1] and all(
        filecmp.cmp(one / name, other / name, shallow=False) for name in files
    )


def until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    """Wait for something that happens soon."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"it does not happen within {seconds} s")
        time.sleep(0.02)
