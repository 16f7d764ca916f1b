"""The optional backend: PyTorch runs the ten named architectures of architectures.py, on the CPU or on CUDA.

Wherever its weights come from, a service's folder has a .json and a .safetensors file per network, see weights.py.
"""

import gc
import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

from ...errors import InputError, unknown, whole_number
from ...files import replacing
from ..contract import CATALOGUE_MODELS, Network, check_installed, enough_room
from .architectures import SERVICES, Part, Service, empty
from .executions import Draw, Execution
from .weights import complete, drawn, from_hub, read_module, write

CHOICES = {"device": ("auto", "cpu", "cuda"), "weights": ("random", "hub"), "scale": ("full", "small")}
DTYPES = {"cpu": "float32", "cuda": "float16"}


@dataclass(frozen=True)
class TorchBackend:
    """Run networks by PyTorch, transformers and diffusers: in 32 bits on the CPU, in 16 bits on CUDA.

    `device`: auto is CUDA where there is a GPU. `weights`: random, or the hub's, which are downloaded when a network is built.
    `scale`: the named architectures in full, or the same classes scaled down. `steps`: tokens or denoising steps instead of the
    services' own. Raises InputError for other choices, and where a package or CUDA is missing.
    """

    device: str = "auto"
    weights: str = "random"
    scale: str = "full"
    threads: int = 1
    steps: int | None = None
    name: ClassVar[str] = "torch"
    models: ClassVar[Mapping[str, str]] = {}  # it takes no models of the user

    def __post_init__(self) -> None:
        for setting, known in CHOICES.items():
            if getattr(self, setting) not in known:
                raise unknown(setting, getattr(self, setting), known)
        whole_number("threads", self.threads)
        if self.steps is not None:
            whole_number("steps", self.steps, most=500)  # BLIP has room for 512 tokens
        if self.weights == "hub" and self.scale == "small":
            raise InputError("weights is 'hub' and scale is 'small'; the hub has the named models in full alone")
        check_installed("torch", "torch", "transformers", "diffusers", "psutil")
        object.__setattr__(self, "device", _device(self.device))

    @property
    def services(self) -> tuple[str, ...]:
        return tuple(SERVICES)

    @property
    def gpu(self) -> str:
        import torch

        return f"GPU-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"

    @property
    def dtype(self) -> str:
        return DTYPES[self.device]

    def describe(self) -> dict[str, str]:
        """Return versions and device. It imports all classes and starts CUDA: no load's time then includes that."""
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
        """Write the service's networks into the folder, except complete ones of the same settings.

        Raises InputError for an unknown service, a network that the hub does not give, and a full disk.
        """
        if service not in SERVICES:
            raise unknown("service", service, SERVICES)
        self._ready()
        row, files, parameters = SERVICES[service], [], 0
        with enough_room(service, folder / service):
            for seed, (name, part) in enumerate(row.parts.items()):
                path = (folder / service / f"{name}.safetensors").absolute()
                source = row.repository if self.weights == "hub" else {"seed": seed, **part.config(self.scale)}
                origin = json.loads(json.dumps({"kind": part.kind, "source": source, "dtype": self.dtype}))  # as it is read back
                about = complete(path, origin) or self._write(path, part, origin)
                files += [str(path.with_suffix(".json")), str(path)]
                parameters += about["parameters"]
        named, count = CATALOGUE_MODELS[service]
        model = named if self.scale == "full" else f"{row.family}, scaled down"
        repository, runs = row.repository if self.weights == "hub" else "", row.runs(self.work(row)["steps"])
        return Network(service, model, tuple(files), parameters, self.weights, named, count, repository, runs)

    def load(self, network: Network) -> "Modules":
        """Read the whole network into the device's memory. Raises InputError for wrong files, or too little memory."""
        self._ready()
        with _one_sentence(network.service, "loaded"):
            return Modules(network, self)

    def _ready(self) -> None:
        import torch
        from diffusers.utils import logging as diffusers
        from transformers.utils import logging as transformers

        torch.set_num_threads(self.threads)
        for library in (transformers, diffusers):  # `_one_sentence` tells what fails
            library.set_verbosity_error()

    def work(self, row: Service) -> dict[str, Any]:
        """The work of an execution of a service. A service of one step keeps that."""
        work = dict(getattr(row, self.scale))
        return work if self.steps is None or work["steps"] == 1 else {**work, "steps": self.steps}

    def _write(self, path: Path, part: Part, origin: dict[str, Any]) -> dict[str, Any]:
        """Write a network's weights and then its description, which is returned."""
        import torch

        if self.weights == "hub":
            module = from_hub(part, origin["source"])
            config = module.config.to_dict() if part.kind.startswith("transformers") else dict(module.config)
            values = module.state_dict()
            model, value = empty(part.kind, config), lambda name, like: values[name]
        else:
            generator = torch.Generator().manual_seed(origin["source"]["seed"])
            config = part.config(self.scale)
            model, value = empty(part.kind, config), lambda name, like: drawn(name, like, generator)
        path.with_suffix(".json").unlink(missing_ok=True)  # an interrupted write must not seem complete
        with replacing(path) as temporary:
            write(temporary, model, getattr(torch, self.dtype), value)
        parameters = sum(parameter.numel() for parameter in model.parameters())
        about = {"origin": origin, "config": config, "parameters": parameters, "bytes": path.stat().st_size}
        with replacing(path.with_suffix(".json")) as temporary:
            temporary.write_text(json.dumps(about, indent=1, default=str))
        return about


