"""What is measured: a network on disk, and what a backend can do with it.

A backend is a frozen dataclass that can be pickled into the process that measures. It has `name`, `device`, `threads`, `services`
(the names it has networks for), `build(service, folder)`, which writes a network's files and returns its Network,
`load(network)`, which is timed and returns a Loaded, and `describe()`, the versions by name, after which nothing is left to be
done but once. On CUDA it may have `gpu`, the GPU's UUID, and `describe` has its `device_name`.
"""

import errno
import os
import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ..errors import InputError

# the model that the catalogue names for each service, and how many parameters it has with all its parts
NAMED = {
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
    """A network on disk that answers one service."""

    service: str
    model: str  # what it is, in a few words
    files: tuple[str, ...]  # everything that a load reads, absolute paths
    parameters: int
    weights: str = "random"  # `random`, of the `hub`, or the user's `own`
    named: str = ""  # the model that the catalogue names for this service; empty for a user's own
    named_parameters: int = 0  # how many that model has
    repository: str = ""  # on the hub, where the weights are of there
    steps: int = 1  # how often the network runs for one answer: tokens, or denoising steps

    @property
    def size_bytes(self) -> int:
        """On disk."""
        return sum(os.path.getsize(file) for file in self.files)

    @property
    def share(self) -> float:
        """Its parameters as a share of the named model's; NaN for a user's own."""
        return self.parameters / self.named_parameters if self.named_parameters else float("nan")


class Loaded(Protocol):
    """A network in memory. What it does is complete when a call returns: a GPU is waited for."""

    def prepare(self, seed: int) -> None:
        """Make the inputs of the executions that follow; not timed."""

    def infer(self) -> None:
        """One execution: one answer of the service."""

    def gpu_memory_bytes(self) -> int | None:
        """GPU memory that it takes, None on a CPU."""

    def close(self) -> None:
        """Give up all memory, GPU memory included."""


@contextmanager
def enough_room(service: str, folder: Path):
    """Raise InputError, saying how much is free, where writing the network of a service fills the disk."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
            raise InputError(f"cannot write the network of {service!r} into {folder}: {error.strerror}") from None
        there = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.exists())
        free = shutil.disk_usage(there).free / 1e6
        raise InputError(
            f"the disk is full: no room for the network of {service!r} in {folder}, where {free:.0f} MB are free"
        ) from None
