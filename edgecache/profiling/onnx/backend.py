"""The default backend: ONNX files run by ONNX Runtime, the ten networks of onnx_networks.py or the user's own."""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar

import numpy as np

from ...errors import InputError, whole_number
from ..network import NAMED, Network, enough_room

PROVIDER = "CPUExecutionProvider"
NUMBERS = {"float": np.float32, "float16": np.float16, "double": np.float64, "bool": np.bool_}
NUMBERS |= {f"{sign}int{bits}": np.dtype(f"{sign}int{bits}") for sign in ("", "u") for bits in (8, 16, 32, 64)}
UNSUPPORTED = (
    r"No Op registered for (\S+)",
    r"([\w.:]+)\(-?\d+\) is not a registered function/op",
    r"Could not find an implementation for (\w+)\(",
)
# what stands before the cause in what ONNX Runtime says: codes, the path of the model, places in its own source
NOISE = re.compile(
    r"^\[ONNXRuntimeError\] : \d+ : \w+ : |Load model from .*? failed: ?"
    r"|\S*/onnxruntime/\S+?:\d+ (?:[^'\"]*?\)(?: const)? (?=[A-Z]))?"
)


@dataclass(frozen=True)
class OnnxBackend:
    """ONNX Runtime on the CPU, by default on one thread, which never spins.

    `own`: the user's files by the name of their service; `sizes`: what the unknown sizes of their inputs are, by name. Raises
    InputError where ONNX Runtime is missing, and for another device.
    """

    device: str = "cpu"
    threads: int = 1
    own: Mapping[str, str] = field(default_factory=dict)
    sizes: Mapping[str, int] = field(default_factory=dict)
    name: ClassVar[str] = "onnx"

    def __post_init__(self):
        try:
            import onnx  # noqa: F401, graphs are built and read with it
            import onnxruntime
        except ImportError:
            raise InputError("the onnx backend needs the extra: pip install 'edgecache[profile]'") from None
        if self.device not in ("auto", "cpu"):
            raise InputError(
                f"device is {self.device!r}; the onnx backend runs on the cpu alone, a GPU is measured by the torch backend"
            )
        object.__setattr__(self, "device", "cpu")
        whole_number("threads", self.threads)
        onnxruntime.set_default_logger_severity(4)  # what fails is told in one sentence of ours

    @property
    def services(self) -> tuple[str, ...]:
        return (*NAMED, *(service for service in self.own if service not in NAMED))

    def describe(self) -> dict[str, str]:
        """The versions that are measured. A session of nothing is run first: what is done but once is in no load's time."""
        import onnx
        import onnxruntime

        one = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1]) for name in ("x", "y")]
        graph = onnx.helper.make_graph([onnx.helper.make_node("Neg", ["x"], ["y"])], "ready", one[:1], one[1:])
        ready = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
        session = onnxruntime.InferenceSession(ready.SerializeToString(), providers=[PROVIDER])
        session.run(None, {"x": np.zeros(1, dtype=np.float32)})
        return {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "provider": PROVIDER}

    def build(self, service: str, folder: Path) -> Network:
        """The network of a service: one of ours, written into the folder, or the user's own where it lies.

        Raises InputError for a file that cannot be read, is no ONNX model, or lacks its weights, and where the disk is full.
        """
        if service in self.own:
            return own_network(service, Path(self.own[service]))
        from .networks import build

        with enough_room(service, folder):
            return build(service, folder)

    def load(self, network: Network) -> "Sessions":
        """Read the network into memory, whole: what ONNX Runtime maps and would read later is touched now."""
        try:
            sessions = Sessions(network, self)
            for file in outside(network):
                np.memmap(file, np.uint8, "r")[::4096].max()
        except Exception as error:
            raise told(error, network.service, network.files[0]) from None
        return sessions


