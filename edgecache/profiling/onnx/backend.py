"""The default backend: ONNX files run by ONNX Runtime, either the ten networks of networks.py or the user's own."""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from ...errors import InputError, whole_number
from ..contract import CATALOGUE_MODELS, Network, check_installed, enough_room

PROVIDER = "CPUExecutionProvider"
NUMBERS = {"float": "float32", "float16": "float16", "double": "float64", "bool": "bool"}  # ONNX's type: NumPy's
NUMBERS |= {name: name for name in (f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64))}
UNSUPPORTED = (
    r"No Op registered for (\S+)",
    r"([\w.:]+)\(-?\d+\) is not a registered function/op",
    r"Could not find an implementation for (\w+)\(",
)
# what precedes the cause in ONNX Runtime's messages: codes, the path of the model, places in its own source
NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed: ?"
    r"|\S*/onnxruntime/\S+?:\d+ (?:[^'\"]*?\)(?: const)? (?=[A-Z]))?"
)


@dataclass(frozen=True)
class OnnxBackend:
    """Run networks by ONNX Runtime on the CPU, by default on one thread; its threads never spin.

    `models`: the user's own .onnx files by service. `sizes`: sizes of their inputs that the files leave open, by name. Raises
    InputError where ONNX Runtime is missing, and for another device.
    """

    device: str = "cpu"
    threads: int = 1
    models: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    name: ClassVar[str] = "onnx"
    gpu: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if self.device not in ("auto", "cpu"):
            raise InputError(f"device is {self.device!r}; the onnx backend runs on the cpu alone, the torch backend on a GPU")
        whole_number("threads", self.threads)
        check_installed("profile", "onnxruntime", "onnx", "psutil")
        import onnxruntime

        object.__setattr__(self, "device", "cpu")
        onnxruntime.set_default_logger_severity(4)  # `_one_sentence` tells what fails

    @property
    def services(self) -> tuple[str, ...]:
        return (*CATALOGUE_MODELS, *(service for service in self.models if service not in CATALOGUE_MODELS))

    def describe(self) -> dict[str, str]:
        """Return the versions. It runs an empty session first: no load's time then includes ONNX Runtime's own start."""
        import onnx
        import onnxruntime

        one = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
        graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "ready", one[:1], one[1:])
        ready = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        session = onnxruntime.InferenceSession(ready.SerializeToString(), providers=[PROVIDER])
        session.run(None, {"x": np.zeros(1, dtype=np.float32)})
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "provider": PROVIDER}

    def build(self, service: str, folder: Path) -> Network:
        """Write one of the ten networks into the folder, or check the user's own where it is.

        Raises InputError for a file that cannot be read, is no ONNX model, or lacks its weights, and where the disk is full.
        """
        if service in self.models:
            return read_model(service, Path(self.models[service]))
        from .networks import build

        with enough_room(service, folder):
            return build(service, folder)

    def load(self, network: Network) -> "Sessions":
        """Read the whole network into memory, also the weights that ONNX Runtime maps and would read later."""
        with _one_sentence(network):
            sessions = Sessions(network, self)
            for file in weight_files(network):
                np.memmap(file, np.uint8, "r")[::4096].max()
        return sessions


class Sessions:
    """The stages of a network in memory, see contract.Loaded. A later stage reads the tensors that earlier ones write."""

    def __init__(self, network: Network, backend: OnnxBackend):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = backend.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self.network, self.sizes, self.file = network, backend.sizes, Path(network.files[0]).name
        self.first: dict[str, np.ndarray] = {}
        files = [file for file in network.files if file not in weight_files(network)]
        self.stages = [onnxruntime.InferenceSession(file, options, providers=[PROVIDER], enable_fallback=0) for file in files]
        self.plan = [_plan(stage) for stage in self.stages]

    def prepare(self, seed: int) -> None:
        """Draw the first value of each input that no earlier stage writes."""
        rng, written = np.random.default_rng(seed), set[str]()
        self.first = {}
        for stage, _, _, outputs in self.plan:
            start = _properties(stage).get("start", {})
            for value in stage.get_inputs():
                if value.name not in written and value.name not in self.first:
                    with _one_sentence(self.network):
                        self.first[value.name] = self._drawn(value, start.get(value.name, {}), rng)
            written |= {*outputs}

    def _drawn(self, value: Any, start: dict[str, Any], rng: np.random.Generator) -> np.ndarray:
        """Draw normal numbers, or integers below `below`; 0 or 1 for a user's model: every embedding and mask allows these."""
        kind = NUMBERS.get(re.sub(r"tensor\((.*)\)", r"\1", value.type))
        if kind is None:
            raise InputError(f"{self.file}: the input {value.name!r} is {value.type}; it must be a tensor of numbers")
        shape = start.get("sizes") or [self._size(size, value.name, place) for place, size in enumerate(value.shape)]
        if "fill" in start:
            return np.full(shape, start["fill"], kind)
        if np.issubdtype(kind, np.floating):
            return rng.standard_normal(shape, dtype=np.float32).astype(kind)
        return rng.integers(0, start.get("below", 2), shape).astype(kind)

    def _size(self, size: int | str | None, name: str, place: int) -> int:
        if isinstance(size, int) and size > 0:
            return size
        label = size if isinstance(size, str) else f"{name}.{place}"
        if label not in self.sizes and place > 0:
            raise InputError(f"{self.file}: the input {name!r} has the unknown size {label!r}; give it: --size {label}=64")
        return self.sizes.get(label, 1)  # the first size is the batch

    def infer(self) -> dict[str, np.ndarray]:
        """Run each stage as often as its file says. Returns all tensors at the end by name."""
        state = dict(self.first)
        with _one_sentence(self.network):
            for stage, steps, inputs, outputs in self.plan:
                for _ in range(steps):
                    state |= zip(outputs, stage.run(None, {name: state[name] for name in inputs}), strict=True)
        return state

    def gpu_memory_bytes(self) -> None:
        """ONNX Runtime runs on the CPU here."""

    def close(self) -> None:
        self.stages, self.plan, self.first = [], [], {}
        gc.collect()


