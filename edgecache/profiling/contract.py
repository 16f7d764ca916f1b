"""The contract of a backend: a network on disk, the backend that writes and loads it, and the network in memory."""

import errno
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import Field, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Protocol

from ..errors import InputError

# service: the model that the catalogue names for it, and the number of parameters of all its parts
CATALOGUE_MODELS = {
    "text_to_image": ("Stable Diffusion v1-4", 1_066_300_000),  # U-Net 859.5, autoencoder 83.7, CLIP-L 123.1 million
    "text_generation": ("GPT-2 124M", 124_400_000),
    "text_to_music": ("MusicGen small", 587_600_000),
    "text_to_3d": ("Shap-E", 665_600_000),  # prior 315.7, renderer 226.3, CLIP-L with projection 123.7
    "text_to_video": ("VideoFusion 1.7B", 1_835_300_000),  # U-Net 1,411.2, OpenCLIP-H 340.4, autoencoder 83.7
    "image_captioning": ("BLIP base", 224_000_000),
    "text_to_speech": ("MMS-TTS VITS", 36_300_000),
    "speech_recognition": ("MMS-1B all", 964_900_000),
    "image_to_image": ("SDEdit on SD v1-5", 1_066_300_000),
    "text_understanding": ("BERT base", 109_500_000),
}


@dataclass(frozen=True)
class Network:
    """Describe a network on disk that answers one service.

    Parameters
    ----------
    service, model
        The service, and what kind of network answers it, in a few words.
    files
        Absolute paths of all files that a load reads.
    parameters
        How many the network has.
    weights
        `random`, from the `hub`, or `own`: the user's file.
    named, named_parameters
        The model that the catalogue names for this service, and how many parameters it has; empty and 0 for a user's own model.
    repository
        The hub's repository, where the weights come from the hub.
    steps
        Runs of the network per answer: tokens, or denoising steps.

    Examples
    --------
    >>> Network("text_generation", "causal transformer", (), 31_100_000, named="GPT-2 124M", named_parameters=124_400_000).share
    0.25
    """

    service: str
    model: str
    files: tuple[str, ...]
    parameters: int
    weights: str = "random"
    named: str = ""
    named_parameters: int = 0
    repository: str = ""
    steps: int = 1

    @property
    def size_bytes(self) -> int:
        """Size of the files on disk, bytes."""
        return sum(os.path.getsize(file) for file in self.files)

    @property
    def share(self) -> float:
        """Parameters as a share of the named model's; NaN for a user's own model."""
        return self.parameters / self.named_parameters if self.named_parameters else float("nan")


class Loaded(Protocol):
    """A network in memory. Each call returns when its work is complete: it waits for a GPU."""

    def prepare(self, seed: int) -> None:
        """Make the inputs of the next executions; this is not timed."""

    def infer(self) -> object:
        """Run one execution: one answer of the service."""

    def gpu_memory_bytes(self) -> int | None:
        """GPU memory of the network, bytes; None on a CPU."""

    def close(self) -> None:
        """Free all memory, GPU memory included."""


class Backend(Protocol):
    """A library that runs networks; implement it as a frozen dataclass, which is pickled into the process that measures.

    Attributes
    ----------
    name : str
    device : {"cpu", "cuda"}
    threads : int
        Processor threads of a network.
    services : tuple of str
        The services that it has networks for.
    models : mapping
        The user's own model files by service; empty where the backend takes none.
    gpu : str
        The UUID of the GPU, for its energy counter; empty on a CPU.

    Examples
    --------
    >>> from edgecache.profiling.onnx.backend import OnnxBackend
    >>> OnnxBackend.name
    'onnx'
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]]  # its settings, which are stored with a profile
    name: ClassVar[str]

    @property
    def device(self) -> str: ...
    @property
    def threads(self) -> int: ...
    @property
    def services(self) -> tuple[str, ...]: ...
    @property
    def models(self) -> Mapping[str, str]: ...
    @property
    def gpu(self) -> str: ...

    def describe(self) -> dict[str, str]:
        """Return versions by name, on CUDA also `device_name`; do whatever a process must do once before loads are timed."""

    def build(self, service: str, folder: Path) -> Network:
        """Write the files of a service's network into the folder."""

    def load(self, network: Network) -> Loaded:
        """Read the network from disk into memory; this is timed."""


def check_installed(extra: str, *packages: str) -> None:
    """Raise InputError, naming the extra to install, where one of the packages is not installed."""
    if missing := [package for package in packages if find_spec(package) is None]:
        raise InputError(f"{' and '.join(missing)} cannot be imported; install the extra: pip install 'edgecache[{extra}]'")


@contextmanager
def enough_room(service: str, folder: Path) -> Iterator[None]:
    """Make the folder. Raise InputError, with the free space, where the network of a service fills the disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"cannot write the network of {service!r} into {folder}: {error.strerror}") from None
        parent = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(parent).free / 1e6
        raise InputError(
            f"the disk is full: no room for the network of {service!r} in {folder}, where {free:.0f} MB are free"
        ) from None