class Sessions:
    """The stages of a network in memory, see network.Loaded. A tensor that one puts out is what the next takes in."""

    def __init__(self, network: Network, backend: OnnxBackend):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = backend.threads
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 4
        self.network, self.backend, self.first = network, backend, {}
        files = [file for file in network.files if file not in outside(network)]
        self.stages = [onnxruntime.InferenceSession(file, options, providers=[PROVIDER], enable_fallback=0) for file in files]

    def prepare(self, seed: int) -> None:
        """Draw the first value of every input that no stage puts out."""
        rng, known = np.random.default_rng(seed), set()
        self.first = {}
        for stage in self.stages:
            start = _properties(stage).get("start", {})
            for value in stage.get_inputs():
                if value.name not in known | set(self.first):
                    try:
                        self.first[value.name] = self._drawn(value, start.get(value.name, {}), rng)
                    except Exception as error:
                        raise told(error, self.network.service, self.network.files[0]) from None
            known |= {output.name.removeprefix("next_") for output in stage.get_outputs()}

    def _drawn(self, value, start: dict, rng: np.random.Generator) -> np.ndarray:
        """Normal numbers, or whole ones below `below`: a user's own are 0 or 1, which every embedding has and every mask allows."""
        file = Path(self.network.files[0]).name
        kind = NUMBERS.get(re.sub(r"tensor\((.*)\)", r"\1", value.type))
        if kind is None:
            raise InputError(f"{file}: the input {value.name!r} is {value.type}; it must be a tensor of numbers")
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
        if label in self.backend.sizes:
            return self.backend.sizes[label]
        if place == 0:
            return 1  # the batch
        file = Path(self.network.files[0]).name
        raise InputError(f"{file}: the input {name!r} has the unknown size {label!r}; say how large it is: --size {label}=64")

    def infer(self) -> dict[str, np.ndarray]:
        """Run every stage as often as its file says; the tensors at the end, by name."""
        state = dict(self.first)
        try:
            for stage, steps, inputs, outputs in self._plan:
                for _ in range(steps):
                    for name, value in zip(outputs, stage.run(None, {name: state[name] for name in inputs}), strict=True):
                        state[name] = value
        except Exception as error:
            raise told(error, self.network.service, self.network.files[0]) from None
        return state

    @cached_property
    def _plan(self) -> list[tuple]:
        return [
            (
                stage,
                int(_properties(stage).get("steps", 1)),
                [value.name for value in stage.get_inputs()],
                [value.name.removeprefix("next_") for value in stage.get_outputs()],
            )
            for stage in self.stages
        ]

    def gpu_memory_bytes(self) -> None:
        """Not told by ONNX Runtime."""

    def close(self) -> None:
        self.stages, self.first = [], {}
        self.__dict__.pop("_plan", None)
        gc.collect()


def _properties(stage) -> dict:
    """What a file of ours says of itself; nothing for others."""
    about = stage.get_modelmeta()
    ours = about.producer_name == "edgecache"
    return {name: json.loads(about.custom_metadata_map[name]) for name in ("steps", "start")} if ours else {}


def outside(network: Network) -> tuple[str, ...]:
    """The files of weights that stand outside of the model: of a user's own, whose first file is the model."""
    return network.files[1:] if network.weights == "own" else ()


def own_network(service: str, path: Path) -> Network:
    """A user's model: its file, the files that its weights stand in, and its parameters. Raises InputError, see build."""
    import onnx

    if path.suffix != ".onnx":
        raise InputError(f"the model of {service!r} is {path}; it must be a file that ends in .onnx")
    try:
        path.open("rb").close()
        model = onnx.load(path, load_external_data=False)
    except OSError as error:
        raise InputError(f"cannot read the model of {service!r}, {path}: {error.strerror}") from None
    except Exception:  # protobuf's own
        raise InputError(f"the model of {service!r}, {path}, is truncated or no ONNX file") from None
    if not model.graph.node:
        raise InputError(f"the model of {service!r}, {path}, is truncated or no ONNX file: it has no operators")
    files, parameters = {path.absolute(): path.stat().st_size}, 0
    for tensor in _tensors(model.graph):
        parameters += int(np.prod(tensor.dims))
        said = {entry.key: entry.value for entry in tensor.external_data}
        if said:
            try:
                weights = path.absolute().parent / said["location"]
                wanted = int(said.get("offset", 0)) + int(said.get("length", 0))
            except (LookupError, ValueError):
                raise InputError(f"the model of {service!r}, {path}, is damaged: where its weights stand cannot be read") from None
            if not weights.is_file():
                raise InputError(f"the model of {service!r}, {path}, keeps its weights in {weights.name}, which is missing")
            if weights.stat().st_size < wanted:
                raise InputError(
                    f"the weights of {service!r}, {weights}, are truncated: {weights.stat().st_size} of {wanted} bytes"
                )
            files[weights] = weights.stat().st_size
    return Network(service, path.stem, tuple(map(str, files)), parameters, "own")


def _tensors(graph) -> Iterator:
    """The initialisers and the constants of a graph and of the graphs in it."""
    yield from graph.initializer
    for node in graph.node:
        for attribute in node.attribute:
            yield from ([attribute.t] if attribute.HasField("t") else []) + list(attribute.tensors)
            for inner in ([attribute.g] if attribute.HasField("g") else []) + list(attribute.graphs):
                yield from _tensors(inner)


def told(error: Exception, service: str, file: str) -> Exception:
    """What went wrong with a network, in one sentence."""
    said, where = NOISE.sub("", " ".join(str(error).split())), f"the network of {service!r}, {Path(file).name},"
    if isinstance(error, InputError):
        return error
    if isinstance(error, MemoryError) or re.search(r"bad_alloc|allocate memory|out of memory", said, re.IGNORECASE):
        return InputError(f"{where} needs more memory than there is")
    for pattern in UNSUPPORTED:
        if operator := re.search(pattern, said):
            return InputError(f"{where} has an operator that ONNX Runtime does not support: {operator[1]}")
    if type(error).__name__ in ("InvalidProtobuf", "NoSuchFile", "InvalidGraph"):
        return InputError(f"{where} cannot be loaded, it is truncated or no valid model: {said[:200]}")
    if "onnxruntime" in type(error).__module__ or isinstance(error, OSError | ValueError):
        return InputError(f"{where} cannot be run: {said[:200]}")
    return error