def _properties(stage: Any) -> dict[str, Any]:
    """The metadata of a file that graph.py wrote; empty for others."""
    metadata = stage.get_modelmeta()
    ours = metadata.producer_name == "edgecache"
    return {name: json.loads(metadata.custom_metadata_map[name]) for name in ("steps", "start")} if ours else {}


def _plan(stage: Any) -> tuple[Any, int, list[str], list[str]]:
    """A stage, its steps, the names of its inputs, and the names under which the next step reads its outputs."""
    outputs = [value.name.removeprefix("next_") for value in stage.get_outputs()]
    return stage, int(_properties(stage).get("steps", 1)), [value.name for value in stage.get_inputs()], outputs


def weight_files(network: Network) -> tuple[str, ...]:
    """The files with external weights: a user's network may have some behind its first file, the model."""
    return network.files[1:] if network.weights == "own" else ()


def read_model(service: str, path: Path) -> Network:
    """Read a user's model, its weight files and its number of parameters. Raises InputError, see `OnnxBackend.build`."""
    import onnx

    prefix = f"the model of {service!r}, {path},"
    if path.suffix != ".onnx":
        raise InputError(f"the model of {service!r} is {path}; it must be a file that ends in .onnx")
    try:
        path.open("rb").close()
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"cannot read the model of {service!r}, {path}: {error.strerror}") from None
    except Exception:  # protobuf's own
        raise InputError(f"{prefix} is truncated or no ONNX file") from None
    if not model.graph.node:
        raise InputError(f"{prefix} is truncated or no ONNX file: it has no operators")
    files, parameters = {path.absolute(): None}, 0  # a dict keeps their order
    for tensor in _tensors(model.graph):
        parameters += int(np.prod(tensor.dims))
        if external := {entry.key: entry.value for entry in tensor.external_data}:
            files[_weight_file(external, path, service)] = None
    return Network(service, path.stem, tuple(map(str, files)), parameters, "own")


def _weight_file(external: dict[str, str], path: Path, service: str) -> Path:
    """The file with the external weights of a tensor. Raises InputError where it is missing or too short."""
    try:
        weights = path.absolute().parent / external["location"]
        wanted = int(external.get("offset", 0)) + int(external.get("length", 0))
    except (LookupError, ValueError):
        raise InputError(f"the model of {service!r}, {path}, is damaged: the place of its weights cannot be read") from None
    if not weights.is_file():
        raise InputError(f"the model of {service!r}, {path}, keeps its weights in {weights.name}, which is missing")
    if (size := weights.stat().st_size) < wanted:
        raise InputError(f"the weights of {service!r}, {weights}, are truncated: {size} of {wanted} bytes")
    return weights


def _tensors(graph: Any) -> Iterator[Any]:
    """The initialisers and constants of a graph and of its subgraphs."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _tensors(inner)


@contextmanager
def _one_sentence(network: Network) -> Iterator[None]:
    """Turn an error of ONNX Runtime into an InputError of one sentence."""
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        cause, prefix = (
            NOISE.sub("", " ".join(str(error).split())),
            f"the network of {network.service!r}, {Path(network.files[0]).name},",
        )
        if isinstance(error, MemoryError) or re.search(r"bad_alloc|allocate memory|out of memory", cause, re.IGNORECASE):
            raise InputError(f"{prefix} needs more memory than there is") from None
        for pattern in UNSUPPORTED:
            if operator := re.search(pattern, cause):
                raise InputError(f"{prefix} has an operator that ONNX Runtime does not support: {operator[1]}") from None
        if type(error).__name__ in ("InvalidProtobuf", "NoSuchFile", "InvalidGraph"):
            raise InputError(f"{prefix} cannot be loaded, it is truncated or no valid model: {cause[:200]}") from None
        if "onnxruntime" in type(error).__module__ or isinstance(error, OSError | ValueError):
            raise InputError(f"{prefix} cannot be run: {cause[:200]}") from None
        raise
