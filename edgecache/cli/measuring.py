"""The commands that measure: `edgecache profile` and `edgecache replay`."""

import math
import shlex
import signal
import sys
from pathlib import Path

import click

from ..errors import InputError, unknown
from .options import assigned, pairs


@click.command(short_help="Measure real networks on this machine.")
@click.option(
    "--preset", default="quick", show_default=True, help="quick: 3 cycles of 3 executions, standard: 10 of 5, paper: 30 of 10."
)
@click.option("--backend", "name", help="onnx: scaled-down networks on the CPU (the default), or torch: the named architectures.")
@click.option(
    "--device", default="auto", show_default=True, help="cpu, cuda, or auto: a GPU that the backend can use, else the CPU."
)
@click.option("--weights", default="random", show_default=True, help="random, or hub: real ones, downloaded; it implies torch.")
@click.option("--scale", default="full", show_default=True, help="Of torch's networks: full, or small for a quick look.")
@click.option(
    "--steps", type=int, metavar="N", help="Denoising steps or tokens an answer of torch's networks, not their own 20 to 500."
)
@click.option("--services", metavar="NAMES", help="Comma-separated; without it all ten, or the models of --model.")
@click.option("--model", "models", multiple=True, metavar="NAME=FILE", help="An .onnx file of your own, and what to call it.")
@click.option("--size", "sizes", multiple=True, metavar="NAME=N", help="How large an unknown size of your models' inputs is.")
@click.option("--networks", type=Path, metavar="DIR", help="Write the networks there and keep them; without it they are removed.")
@click.option("--tdp", type=float, metavar="W", help="The processor's rated power, for an estimate of energy, named so.")
@click.option("--threads", type=int, default=1, show_default=True, help="Of the network that is measured.")
@click.option("--out", type=Path, default=Path("profile.csv"), show_default=True, metavar="FILE", help="The catalogue to write.")
def profile(preset, services, networks, tdp, out, **choices):
    """Measure real networks on this machine: cold load, first and later inference, memory and energy, into a catalogue.

    Beside the catalogue come the records, a summary and a description of the machine. What was interrupted goes on where it was
    when the same command is given again.
    """
    from ..profiling.measure import profile
    from ..profiling.replay import proportionate

    signal.signal(signal.SIGTERM, signal.default_int_handler)  # it too leaves no files behind
    names = [name.strip() for name in services.split(",")] if services is not None else None
    measured = profile(
        _backend(**choices), out, preset=preset, services=names, networks=networks, tdp_w=tdp,
        progress=sys.stderr.isatty(), report=lambda told: click.echo(told, err=True),
    )  # fmt: skip
    server = proportionate(out)
    click.echo(
        f"{measured.told()}\n\na server in the paper's proportions: edgecache simulate --catalogue {shlex.quote(str(out))} "
        f"--storage {_above(server.storage_gb)} --gpu-memory {_above(server.gpu_memory_gb)}"
    )


def _above(size: float) -> str:
    """A size in three digits, rounded up, so that what must fit does."""
    unit = 10.0 ** (math.floor(math.log10(size)) - 2)
    return f"{math.ceil(size / unit) * unit:.3g}"


def _backend(name, device, weights, scale, steps, models, sizes, threads):
    """The backend that the options ask for."""
    from ..profiling.measure import BACKENDS

    name = name or ("torch" if weights == "hub" else "onnx")
    if name not in BACKENDS:
        raise unknown("backend", name, BACKENDS)
    if name == "torch":
        for option, given in (("--model", models), ("--size", sizes)):
            if given:
                raise InputError(f"{option} is {given[0]!r}; your own models are run by --backend onnx, not by torch")
        return BACKENDS[name](device=device, weights=weights, scale=scale, steps=steps, threads=threads)
    if scale != "full" or steps is not None:
        raise InputError(
            "--scale and --steps are of torch's networks; those of the onnx backend have one scale and steps of their own"
        )
    if weights != "random":
        raise InputError(f"--weights is {weights!r}; the onnx backend has random ones alone, --backend torch has those of the hub")
    own, known = pairs("--model", models), pairs("--size", sizes)
    for label, size in known.items():
        if not size.isdecimal() or int(size) < 1:
            raise InputError(f"--size is '{label}={size}'; it must be a whole number, at least 1")
    return BACKENDS[name](device=device, threads=threads, own=own, sizes={label: int(size) for label, size in known.items()})


@click.command(short_help="Play a trace against real networks.")
@click.argument("profile", type=Path, default=Path("profile.csv"))
@click.option("--policies", default="lru,ga,optimal-online", show_default=True, help="Names, comma-separated.")
@click.option("--storage", "storage_gb", type=float, help="GB; without it in the paper's proportion to the catalogue.")
@click.option("--gpu-memory", "gpu_memory_gb", type=float, help="GB, likewise; the memory budget of the networks.")
@click.option("--slots", type=int, default=30, show_default=True, help="Time slots.")
@click.option("--reading", metavar="NAME", help="A named reading of the paper: literal (the default), closest or delay.")
@click.option("--set", "settings", multiple=True, metavar="NAME=VALUE", help="Any other parameter or reading of the scenario.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--networks", type=Path, metavar="DIR", help="Where the networks are kept; without it they are made and removed.")
@click.option("--model", "models", multiple=True, metavar="NAME=FILE", help="The .onnx files, where the profile is of your own.")
def replay(profile, policies, slots, reading, settings, seed, networks, models, **room):
    """Play a short trace against the real networks of a measured PROFILE: measured delays beside the simulator's prediction.

    The networks are really loaded and unloaded under the memory budget, as each policy decides. One row a request stands in
    PROFILE-replay.csv.
    """
    from ..files import write_table
    from ..profiling.profile import beside
    from ..profiling.replay import compared, proportionate, replay, told

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    parameters = {name: value for name, value in room.items() if value is not None} | {"slots": slots}
    parameters |= assigned(settings)
    scenario = proportionate(profile, **parameters)
    scenario = scenario.vary(reading=reading, **parameters) if reading else scenario
    names = [name.strip() for name in policies.split(",")]
    table = replay(
        profile,
        names,
        scenario,
        seed=seed,
        networks=networks,
        own=pairs("--model", models),
        progress=sys.stderr.isatty(),
        partial=beside(profile, "replay.partial.csv"),
    )
    click.echo(told(compared(write_table(table, beside(profile, "replay.csv")))))
    beside(profile, "replay.partial.csv").unlink(missing_ok=True)
