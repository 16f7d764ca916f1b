"""The files of the torch backend: a .json file that describes a network, and its weights in a .safetensors file.

Weights are read whole, tensor by tensor: on a CPU, `from_pretrained` maps a file, which is then read from disk only when used.
"""

import json
import math
import pkgutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ...errors import InputError
from .architectures import Part, empty

TYPES = {"F32": "float32", "F16": "float16", "I64": "int64", "BOOL": "bool"}  # safetensors' name: torch's name


def from_hub(part: Part, repository: str) -> Any:
    """Get a network with the hub's weights, mapped. Raises InputError where that fails."""
    place = {"subfolder": part.subfolder} if part.subfolder else {}
    try:
        return pkgutil.resolve_name(part.kind).from_pretrained(repository, **place)
    except Exception as error:
        cause = str(error).strip().split("\n")[0] or type(error).__name__
        raise InputError(f"cannot get {repository} from the hub: {cause}") from None


def drawn(name: str, like: Any, generator: Any) -> Any:
    """Draw weights under which signals neither vanish nor explode. Buffers, except a codec's books, stay as the class made them."""
    import torch

    if not like.is_meta and (like.dim() < 2 or not like.is_floating_point()):
        return like
    if like.dim() < 2 or like.numel() == like.shape[0] or name.endswith("original0"):  # original0: the norm of a weight's rows
        return torch.full(like.shape, float(name.endswith(("weight", "original0"))))
    return torch.randn(like.shape, generator=generator).mul_(math.sqrt(like.shape[0] / like.numel()))


def distinct(module: Any) -> dict[str, Any]:
    """The tensors of a module by name; of tied ones, which are one object, only the first."""
    names: dict[int, tuple[str, Any]] = {}
    for name, value in module.state_dict(keep_vars=True).items():
        names.setdefault(id(value), (name, value))
    return dict(names.values())


def write(path: Path, model: Any, dtype: Any, value: Callable[[str, Any], Any]) -> None:
    """Write a safetensors file tensor by tensor: all at once would need twice the memory. Floats become `dtype`."""
    tensors, header, end = distinct(model), dict[str, Any](), 0
    types = {name: dtype if like.is_floating_point() else like.dtype for name, like in tensors.items()}
    codes = {f"torch.{name}": code for code, name in TYPES.items()}
    names = sorted(tensors, key=lambda name: -types[name].itemsize)  # keeps all of them aligned
    for name in names:
        begin, end = end, end + tensors[name].numel() * types[name].itemsize
        header[name] = {"dtype": codes[str(types[name])], "shape": list(tensors[name].shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for name in names:
            file.write(value(name, tensors[name]).detach().to("cpu", types[name]).reshape(-1).numpy())


def read(path: Path, device: str) -> dict[str, Any]:
    """Read the tensors of a safetensors file, each into memory of its own, and move it to the device."""
    import torch

    tensors = {}
    with path.open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        for name, row in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            tensor = torch.empty(row["shape"], dtype=getattr(torch, TYPES[row["dtype"]]))
            if file.readinto(tensor.reshape(-1).numpy()) < tensor.nbytes:
                raise ValueError(f"{path.name} is truncated")
            tensors[name] = tensor.to(device)
    return tensors


def read_module(path: Path, device: str, dtype: str) -> Any:
    """Make the network of a .safetensors file and its .json file, on the device."""
    import torch

    about = json.loads(path.with_suffix(".json").read_text())
    model, tensors = empty(about["origin"]["kind"], about["config"]), read(path, device)
    first = {id(value): name for name, value in distinct(model).items()}
    tied = {name: first[id(value)] for name, value in model.state_dict(keep_vars=True).items()}
    model.load_state_dict({name: tensors[other] for name, other in tied.items() if other in tensors}, assign=True)
    return model.to(device, getattr(torch, dtype))  # with the buffers that are in no file


def complete(path: Path, origin: dict[str, Any]) -> dict[str, Any] | None:
    """Return the description of the network at a path if it is complete and has that origin."""
    try:
        about = json.loads(path.with_suffix(".json").read_text())
        return about if about["origin"] == origin and about["bytes"] == path.stat().st_size else None
    except (OSError, ValueError, LookupError):
        return None
