"""Whether a use of a UDF may run a neural network, and so be worth a GPU."""

import inspect
import re
from importlib import import_module

from openeo_udf_fusion import udfs
from openeo_udf_fusion.local.udf.calls import UdfCall
from openeo_udf_fusion.models import cards

# Users' own code: the runtimes of neural networks, and this package, whose models it may call.
_IMPORTS_A_RUNTIME = re.compile(
    r"^\s*(?:from|import)\s+(?:torch|onnxruntime|openeo_udf_fusion)\b", re.MULTILINE
)


def may_run_a_model(call: UdfCall) -> bool:
    """Tell by the process and its method for UDFs of this package, by what it imports for any other code."""
    process = udfs.shipped_as(call.code)
    if process is None:
        return _IMPORTS_A_RUNTIME.search(call.code) is not None
    module = import_module(f"openeo_udf_fusion.processes.{process}")
    parameters = inspect.signature(getattr(module, process)).parameters
    if "method" in parameters:
        return call.context.get("method", parameters["method"].default) in cards.names()
    return hasattr(module, "weights")
