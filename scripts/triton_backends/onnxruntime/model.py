# ruff: noqa: INP001  # Triton wants a folder of this name with this file in it, not a package.
"""A Python-based Triton backend named `onnxruntime`: the stand-in for NVIDIA's native one, with the same config.pbtxt.

Triton runs it in a stub process for each model instance. The requests of a dynamic batch become one run of the graph,
and its rows go back to the requests they came from. It runs under Triton's own environment and imports nothing of ours.
"""

import json
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import numpy as np
import triton_python_backend_utils as pb  # pyright: ignore[reportMissingImports]  # Triton's stub brings it.
from numpy.typing import NDArray

Array = NDArray[Any]

_MODEL_FILE: Final = "model.onnx"
_NICENESS: Final = 10
"""By how much loading gives way to versions that answer calls: to about a tenth of a core that they want all of."""
_WARMUP_ROWS: Final = 8
_GRAPH_TYPES: Final = {
    "tensor(bool)": "TYPE_BOOL",
    "tensor(uint8)": "TYPE_UINT8",
    "tensor(int8)": "TYPE_INT8",
    "tensor(int32)": "TYPE_INT32",
    "tensor(int64)": "TYPE_INT64",
    "tensor(float16)": "TYPE_FP16",
    "tensor(float)": "TYPE_FP32",
    "tensor(double)": "TYPE_FP64",
}


class TritonPythonModel:
    """One instance of one version of a model. Triton calls the methods below, never two of them at once."""

    @staticmethod
    def auto_complete_config(config: Any) -> Any:
        """Fill in the inputs and outputs that config.pbtxt leaves out, from the graph."""
        given = config.as_dict()
        if given["input"] and given["output"]:
            return config
        graph = _open(Path(pb.get_model_dir()) / (given["default_model_filename"] or _MODEL_FILE), {}, device=None)
        batched = given["max_batch_size"] > 0
        for nodes, add in ((graph.get_inputs(), config.add_input), (graph.get_outputs(), config.add_output)):
            for node in nodes:
                dims = [size if isinstance(size, int) else -1 for size in node.shape[1 if batched else 0 :]]
                add({"name": node.name, "data_type": _GRAPH_TYPES[node.type], "dims": dims})
        return config

    def initialize(self, args: Mapping[str, str]) -> None:
        """Load the graph and hold it against the configuration, so that a version that lies fails to load.

        Raises:
            TritonModelException: The graph lacks a tensor of the configuration, or its type differs.
        """
        config = json.loads(args["model_config"])
        file = Path(args["model_repository"], args["model_version"], config["default_model_filename"] or _MODEL_FILE)
        device = int(args["model_instance_device_id"]) if args["model_instance_kind"] == "GPU" else None
        parameters = {name: value["string_value"] for name, value in config["parameters"].items()}
        self.graph = _open(file, parameters, device=device)
        self.batched = config["max_batch_size"] > 0
        self.inputs = {entry["name"]: _dims(entry) for entry in config["input"]}
        self.outputs = [entry["name"] for entry in config["output"]]
        _check(config["input"], self.graph.get_inputs(), complete=True)
        _check(config["output"], self.graph.get_outputs(), complete=False)
        if self.batched and device is None and config["model_warmup"]:
            _giving_way(lambda: self._warm_up(config))

    def execute(self, requests: Sequence[Any]) -> list[Any]:
        """Answer every request, in order; one that cannot be answered gets an error of its own."""
        responses: list[Any] = [None] * len(requests)
        feeds: list[dict[str, Array]] = []
        places: list[int] = []
        for place, request in enumerate(requests):
            feed = {name: pb.get_input_tensor_by_name(request, name).as_numpy() for name in self.inputs}
            problem = self._problem(feed)
            if problem:
                error = pb.TritonError(problem, pb.TritonError.INVALID_ARG)
                responses[place] = pb.InferenceResponse(output_tensors=[], error=error)
            else:
                feeds.append(feed)
                places.append(place)
        wanted = [requests[place].requested_output_names() or self.outputs for place in places]
        for place, response in zip(places, self._answer(feeds, wanted), strict=True):
            responses[place] = response
        return responses

    def finalize(self) -> None:
        """Let go of the graph before the stub ends."""
        del self.graph

    def _warm_up(self, config: Mapping[str, Any]) -> None:
        """Run some rows of zeros, so that the larger part of what is done but once is not done at a caller's cost.

        Triton's own warm-up comes after it, in a thread that nobody comes before, and is left with little to do.
        """
        rows = min(_WARMUP_ROWS, config["max_batch_size"])
        types = {entry["name"]: entry["data_type"] for entry in config["input"]}
        if any(-1 in dims for dims in self.inputs.values()) or "TYPE_STRING" in types.values():
            return
        zeros = {
            name: np.zeros((rows, *dims), pb.triton_string_to_numpy(types[name])) for name, dims in self.inputs.items()
        }
        self.graph.run(self.outputs, zeros)

    def _problem(self, feed: Mapping[str, Array]) -> str | None:
        """Say what is wrong with the shapes of a request, or None. Triton has looked already, but not at every kind."""
        rows = None
        for name, dims in self.inputs.items():
            shape = feed[name].shape
            inner = shape[1:] if self.batched else shape
            if len(inner) != len(dims) or any(want not in (-1, got) for want, got in zip(dims, inner, strict=True)):
                return f"Input {name} has the shape {list(inner)}; the model takes {list(dims)}."
            if self.batched and rows not in (None, shape[0]):
                return f"Input {name} has {shape[0]} rows, another input has {rows}."
            rows = shape[0] if self.batched else None
        return None

    def _answer(self, feeds: Sequence[Mapping[str, Array]], wanted: Sequence[Sequence[str]]) -> Iterable[Any]:
        """Run the requests as one batch where they fit together; else, and where that fails, each alone."""
        if len(feeds) > 1 and self.batched and _fit(feeds):
            names = sorted({name for request in wanted for name in request})
            try:
                joined = {name: np.concatenate([feed[name] for feed in feeds]) for name in self.inputs}
                results: dict[str, Any] = dict(zip(names, self.graph.run(names, joined), strict=True))
            except Exception as error:  # noqa: BLE001  # Whatever it was, the others must not share one request's fault.
                pb.Logger.log_warn(f"A batch of {len(feeds)} requests failed and is run one by one: {error}")
            else:
                yield from _split(feeds, wanted, results)
                return
        for feed, names in zip(feeds, wanted, strict=True):
            yield self._answer_one(feed, names)

    def _answer_one(self, feed: Mapping[str, Array], names: Sequence[str]) -> Any:
        try:
            results = self.graph.run(names, feed)
        except Exception as error:  # noqa: BLE001  # The runtime's errors share no class; each is told to its caller.
            failure = pb.TritonError(f"The graph failed: {error}", pb.TritonError.INTERNAL)
            return pb.InferenceResponse(output_tensors=[], error=failure)
        return pb.InferenceResponse([pb.Tensor(name, value) for name, value in zip(names, results, strict=True)])


