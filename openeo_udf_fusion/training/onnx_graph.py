"""A network, calibration included, as one ONNX graph for both targets and any number of days."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial

import onnx
import torch
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper
from torch import Tensor, nn
from torch.export import Dim

from openeo_udf_fusion.models.calibrated import CalibratedNetwork
from openeo_udf_fusion.models.merging import Grid
from openeo_udf_fusion.models.satfusenet import OTHER, GatheredReach

OPSET = 20
"""The first with the GELU; onnxruntime knows it since 1.17."""
DECODED = {"values": ("levels", "pixels", "queries", "bands"), "sigma": ("pixels", "queries", "bands")}
"""What is decoded for a target, with the names of its axes."""


class ExportedForward(nn.Module):
    """All that a graph computes, one tensor an argument; see `onnx_runtime.OnnxNetwork.run`."""

    def __init__(self, network: CalibratedNetwork) -> None:
        super().__init__()
        self.calibrated = network

    def forward(
        self,
        modis_values: Tensor,
        modis_valid: Tensor,
        viirs_values: Tensor,
        viirs_valid: Tensor,
        first_day: Tensor,
        positions: Tensor,
        deviations: Tensor,
        rows: Tensor,
        keys: Tensor,
    ) -> tuple[Tensor, ...]:
        """Values and sigma of one sensor after the other, and the pixels' strangeness."""
        grids = {"modis": Grid(modis_values, modis_valid), "viirs": Grid(viirs_values, viirs_valid)}
        latents = self.calibrated.encode(grids, first_day, partial(GatheredReach, rows=rows, keys=keys))
        decoded = (self.calibrated.decode(latents, grids, positions, s, deviations) for s in OTHER)
        return (*(part for each in decoded for part in each), latents.strangeness)


def export(network: CalibratedNetwork) -> bytes:
    """Return the graph of a network, in float32 on the CPU.

    Parameters
    ----------
    network
        The network and its calibration; both become constants of the graph.

    Returns
    -------
    bytes
        What `onnx_runtime.OnnxNetwork` takes.
    """
    outputs = [f"to_{sensor}_{part}" for sensor in OTHER for part in DECODED]
    with _quiet():
        program = torch.onnx.export(
            ExportedForward(network).eval(),
            _example(network),
            dynamo=True,
            dynamic_shapes=_any_size(network),
            opset_version=OPSET,
            output_names=[*outputs, "strangeness"],
            external_data=False,
            verbose=False,
        )
    if program is None:
        raise RuntimeError("torch.onnx.export returned nothing")
    model = branched(program.model_proto)
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString(deterministic=True)
    return content


def _example(network: CalibratedNetwork) -> tuple[Tensor, ...]:
    """Arguments of the forward; what counts are dtypes, and that no two free sizes are alike."""
    config, pixels, bins, blocks = network.model.config, 3, 50, 2
    grids = []
    for sensor in OTHER:
        shape = pixels, bins * config.bin_days, len(config.bands(sensor))
        grids += [torch.zeros(shape), torch.zeros(shape, dtype=torch.bool)]
    rows, keys = torch.zeros((blocks, 25), dtype=torch.int64), torch.zeros((blocks, 40), dtype=torch.int64)
    return *grids, torch.tensor([0]), torch.arange(config.bin_days, 11), torch.zeros(5), rows, keys


def _any_size(network: CalibratedNetwork) -> tuple[dict[int, Dim] | None, ...]:
    """Which sizes of the arguments are free."""
    grid = {0: Dim("pixels"), 1: network.model.config.bin_days * Dim("bins")}
    blocks = Dim("blocks")
    rows, keys = ({0: blocks, 1: Dim(f"{name}_of_block")} for name in ("rows", "keys"))
    return grid, grid, grid, grid, None, {0: Dim("queries")}, {0: Dim("levels")}, rows, keys


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep to itself what the exporter says of its own workings; its errors are raised all the same."""
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


# --- one graph that decodes one target at a time


def branched(model: ModelProto) -> ModelProto:
    """Put what only one target needs into a branch of its own, of which a run takes one; drop the rest.

    The file keeps neither names of source files nor of lines.
    """
    graph = model.graph
    nodes = list(graph.node)
    for node in nodes:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    needed = {s: _needed(nodes, [f"to_{s}_{part}" for part in DECODED]) for s in OTHER}
    shared = _needed(nodes, ["strangeness"]) | set.intersection(*needed.values())
    weights = {initializer.name: initializer for initializer in graph.initializer}
    branches, kept = {}, dict(weights)
    for sensor in OTHER:
        own = [nodes[place] for place in sorted(needed[sensor] - shared)]
        others = (nodes[place] for place in set(range(len(nodes))) - (needed[sensor] - shared))
        used_elsewhere = {name for node in others for name in node.input}
        mine = {name for node in own for name in node.input if name in weights} - used_elsewhere
        own_weights = [weights[name] for name in sorted(mine)]
        branches[sensor] = helper.make_graph(own, sensor, [], _decoded(f"to_{sensor}_"), own_weights)
        kept = {name: tensor for name, tensor in kept.items() if name not in mine}
    choose = helper.make_node(
        "If", ["to_viirs"], list(DECODED), then_branch=branches["viirs"], else_branch=branches["modis"]
    )
    inputs = [*graph.input, helper.make_tensor_value_info("to_viirs", TensorProto.BOOL, [])]
    whole = helper.make_graph(
        [*(nodes[place] for place in sorted(shared)), choose],
        "satfusenet",
        inputs,
        [*_decoded(), *(output for output in graph.output if output.name == "strangeness")],
        list(kept.values()),
    )
    return helper.make_model(whole, opset_imports=model.opset_import, ir_version=model.ir_version)


def _decoded(prefix: str = "") -> list[ValueInfoProto]:
    """What a target's branch, or the graph, gives."""
    return [
        helper.make_tensor_value_info(prefix + part, TensorProto.FLOAT, axes)
        for part, axes in DECODED.items()
    ]


def _needed(nodes: Sequence[NodeProto], outputs: Sequence[str]) -> set[int]:
    """The places of the nodes that these outputs depend on; nodes stand in the order of their running."""
    wanted, found = set(outputs), set()
    for place in reversed(range(len(nodes))):
        if wanted.intersection(nodes[place].output):
            found.add(place)
            wanted.update(nodes[place].input)
    return found
