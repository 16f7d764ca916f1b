"""The optional backend: the ten named architectures of torch_networks.py by PyTorch, on the CPU or on CUDA.

Whatever the weights' origin, a service's folder has a .json and a .safetensors a network. They are read whole, tensor by tensor:
what `from_pretrained` gives on a CPU is mapped, and read from the disk no sooner than it is used.
"""

import gc
import json
import math
import pkgutil
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

from ...errors import InputError, unknown, whole_number
from ...files import replacing
from ..network import NAMED, Network, enough_room
from .networks import SERVICES, Draw, Part, Service, empty

CHOICES = {"device": ("auto", "cpu", "cuda"), "weights": ("random", "hub"), "scale": ("full", "small")}
DTYPES = {"cpu": "float32", "cuda": "float16"}
TYPES = {"F32": "float32", "F16": "float16", "I64": "int64", "BOOL": "bool"}  # what safetensors calls torch's types


@dataclass(frozen=True)
class TorchBackend:
    """PyTorch with transformers and diffusers, in 32 bits on the CPU and in 16 on CUDA.

    `device`: auto is CUDA where there is one. `weights`: random ones, or those of the hub, which are downloaded when built.
    `scale`: the named architectures in full, or the same classes scaled down. `steps`: tokens or denoising steps instead of the
    services' own. Raises InputError for other choices, and where a package or CUDA is missing.
    """

    device: str = "auto"
    weights: str = "random"
    scale: str = "full"
    threads: int = 1
    steps: int | None = None
    name: ClassVar[str] = "torch"

    def __post_init__(self):
        for setting, known in CHOICES.items():
            if getattr(self, setting) not in known:
                raise unknown(setting, getattr(self, setting), known)
        whole_number("threads", self.threads)
        if self.steps is not None:
            whole_number("steps", self.steps, most=500)  # BLIP has 512 places for tokens
        if self.weights == "hub" and self.scale == "small":
            raise InputError("weights is 'hub' and scale is 'small'; the hub has the named models in full alone")
        if any(find_spec(package) is None for package in ("torch", "transformers", "diffusers")):
            raise InputError(
                "the torch backend needs the extra: pip install 'edgecache[torch]', with the build of torch that fits the machine"
            )
        if self.device != "cpu":
            import torch

            available = torch.cuda.is_available()
            if self.device == "cuda" and not available:
                raise InputError("device is 'cuda'; torch finds no CUDA here: install its CUDA build and a driver, or take 'cpu'")
            object.__setattr__(self, "device", "cuda" if available else "cpu")

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(SERVICES)

    @property
    def gpu(self) -> str:
        """The UUID of the GPU, as NVML calls it."""
        import torch

        return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"

    @property
    def dtype(self) -> str:
        return DTYPES[self.device]

    def describe(self) -> dict[str, str]:
        """The versions and the device. What a process does but once, imports and CUDA's start, is then done, in no load's time."""
        import diffusers
        import torch
        import transformers

        self._ready()
        for service in SERVICES.values():
            for part in service.parts.values():
                empty(part.kind, part.config("small"))
        torch.zeros(1, device=self.device)
        device = torch.cuda.get_device_name() if self.device == "cuda" else "CPU"
        versions = {package.__name__: package.__version__ for package in (torch, transformers, diffusers)}
        return {**versions, "device_name": device, "dtype": self.dtype, "scale": self.scale}

    def build(self, service: str, folder: Path) -> Network:
        """Write the service's networks into the folder; those that are there, whole and of these settings, stay.

        Raises InputError for an unknown service, where the hub does not give a network, and where the disk is full.
        """
        if service not in SERVICES:
            raise unknown("service", service, SERVICES)
        self._ready()
        row, files, parameters = SERVICES[service], [], 0
        with enough_room(service, folder / service):
            for seed, (name, part) in enumerate(row.parts.items()):
                path = (folder / service / f"{name}.safetensors").absolute()
                source = row.repository if self.weights == "hub" else {"seed": seed, **part.config(self.scale)}
                origin = json.loads(json.dumps({"kind": part.kind, "source": source, "dtype": self.dtype}))  # as it is read again
                about = _kept(path, origin) or self._write(path, part, origin)
                files += [str(path.with_suffix(".json")), str(path)]
                parameters += about["parameters"]
        named, count = NAMED[service]
        model = named if self.scale == "full" else f"{row.family}, scaled down"
        repository, runs = row.repository if self.weights == "hub" else "", row.runs(self._work(row)["steps"])
        return Network(service, model, tuple(files), parameters, self.weights, named, count, repository, runs)

    def load(self, network: Network) -> "Modules":
        """Read the network into the device's memory, whole. Raises InputError for files that do not fit, or too little memory."""
        self._ready()
        with told(network.service, "loaded"):
            return Modules(network, self)

    def _ready(self):
        import torch
        from diffusers.utils import logging as diffusers
        from transformers.utils import logging as transformers

        torch.set_num_threads(self.threads)
        for library in (transformers, diffusers):  # what fails is told in one sentence of ours
            library.set_verbosity_error()

    def _work(self, row: Service) -> dict:
        """How much an execution of the service does; what has one step by itself takes no other number."""
        work = dict(getattr(row, self.scale))
        return work if self.steps is None or work["steps"] == 1 else {**work, "steps": self.steps}

    def _write(self, path: Path, part: Part, origin: dict) -> dict:
        """Write a network and, when that is done, what it is."""
        import torch

        if self.weights == "hub":
            found = from_hub(part, origin["source"])
            config = found.config.to_dict() if part.kind.startswith("transformers") else dict(found.config)
            values = found.state_dict()
            model, value = empty(part.kind, config), lambda name, like: values[name]
        else:
            generator = torch.Generator().manual_seed(origin["source"]["seed"])
            config = part.config(self.scale)
            model, value = empty(part.kind, config), lambda name, like: drawn(name, like, generator)
        path.with_suffix(".json").unlink(missing_ok=True)  # what is interrupted shall not seem whole
        with replacing(path) as half:
            write(half, model, getattr(torch, self.dtype), value)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        about = {"origin": origin, "config": config, "parameters": parameters, "bytes": path.stat().st_size}
        with replacing(path.with_suffix(".json")) as half:
            half.write_text(json.dumps(about, indent=1, default=str))
        return about