def _open(file: Path, parameters: Mapping[str, str], *, device: int | None) -> Any:
    """Open a graph on a GPU where Triton gives one and the runtime has CUDA, else on the processor.

    Of the parameters it heeds `intra_op_thread_count` (the native backend's name; 0: one thread a core; also
    `intra_op_num_threads`) and `allow_spinning` (whether idle threads burn their core, "0" or "1").
    """
    # Imported here and not above, because Triton also starts a process to complete a configuration, mostly for nothing.
    ort = _giving_way(_runtime)
    options = ort.SessionOptions()
    threads = int(parameters.get("intra_op_thread_count") or parameters.get("intra_op_num_threads") or "0")
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", parameters.get("allow_spinning", "0"))
    providers: list[Any] = ["CPUExecutionProvider"]
    if device is not None and "CUDAExecutionProvider" in ort.get_available_providers():
        providers.insert(0, ("CUDAExecutionProvider", {"device_id": str(device)}))

    def opened() -> Any:
        return ort.InferenceSession(str(file), options, providers=providers)

    # Threads that a session starts for itself would give way for good.
    return _giving_way(opened) if threads == 1 and len(providers) == 1 else opened()


def _runtime() -> Any:
    import onnxruntime  # noqa: PLC0415  # See where it is called.

    return onnxruntime


def _giving_way(work: Callable[[], Any]) -> Any:
    """Do something in a thread of lower priority, which Linux has by thread, and return what it gives."""

    def lowered() -> Any:
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(lowered).result()


def _dims(entry: Mapping[str, Any]) -> tuple[int, ...]:
    """Shape of a tensor of the configuration as the graph sees it, without the batch; -1 is any size."""
    reshaped = entry.get("reshape")
    return tuple(int(size) for size in (reshaped["shape"] if reshaped else entry["dims"]))


def _check(entries: Sequence[Mapping[str, Any]], nodes: Sequence[Any], *, complete: bool) -> None:
    """Hold tensors of the configuration against the graph's; `complete`: the graph may have no others."""
    types = {node.name: _GRAPH_TYPES.get(node.type, node.type) for node in nodes}
    names = {entry["name"] for entry in entries}
    if complete and types.keys() - names:
        raise pb.TritonModelException(f"The graph also takes {sorted(types.keys() - names)}.")
    for entry in entries:
        found = types.get(entry["name"])
        if found != entry["data_type"]:
            expected = f"{entry['name']} as {entry['data_type']}"
            raise pb.TritonModelException(f"config.pbtxt names {expected}, the graph has {found or sorted(types)}.")


def _fit(feeds: Sequence[Mapping[str, Array]]) -> bool:
    """Tell whether the requests differ in nothing but their number of rows."""
    first = feeds[0]
    return all(feed[name].shape[1:] == first[name].shape[1:] for feed in feeds for name in first)


def _split(
    feeds: Sequence[Mapping[str, Array]], wanted: Sequence[Sequence[str]], results: Mapping[str, Array]
) -> Iterable[Any]:
    """Hand each request its rows of the results it asked for."""
    start = 0
    for feed, names in zip(feeds, wanted, strict=True):
        stop = start + next(iter(feed.values())).shape[0]
        yield pb.InferenceResponse([pb.Tensor(name, results[name][start:stop]) for name in names])
        start = stop
