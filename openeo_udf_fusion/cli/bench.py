"""`openeo-udf-fusion bench`: how fast a process is on this machine, and how much memory it takes."""

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

from openeo_udf_fusion.jsontypes import Json

ROWS: Mapping[str, str] = {
    "pixel_years_per_s": "pixel-years/s, float32",
    "pixel_years_per_s_bf16": "pixel-years/s, bfloat16",
    "pixel_years_per_s_onnx": "pixel-years/s, onnxruntime, float32",
    "onnx_to_torch": "times the speed of torch, onnxruntime",
    "whittaker_pixel_years_per_s": "pixel-years/s, whittaker-eilers, one thread",
    "pixel_years_per_cpu_s": "pixel-years per second of a core, float32",
    "pixel_years_per_cpu_s_bf16": "pixel-years per second of a core, bfloat16",
    "pixel_years_per_cpu_s_onnx": "pixel-years per second of a core, onnxruntime, float32",
    "overhead_fraction": "share of time outside the model",
    "overhead_cpu_fraction": "share of the cores' time outside the model",
    "peak_rss_mib": "peak memory in MiB",
    "peak_rss_mib_4x_area": "peak memory in MiB, 4 times the area",
    "series_per_s": "series/s, {}",
    "series_per_s_one_thread": "series/s, {}, one thread",
    "series_per_cpu_s": "series per second of a core, {}",
    "method_series_per_s_one_thread": "series/s, {}, one thread, the method alone",
    "library_series_per_s": "series/s, whittaker-eilers, one thread",
    "pixel_dates_per_s": "pixel-dates/s",
    "patchwise_pixel_dates_per_s": "pixel-dates/s, patch by patch",
    "times_patchwise": "times the speed of patch by patch",
    "seconds": "s",
    "cpu_seconds": "seconds of a core",
    "gflops": "billions of floating-point operations/s in the network",
    "matmul_gflops": "the same in matrix products",
    "of_peak": "the one over the other",
    "tiles_per_s": "tiles/s, {} worker(s) of one thread",
    "efficiency": "tiles/s of two workers over twice those of one",
    "worker_peak_rss_mib": "peak memory in MiB of the largest of {} worker(s)",
    "planned_worker_rss_mib": "the same as the plan says",
    "planned_to_peak_memory": "what the plan says over that peak, {} worker(s)",
    "scheduler_peak_rss_mib": "peak memory in MiB of the scheduler",
    "client_peak_rss_mib": "peak memory in MiB of the client",
}
"""Where a result is one number for each method or number of workers, {} is which."""
SIZES: Mapping[str, int] = {
    "harmonize_modis_viirs": 64,
    "fill_gaps": 64,
    "embed_sentinel1_sentinel2": 64,
    "fuse_landsat_sentinel2": 165,
}
"""Side of the cube in pixels, where none is asked for."""