class Modules:
    """The networks of a service in memory, see contract.Loaded; `answer` is the result of the last execution."""

    def __init__(self, network: Network, backend: TorchBackend):
        import torch

        self.torch, self.service, self.backend, self.seed = torch, network.service, backend, 0
        self.answer: Any = None
        self.execute: Execution | None = None
        self.cuda = torch.cuda if backend.device == "cuda" else None
        if self.cuda:
            self.before = self.cuda.memory_reserved()
            self.cuda.reset_peak_memory_stats()
        files = [Path(file) for file in network.files if file.endswith(".safetensors")]
        self.parts: SimpleNamespace | None = SimpleNamespace(
            **{file.stem: read_module(file, backend.device, backend.dtype) for file in files}
        )
        self._wait()
        self.memory = self._reserved()

    def prepare(self, seed: int) -> None:
        row, draw = SERVICES[self.service], Draw(seed, self.backend.device, self.backend.dtype)
        self.seed, self.execute = seed, row.execution(self.parts, draw, **self.backend.work(row))
        self._wait()

    def infer(self) -> None:
        assert self.execute, "prepare comes first"
        with _one_sentence(self.service, "run"), self.torch.inference_mode():
            self.torch.manual_seed(self.seed)  # for sampled tokens and durations: executions repeat
            first, self.answer = self.answer is None, self.execute()
            self._wait()
        if first:
            self.memory = self._reserved()

    def gpu_memory_bytes(self) -> int | None:
        """The largest growth of reserved memory between the load and the end of the first execution, bytes."""
        return self.memory

    def _reserved(self) -> int | None:
        return self.cuda.max_memory_reserved() - self.before if self.cuda else None

    def close(self) -> None:
        self.parts = self.execute = self.answer = None
        gc.collect()
        if self.cuda:
            self.cuda.empty_cache()

    def _wait(self) -> None:
        if self.cuda:
            self.cuda.synchronize()


def _device(device: str) -> str:
    """The device to use. Raises InputError where CUDA is asked for but missing."""
    if device == "cpu":
        return device
    import torch

    available = torch.cuda.is_available()
    if device == "cuda" and not available:
        raise InputError("device is 'cuda'; torch finds no CUDA here: install its CUDA build and a driver, or take 'cpu'")
    return "cuda" if available else "cpu"


@contextmanager
def _one_sentence(service: str, action: str) -> Iterator[None]:
    """Turn an error into an InputError of one sentence: why a network cannot be loaded or run."""
    try:
        yield
    except (MemoryError, OSError, RuntimeError, ValueError, LookupError) as error:
        cause = " ".join(str(error).split())[:200]
        if isinstance(error, MemoryError) or re.search("allocate memory|out of memory|not enough memory", cause, re.IGNORECASE):
            raise InputError(f"the network of {service!r} needs more memory than there is") from None
        raise InputError(f"the network of {service!r} cannot be {action}: {cause}") from None
