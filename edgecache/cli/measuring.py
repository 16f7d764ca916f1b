"""The commands that measure: `edgecache profile` and `edgecache replay`."""

import math
import shlex
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..errors import InputError, unknown
from .options import assigned, pairs

if TYPE_CHECKING:
    from ..profiling.contract import Backend

NETWORKS_HELP = "Write the networks into this folder and keep them; by default they are removed."


@click.command(short_help="Measure real networks on this machine.")
@click.option(
    "--preset", default="quick", show_default=True, help="Cycles of executions: quick 3 of 3, standard 10 of 5, paper 30 of 10."
)
@click.option("--backend", "name", help="onnx: scaled-down networks on the CPU (the default); torch: the named architectures.")
@click.option("--device", default="auto", show_default=True, help="cpu, cuda, or auto: a GPU if the backend can use one.")
@click.option("--weights", default="random", show_default=True, help="random, or hub: download real weights, by torch.")
@click.option("--scale", default="full", show_default=True, help="Size of torch's networks: full, or small for a quick look.")
@click.option("--steps", type=int, metavar="N", help="Denoising steps or tokens per answer of torch's networks; default 20 to 500.")
@click.option("--services", metavar="NAMES", help="Comma-separated; by default all ten, or the models of --model.")
@click.option("--model", "models", multiple=True, metavar="NAME=FILE", help="Your own .onnx file, and a name for its service.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="A size of your model's inputs that its file leaves open.")
@click.option("--networks", type=Path, metavar="DIR", help=NETWORKS_HELP)
@click.option("--tdp", type=float, metavar="W", help="The processor's rated power, to estimate energy in a separate column.")
@click.option("--threads", type=int, default=1, show_default=True, help="Processor threads of the measured network.")
@click.option("--out", type=Path, default=Path("profile.csv"), show_default=True, metavar="FILE", help="The catalogue to write.")
def profile(preset: str, name: str | None, device: str, weights: str, scale: str, steps: int | None, services: str | None,
            models: tuple[str, ...], sizes: tuple[str, ...], networks: Path | None, tdp: float | None, threads: int,
            out: Path) -> None:  # fmt: skip
    """Measure real networks on this machine and write a catalogue of their delays, memory and energy.

    Each network is loaded cold, run, run again and unloaded. The records, a summary and a description of the machine are written
    next to the catalogue. The same command continues an interrupted run.
    """
    from ..profiling.measurement import profile

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # like Ctrl-C, it leaves no files behind
    if name == "torch" or (name is None and weights == "hub"):
        backend = _torch_backend(device, weights, scale, steps, threads, models, sizes)
    elif scale != "full" or steps is not None:
        raise InputError("--scale and --steps are options of --backend torch; other networks have one scale and fixed steps")
    elif weights != "random":
        raise InputError(f"--weights is {weights!r}; only --backend torch has weights of the hub, all others are random")
    else:
        backend = _named_backend(name or "onnx", device, threads, models, sizes)
    measured = profile(
        backend, out, preset=preset, networks=networks, tdp_w=tdp, progress=sys.stderr.isatty(),
        services=[service.strip() for service in services.split(",")] if services is not None else None,
        report=lambda message: click.echo(message, err=True),
    )  # fmt: skip
    from ..profiling.replays import proportionate  # only now, because it imports Numba

    server = proportionate(out)
    click.echo(
        f"{measured.report()}\n\na server in the paper's proportions: edgecache simulate --catalogue {shlex.quote(str(out))} "
        f"--storage {_rounded_up(server.storage_gb)} --gpu-memory {_rounded_up(server.gpu_memory_gb)}"
    )


def _rounded_up(size: float) -> str:
    """Format a size in three digits, rounded up: a server of that size still holds every model."""
    unit = 10.0 ** (math.floor(math.log10(size)) - 2)
    return f"{math.ceil(size / unit) * unit:.3g}"


def _torch_backend(
    device: str, weights: str, scale: str, steps: int | None, threads: int, models: tuple[str, ...], sizes: tuple[str, ...]
) -> "Backend":
    from ..profiling.torch.backend import TorchBackend

    for option, values in (("--model", models), ("--size", sizes)):
        if values:
            raise InputError(f"{option} is {values[0]!r}; --backend onnx runs your own models, torch does not")
    return TorchBackend(device=device, weights=weights, scale=scale, steps=steps, threads=threads)


def _named_backend(name: str, device: str, threads: int, models: tuple[str, ...], sizes: tuple[str, ...]) -> "Backend":
    """The backend of that name, with the user's own models."""
    from ..profiling.measurement import BACKENDS

    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    lengths = pairs("--size", sizes)
    for label, size in lengths.items():
        if not size.isdecimal() or int(size) < 1:
            raise InputError(f"--size is '{label}={size}'; it must be a whole number, at least 1")
    known = {label: int(size) for label, size in lengths.items()}
    return BACKENDS[name](device=device, threads=threads, models=pairs("--model", models), sizes=known)


@click.command(short_help="Play a trace with real networks.")
@click.argument("profile", type=Path, default=Path("profile.csv"))
@click.option("--policies", default="lru,ga,optimal-online", show_default=True, help="Names, comma-separated.")
@click.option("--storage", "storage_gb", type=float, help="GB; by default in the paper's proportion to the catalogue.")
@click.option("--gpu-memory", "gpu_memory_gb", type=float, help="Memory budget of the networks, GB; by default likewise.")
@click.option("--slots", type=int, default=30, show_default=True, help="Time slots.")
@click.option("--reading", metavar="NAME", help="A named reading of the paper: literal (the default), closest or delay.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other parameter or reading of the scenario.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--networks", type=Path, metavar="DIR", help=NETWORKS_HELP)
@click.option("--model", "models", multiple=True, metavar="NAME=FILE", help="Your own .onnx files, if the profile is of these.")
def replay(profile: Path, policies: str, storage_gb: float | None, gpu_memory_gb: float | None, slots: int, reading: str | None,
           settings: tuple[str, ...], seed: int, networks: Path | None, models: tuple[str, ...]) -> None:  # fmt: skip
    """Play a short trace with the real networks of a measured PROFILE, and compare measured with predicted delays.

    The networks are loaded and unloaded under the memory budget as each policy decides. PROFILE-replay.csv has one row per request.
    """
    from ..files import write_table
    from ..profiling.comparisons import compare, format_comparison
    from ..profiling.profile_files import check_writable, companion, naming
    from ..profiling.replays import proportionate, replay

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    sizes = {"storage_gb": storage_gb, "gpu_memory_gb": gpu_memory_gb}
    parameters = {name: value for name, value in sizes.items() if value is not None} | {"slots": slots} | assigned(settings)
    scenario = proportionate(profile, **parameters)
    scenario = scenario.vary(reading=reading, **parameters) if reading else scenario
    out, partial = companion(profile, "replay.csv"), companion(profile, "replay.partial.csv")
    check_writable(out, partial)
    table = replay(
        profile, [name.strip() for name in policies.split(",")], scenario, seed=seed, networks=networks,
        models=pairs("--model", models), partial=partial, progress=sys.stderr.isatty(),
    )  # fmt: skip
    with naming(out):
        click.echo(format_comparison(compare(write_table(table, out))))
    partial.unlink(missing_ok=True)