class Modules:
    """The networks of a service in memory, see network.Loaded; `answer` is what the last execution gave."""

    def __init__(self, network: Network, backend: TorchBackend):
        import torch

        self.torch, self.service, self.backend, self.seed, self.answer = torch, network.service, backend, 0, None
        self.cuda = torch.cuda if backend.device == "cuda" else None
        if self.cuda:
            self.before = self.cuda.memory_reserved()
            self.cuda.reset_peak_memory_stats()
        files = [Path(file) for file in network.files if file.endswith(".safetensors")]
        self.parts = SimpleNamespace(**{file.stem: read_module(file, backend.device, backend.dtype) for file in files})
        self._wait()
        self.taken = self._reserved()

    def prepare(self, seed: int) -> None:
        row, draw = SERVICES[self.service], Draw(seed, self.backend.device, self.backend.dtype)
        self.seed, self.execute = seed, row.execution(self.parts, draw, **self.backend._work(row))
        self._wait()

    def infer(self) -> None:
        with told(self.service, "run"), self.torch.inference_mode():
            self.torch.manual_seed(self.seed)  # of sampled tokens and durations: executions repeat
            first, self.answer = self.answer is None, self.execute()
            self._wait()
        if first:
            self.taken = self._reserved()

    def gpu_memory_bytes(self) -> int | None:
        """The most that was reserved beyond what was before, from the load to the end of the first execution."""
        return self.taken

    def _reserved(self) -> int | None:
        return self.cuda.max_memory_reserved() - self.before if self.cuda else None

    def close(self) -> None:
        self.parts = self.execute = self.answer = None
        gc.collect()
        if self.cuda:
            self.cuda.empty_cache()

    def _wait(self):
        if self.cuda:
            self.cuda.synchronize()


