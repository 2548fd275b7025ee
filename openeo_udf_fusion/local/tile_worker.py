"""What runs on the workers of a cluster: computes one tile into a ledger that the client can see.

A worker is sent the ledger's folder, a token and a box. The graph it reads from the ledger, once for each
run; its sources stay open, and the weights that its first tile loads stay in memory.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import openeo_udf_fusion
from openeo_udf_fusion.errors import Cancelled, FusionError, InvalidParameter, WorkerMismatch
from openeo_udf_fusion.jsontypes import Json
from openeo_udf_fusion.local.execution import Execution
from openeo_udf_fusion.local.fingerprints import code_digest, files_seen, weight_digests
from openeo_udf_fusion.local.ledger import Ledger
from openeo_udf_fusion.local.regions import Box
from openeo_udf_fusion.local.remote import Order
from openeo_udf_fusion.local.tiling import FIRST, Receipt, TileMaker, Tiling
from openeo_udf_fusion.local.udf.code import LogEntry
from openeo_udf_fusion.local.udf.confinement import Confinement
from openeo_udf_fusion.local.udf.runner import UdfRunner

POLL_S = 1.0
LOOK_S = 0.2
KEPT_RUNS = 8
NOTE_PATIENCE_S = 10.0
"""How long a network file system may hide a note from a worker that another machine has just written."""
RETRIES = 2
"""How often a tile may be begun again after a worker died over it."""


@dataclass(frozen=True)
class Answer:
    """A receipt or a deliberate error, who it comes from, and what the UDFs had to say on the way."""

    worker: str
    receipt: Receipt | None
    error: FusionError | None
    log: tuple[LogEntry, ...] = ()


def compute(order: Order) -> Answer:
    """Compute a tile and keep it in the ledger; the box `FIRST` is the one that settles the layout."""
    folder, token, edges = order
    log: list[LogEntry] = []
    _said.log = log
    try:
        run, box = _opened(folder, token), Box(*edges)
        receipt = run.maker.first() if box == FIRST else run.make(box)
        return Answer(_name(), receipt, None, tuple(log))
    except FusionError as error:
        # Its cause may be of a class that only a UDF knows: it stays here.
        return Answer(_name(), None, type(error)(str(error)), tuple(log))
    finally:
        del _said.log


def leave() -> None:
    """This process is asked to end: the tiles that it computes are not held against anybody."""
    for run in list(_runs.values()):
        run.maker.leave()


def spec(graph: Json, data: Path, side_px: int | None, owner: str, udf: Confinement) -> Json:
    """What an attempt's note tells the workers."""
    return {
        "version": openeo_udf_fusion.__version__,
        "code": code_digest(),
        "weights": weight_digests(),
        "graph": graph,
        "data": str(data.absolute()),
        "seen": files_seen(graph, data),
        "side_px": side_px,
        "owner": owner,
        "udf": udf.to_json(),
    }


class _Run:
    """One run's graph with its sources open, in this process."""

    def __init__(self, folder: str, token: str) -> None:
        self._ledger = Ledger(Path(folder))
        self._token = token
        self._asked_s, self._goes_on = 0.0, True
        self._settled = False
        self._lock = threading.Lock()
        noted = _noted(self._ledger, token)
        _require_the_same(noted)
        runner = UdfRunner(_say, self.cancelled, Confinement.from_json(noted["udf"]), noted["owner"])
        execution = Execution(noted["graph"], Path(noted["data"]), runner, _ignore)
        self._tiling = Tiling(execution, execution.survey({}), noted["side_px"])
        self.maker = TileMaker(self._tiling, self._ledger, token, RETRIES)
        self.close = runner.close

    def make(self, box: Box) -> Receipt:
        with self._lock:
            if not self._settled:
                layout = _patiently(self._ledger.layout)
                if layout is None:
                    raise WorkerMismatch(f"{_name()} does not see the layout in {self._ledger.folder}")
                self._tiling.settle(layout)
                self._settled = True
        return self.maker.make(box)

    def cancelled(self) -> bool:
        """Whether nobody waits any more; the folder may be on a network, so it is not asked all the time."""
        now = time.monotonic()
        if now - self._asked_s > POLL_S:
            self._asked_s, self._goes_on = now, self._ledger.goes_on(self._token)
        return not self._goes_on


_said = threading.local()
_runs: OrderedDict[tuple[str, str], _Run] = OrderedDict()
_opening = threading.Lock()


def _opened(folder: str, token: str) -> _Run:
    with _opening:
        key = (folder, token)
        run = _runs.get(key)
        if run is None:
            ended = [old for old, other in _runs.items() if other.cancelled()]
            for old in [*ended, *[old for old in _runs if old not in ended][: 1 - KEPT_RUNS]]:
                _runs.pop(old).close()
            run = _runs[key] = _Run(folder, token)
        _runs.move_to_end(key)
    if run.cancelled():
        raise Cancelled("the run has ended")
    return run


def _require_the_same(noted: Json) -> None:
    if noted["version"] != openeo_udf_fusion.__version__:
        raise WorkerMismatch(
            f"{_name()} has openeo-udf-fusion {openeo_udf_fusion.__version__}, the client has "
            f"{noted['version']}; install one version on both (one image for all)"
        )
    for what, own in (("code", code_digest()), ("weights", weight_digests())):
        if noted[what] != own:
            raise WorkerMismatch(
                f"{_name()} has other {what} of openeo-udf-fusion {openeo_udf_fusion.__version__} than the "
                "client; install the same build on both (one image for all)"
            )
    data = Path(noted["data"])
    if not data.is_dir():
        raise WorkerMismatch(
            f"{_name()} has no folder {data}; mount the collections at the same path on the client and all "
            "workers"
        )
    try:
        seen = files_seen(noted["graph"], data)
    except FusionError as error:
        raise WorkerMismatch(f"{_name()} sees other collections in {data} than the client: {error}") from None
    if seen != noted["seen"]:
        raise WorkerMismatch(
            f"{_name()} sees other files in {data} than the client (names, sizes or times of change differ); "
            "mount one file system on the client and all workers"
        )


def _noted(ledger: Ledger, token: str) -> Json:
    try:
        noted = _patiently(lambda: ledger.attempt(token) or ledger.has_ended(token))
    except InvalidParameter as error:
        raise WorkerMismatch(f"{_name()}: {error}") from error
    if isinstance(noted, dict):
        return noted
    if noted:
        raise Cancelled("the run has ended")
    what = "what the client noted in" if ledger.folder.is_dir() else ""
    raise WorkerMismatch(
        f"{_name()} does not see {what} the folder {ledger.folder} for finished tiles; the output (of a "
        "server: its --state) must lie on a file system that the client and all workers mount at the same "
        "path"
    )


T = TypeVar("T")


def _patiently(look: Callable[[], T]) -> T:
    """What is found there, as soon as something is; in the end what was found instead."""
    deadline = time.monotonic() + NOTE_PATIENCE_S
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(LOOK_S)
    return found


def _name() -> str:
    try:
        from distributed import get_worker

        return f"worker {get_worker().address}"
    except (ImportError, ValueError):
        return "this process"


def _say(entry: LogEntry) -> None:
    log = getattr(_said, "log", None)
    if log is not None:
        log.append(entry)


def _ignore(warning: str) -> None:
    """The client has opened the same sources, and heard the same."""