def add_parser(subparsers: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add the command and its options."""
    parser = subparsers.add_parser("bench", help="measure speed and memory of a process", description=__doc__)
    parser.add_argument(
        "process",
        choices=[*SIZES, "scale_out"],
        help="which process; scale_out runs tiles on one and two dask workers",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object instead of a table")
    parser.add_argument(
        "--size",
        type=_positive,
        metavar="PX",
        help="side of the cube; default: 64, of fuse_landsat_sentinel2 165",
    )
    parser.add_argument("--threads", type=_positive, default=2, help="cores that may be used; default: 2")
    parser.add_argument("--repeats", type=_positive, default=3, help="turns of each contestant; default: 3")
    parser.add_argument(
        "--whittaker-pixels",
        type=_positive,
        default=512,
        metavar="N",
        help="pixels for whittaker-eilers in each of its turns; default: 512",
    )
    parser.add_argument(
        "--area",
        type=_positive,
        default=128,
        metavar="PX",
        help="side of the area whose memory is measured, and that of 4 times as much; default: 128",
    )
    parser.add_argument(
        "--onnx", action="store_true", help="let onnxruntime take turns too (harmonize_modis_viirs)"
    )
    parser.add_argument(
        "--slice",
        type=_positive,
        default=640,
        metavar="PX",
        help="scale_out: side of the part of the scene that is run for real; default: 640",
    )
    parser.add_argument(
        "--skip-memory", action="store_true", help="measure speed alone, as fill_gaps always does"
    )
    _add_options_of_a_fusion(parser)


def _add_options_of_a_fusion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dtype",
        choices=["float32", "bfloat16"],
        default="float32",
        help="fuse_landsat_sentinel2: precision of encoders and attention; default: float32",
    )
    for option, what, number in (
        ("--s2", "dates of Sentinel-2", 40),
        ("--landsat", "dates of Landsat", 25),
        ("--queries", "queried days", 24),
    ):
        parser.add_argument(
            option,
            type=_positive,
            default=number,
            metavar="N",
            help=f"fuse_landsat_sentinel2: {what}; default: {number}",
        )


def run(args: argparse.Namespace) -> int:
    """Measure a process on a generated year of both sensors."""
    args.size = args.size or SIZES.get(args.process)
    generated = {
        "scale_out": _scale_out,
        "embed_sentinel1_sentinel2": _embed_sentinel1_sentinel2,
        "fuse_landsat_sentinel2": _fuse_landsat_sentinel2,
    }
    if args.process in generated:
        return _print(generated[args.process](args), args)
    from openeo_udf_fusion.demo.sample import write_sample

    with TemporaryDirectory(prefix="openeo_udf_fusion_sample_") as folder:
        _say(f"generating {args.size} x {args.size} pixels of a year ...")
        write_sample(Path(folder), size_px=args.size)
        measure = {"harmonize_modis_viirs": _harmonize_modis_viirs, "fill_gaps": _fill_gaps}[args.process]
        results = measure(Path(folder), args)
    return _print(results, args)


def _print(results: Json, args: argparse.Namespace) -> int:
    print(json.dumps(results) if args.json else table(results))
    return 0


def _scale_out(args: argparse.Namespace) -> Json:
    from openeo_udf_fusion.bench import scale_out as bench

    with TemporaryDirectory(prefix="openeo_udf_fusion_scene_") as folder:
        return bench.measure(Path(folder), bench.Sizes(slice_px=args.slice), _say)


def _embed_sentinel1_sentinel2(args: argparse.Namespace) -> Json:
    from openeo_udf_fusion.bench import embed_sentinel1_sentinel2 as bench

    area_px = None if args.skip_memory else args.area
    sizes = bench.Sizes(args.size, args.threads, args.repeats, area_px=area_px)
    return bench.measure(sizes, _say)


def _fuse_landsat_sentinel2(args: argparse.Namespace) -> Json:
    from openeo_udf_fusion.bench import fuse_landsat_sentinel2 as bench

    sizes = bench.Sizes(args.size, args.s2, args.landsat, args.queries, args.dtype, args.threads)
    return bench.measure(sizes, _say)


def _harmonize_modis_viirs(sample: Path, args: argparse.Namespace) -> Json:
    from openeo_udf_fusion.bench import harmonize_modis_viirs as bench

    area_px = None if args.skip_memory else args.area
    sizes = bench.Sizes(args.threads, args.repeats, args.whittaker_pixels, area_px, args.onnx)
    return bench.measure(sample, sizes, _say)


def _fill_gaps(sample: Path, args: argparse.Namespace) -> Json:
    from openeo_udf_fusion.bench import fill_gaps as bench

    return bench.measure(sample, bench.Sizes(args.threads, args.repeats, args.whittaker_pixels), _say)


def table(results: Json) -> str:
    """Lay out the results for a reader."""
    lines = []
    for key, text in ROWS.items():
        found = results.get(key, {})
        numbers = found if isinstance(found, dict) else {"": found}
        lines += [f"{number:>10,g}  {text.format(method)}" for method, number in numbers.items()]
    about = [f"{name}: {value}" for name, value in results["circumstances"].items()]
    return "\n".join([*lines, "", *about])


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"a whole number above 0 is needed, got {text}")
    return number


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