def from_hub(part: Part, repository: str):
    """A network with the hub's weights, mapped. Raises InputError where it cannot be had."""
    where = {"subfolder": part.subfolder} if part.subfolder else {}
    try:
        return pkgutil.resolve_name(part.kind).from_pretrained(repository, **where)
    except Exception as error:
        said = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"cannot get {repository} from the hub: {said}") from None


def drawn(name: str, like, generator):
    """Random weights under which signals neither vanish nor explode; buffers, but for a codec's books, as their class made them."""
    import torch

    if not like.is_meta and (like.dim() < 2 or not like.is_floating_point()):
        return like
    if like.dim() < 2 or like.numel() == like.shape[0] or name.endswith("original0"):  # original0: the norm of a weight's rows
        return torch.full(like.shape, float(name.endswith(("weight", "original0"))))
    return torch.randn(like.shape, generator=generator).mul_(math.sqrt(like.shape[0] / like.numel()))


def distinct(module) -> dict:
    """The tensors of a module by name: of those that are tied, and so one object, the first."""
    names = {}
    for name, value in module.state_dict(keep_vars=True).items():
        names.setdefault(id(value), (name, value))
    return dict(names.values())


def write(path: Path, model, dtype, value: Callable) -> None:
    """Write a safetensors file tensor by tensor, for all at once would take the memory twice. Floats become `dtype`."""
    tensors, header, end = distinct(model), {}, 0
    types = {name: dtype if like.is_floating_point() else like.dtype for name, like in tensors.items()}
    codes = {f"torch.{name}": code for code, name in TYPES.items()}
    names = sorted(tensors, key=lambda name: -types[name].itemsize)  # keeps all aligned
    for name in names:
        begin, end = end, end + tensors[name].numel() * types[name].itemsize
        header[name] = {"dtype": codes[str(types[name])], "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    said = json.dumps(header).encode()
    said += b" " * (-len(said) % 8)
    with path.open("wb") as file:
        file.write(len(said).to_bytes(8, "little") + said)
        for name in names:
            file.write(value(name, tensors[name]).detach().to("cpu", types[name]).reshape(-1).numpy())


def read(path: Path, device: str) -> dict:
    """The tensors of a safetensors file, each read into memory of its own and taken to the device."""
    import torch

    tensors = {}
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, said in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            tensor = torch.empty(said["shape"], dtype=getattr(torch, TYPES[said["dtype"]]))
            if file.readinto(tensor.reshape(-1).numpy()) < tensor.nbytes:
                raise ValueError(f"{path.name} is truncated")
            tensors[name] = tensor.to(device)
    return tensors


def read_module(path: Path, device: str, dtype: str):
    """The network of a file, and of the .json beside it, on the device."""
    import torch

    about = json.loads(path.with_suffix(".json").read_text())
    model, tensors = empty(about["origin"]["kind"], about["config"]), read(path, device)
    first = {id(value): name for name, value in distinct(model).items()}
    tied = {name: first[id(value)] for name, value in model.state_dict(keep_vars=True).items()}
    model.load_state_dict({name: tensors[other] for name, other in tied.items() if other in tensors}, assign=True)
    return model.to(device, getattr(torch, dtype))  # the buffers that stand in no file


def _kept(path: Path, origin: dict) -> dict | None:
    """What is told of the network at the path, if it is of that origin and whole."""
    try:
        about = json.loads(path.with_suffix(".json").read_text())
        return about if about["origin"] == origin and about["bytes"] == path.stat().st_size else None
    except (OSError, ValueError, LookupError):
        return None


@contextmanager
def told(service: str, what: str) -> Iterator[None]:
    """Say in one sentence why a network cannot be loaded or run."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError, ValueError, LookupError) as error:
        said = " ".join(str(error).split())[:200]
        if isinstance(error, MemoryError) or re.search("allocate memory|out of memory|not enough memory", said, re.IGNORECASE):
            raise InputError(f"the network of {service!r} needs more memory than there is") from None
        raise InputError(f"the network of {service!r} cannot be {what}: {said}") from None
