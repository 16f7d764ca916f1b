"""The optional torch backend, its networks scaled down: files, loads, executions, and the named architectures' parameters."""

import csv
import errno
import gc
import json
import os
import pickle
import sys
import weakref
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from edgecache.catalogue import SHIPPED
from edgecache.errors import InputError
from edgecache.profiling.contract import CATALOGUE_MODELS
from edgecache.profiling.machine import memory_bytes, release_memory
from edgecache.profiling.torch import backend as torch_backend
from edgecache.profiling.torch.architectures import SERVICES
from edgecache.profiling.torch.backend import TorchBackend

os.environ["HF_HUB_OFFLINE"] = "1"  # before transformers is imported: no test asks the hub
MISSING = [package for package in ("torch", "transformers", "diffusers") if find_spec(package) is None]

# millions, as published and as they were counted in real ones; text_to_3d's text encoder is CLIP-L with its projection
PARAMETERS = {
    "text_to_image": {"text_encoder": 123.1, "unet": 859.5, "vae": 83.7},
    "text_generation": {"model": 124.4},
    "text_to_music": {"model": 587.6},
    "text_to_3d": {"text_encoder": 123.7, "prior": 315.7, "renderer": 226.3},
    "text_to_video": {"text_encoder": 340.4, "unet": 1411.2, "vae": 83.7},
    "image_captioning": {"model": 224.0},
    "text_to_speech": {"model": 36.3},
    "speech_recognition": {"model": 964.8},
    "image_to_image": {"text_encoder": 123.1, "unet": 859.5, "vae": 83.7},
    "text_understanding": {"model": 109.5},
}


@pytest.fixture(scope="module")
def backend():
    if MISSING:
        pytest.skip(f"the torch extra is not installed: {', '.join(MISSING)} missing")
    made = TorchBackend(device="cpu", scale="small")
    made.describe()
    gc.freeze()  # collections need not look at what was imported
    yield made
    gc.unfreeze()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def loaded(backend, folder):
    """Build, load and prepare a service's network; what was loaded is closed in the end."""
    opened = []

    def load(service, backend=backend, folder=folder, seed=1):
        opened.append(backend.load(backend.build(service, folder)))
        opened[-1].prepare(seed)
        return opened[-1]

    yield load
    for one in opened:
        if one.parts:
            one.close()


def answer(loaded):
    loaded.infer()
    return loaded.answer.double().numpy()


def contents(folder: Path) -> dict:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("package", ["torch", "transformers", "diffusers"])
def test_a_missing_package_is_told(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(InputError, match=r"pip install 'edgecache\[torch\]'"):
        TorchBackend(device="cpu")


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"device": "gpu"}, "unknown device 'gpu'"),
        ({"weights": "real"}, "unknown weights 'real'"),
        ({"scale": "ful"}, "did you mean 'full'"),
        ({"threads": 0}, "threads is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"weights": "hub", "scale": "small"}, "in full alone"),
    ],
)
def test_impossible_settings_are_told(settings, told):
    with pytest.raises(InputError, match=told):
        TorchBackend(**settings)


def test_the_services_are_those_of_the_catalogue_and_so_are_their_repositories():
    with open(SHIPPED, newline="") as file:
        rows = {row["service"]: row["hf_id"] for row in csv.DictReader(file)}
    assert list(rows) == list(SERVICES) == list(CATALOGUE_MODELS) == list(PARAMETERS)
    # one of its voices: transformers cannot read the repository of all
    assert {name: row.repository for name, row in SERVICES.items()} == {**rows, "text_to_speech": "facebook/mms-tts-eng"}


def test_cuda_is_taken_or_its_absence_told(backend):
    import torch

    if torch.cuda.is_available():
        assert TorchBackend().device == "cuda"
    else:
        assert TorchBackend().device == "cpu"
        with pytest.raises(InputError, match="finds no CUDA"):
            TorchBackend(device="cuda")


def test_it_pickles_and_describes_itself(backend):
    assert pickle.loads(pickle.dumps(backend)) == backend
    told = backend.describe()
    assert list(told) == ["torch", "transformers", "diffusers", "device_name", "dtype", "scale"]
    assert (told["device_name"], told["dtype"], told["scale"]) == ("CPU", "float32", "small")


@pytest.mark.parametrize("service", SERVICES)
def test_in_full_the_parameters_are_the_named_models(backend, service):
    from edgecache.profiling.torch.architectures import empty

    found = {}
    for name, part in SERVICES[service].parts.items():
        module = empty(part.kind, part.config("full"))
        assert all(parameter.is_meta for parameter in module.parameters())
        found[name] = sum(parameter.numel() for parameter in module.parameters()) / 1e6
    assert found == pytest.approx(PARAMETERS[service], abs=0.05)
    if service != "text_to_3d":  # whose text encoder is not always counted
        assert sum(found.values()) == pytest.approx(CATALOGUE_MODELS[service][1] / 1e6, rel=1e-3)


@pytest.mark.parametrize("service", SERVICES)
def test_a_network_is_built_loaded_run_and_given_up(backend, folder, loaded, service):
    import torch
    from safetensors.torch import load  # an oracle of the files' format

    network = backend.build(service, folder)
    assert network.model.endswith(", scaled down") and (network.named, network.named_parameters) == CATALOGUE_MODELS[service]
    assert 0 < network.share < 0.05 and network.weights == "random" and network.steps >= 1
    assert {Path(file).name for file in network.files} == set(contents(folder / service))
    tensors = [tensor for file in network.files[1::2] for tensor in load(Path(file).read_bytes()).values()]
    assert 0 < 4 * network.parameters <= sum(tensor.nbytes for tensor in tensors) < network.size_bytes
    one = loaded(service)
    assert not any(module.training for module in vars(one.parts).values())
    inside = [tensor for module in vars(one.parts).values() for tensor in (*module.parameters(), *module.buffers())]
    assert not any(tensor.is_meta or tensor.requires_grad for tensor in inside)
    assert {tensor.dtype for tensor in inside} <= {torch.float32, torch.int64, torch.bool}
    with open("/proc/self/maps" if Path("/proc/self/maps").exists() else os.devnull) as maps:
        assert str(folder) not in maps.read()
    first = answer(one)
    assert first.size and np.isfinite(first).all() and first.std() > 0
    assert np.array_equal(first, answer(one))
    one.prepare(2)
    assert not np.array_equal(first, answer(one))
    one.prepare(1)
    assert np.array_equal(first, answer(one))
    assert one.gpu_memory_bytes() is None
    gone = [weakref.ref(module) for module in vars(one.parts).values()]
    one.close()
    assert [module() for module in gone] == [None] * len(gone)


def test_what_is_built_depends_on_nothing_but_the_settings(backend, folder, tmp_path):
    for service in ("text_to_music", "text_to_3d"):
        backend.build(service, folder)
        built = backend.build(service, tmp_path)
        assert contents(folder / service) == contents(tmp_path / service)
        times = [os.stat(file).st_mtime_ns for file in built.files]
        assert backend.build(service, tmp_path) == built
        assert [os.stat(file).st_mtime_ns for file in built.files] == times  # left as they were


@pytest.mark.parametrize("harm", ["truncated", "removed", "of other settings", "unreadable"])
def test_what_is_not_whole_is_built_again(backend, folder, tmp_path, harm):
    about, weights = (Path(file) for file in backend.build("text_understanding", tmp_path).files)
    right = contents(tmp_path / "text_understanding")
    match harm:
        case "truncated":
            weights.write_bytes(weights.read_bytes()[:-1])
        case "removed":
            weights.unlink()
        case "of other settings":
            about.write_text(about.read_text().replace('"dtype": "float32"', '"dtype": "float16"'))
        case "unreadable":
            about.write_text("{")
    backend.build("text_understanding", tmp_path)
    assert contents(tmp_path / "text_understanding") == right


@pytest.mark.parametrize("service", ["text_to_image", "text_to_music", "speech_recognition"])
def test_the_weights_on_the_disk_decide_the_answer(loaded, backend, tmp_path, service):
    right = answer(loaded(service, folder=tmp_path))
    for file in backend.build(service, tmp_path).files[1::2]:
        written = np.fromfile(file, np.uint8)
        start = 8 + int.from_bytes(written[:8].tobytes(), "little")
        floats = written[start : start + (written.size - start) // 4 * 4].view(np.float32)
        floats[:] = np.where(np.abs(floats) < 1, floats * 0.9, floats)  # but for what is 1 for a reason
        written.tofile(file)
    changed = answer(loaded(service, folder=tmp_path))
    assert np.isfinite(changed).all() and (changed.shape != right.shape or np.abs(changed - right).max() > 1e-3)


def test_the_bytes_are_in_memory_after_a_load_and_not_after_its_end(backend, folder, tmp_path, monkeypatch):
    wide = SERVICES["text_understanding"].parts["model"]
    wide = replace(wide, small={**wide.small, "hidden_size": 512, "vocab_size": 30000})
    monkeypatch.setitem(SERVICES, "text_understanding", replace(SERVICES["text_understanding"], parts={"model": wide}))
    network = backend.build("text_understanding", tmp_path)
    assert network.size_bytes > 60e6
    release_memory()
    before = memory_bytes()[0]
    one = backend.load(network)
    release_memory()
    taken = memory_bytes()[0] - before
    one.prepare(0)
    one.infer()
    one.close()
    release_memory()
    left = memory_bytes()[0] - before
    if not np.isnan(taken):
        assert 0.95 * network.size_bytes < taken < 1.2 * network.size_bytes
        assert left < 0.2 * network.size_bytes


@pytest.mark.parametrize(
    ("service", "runs"), [("text_generation", 6), ("image_to_image", 4), ("text_to_speech", 1), ("text_to_3d", 11)]
)
def test_steps_are_those_asked_for(backend, folder, loaded, service, runs):
    shorter = replace(backend, steps=6)
    assert shorter.build(service, folder).steps == runs
    one, count = loaded(service, shorter), []
    stepped = getattr(one.parts, {"image_to_image": "unet", "text_to_3d": "prior"}.get(service, "model"))
    stepped = stepped.transformer if service == "text_generation" else stepped
    stepped.register_forward_hook(lambda *_: count.append(1))
    one.infer()
    assert len(count) == runs


@pytest.mark.parametrize("service", ["text_to_music", "text_to_3d", "text_understanding"])
def test_in_16_bits_as_on_cuda_it_runs_too(backend, loaded, tmp_path, monkeypatch, service):
    import torch

    monkeypatch.setitem(torch_backend.DTYPES, "cpu", "float16")
    one = loaded(service, folder=tmp_path)
    floats = [
        tensor for module in vars(one.parts).values() for tensor in module.state_dict().values() if tensor.is_floating_point()
    ]
    assert {tensor.dtype for tensor in floats} == {torch.float16}
    assert np.isfinite(answer(one)).all()


@pytest.mark.parametrize("service", SERVICES)
def test_weights_of_the_hub_are_written_whole_and_give_its_answers(backend, loaded, tmp_path, monkeypatch, service):
    """The hub is a folder here, with what `save_pretrained` writes of the scaled-down classes; `from_pretrained` is the oracle."""
    row = SERVICES[service]
    ours = loaded(service)
    for name, part in row.parts.items():
        getattr(ours.parts, name).save_pretrained(tmp_path / "hub" / part.subfolder)
    monkeypatch.setitem(SERVICES, service, replace(row, repository=str(tmp_path / "hub"), full=row.small))
    hub = TorchBackend(device="cpu", weights="hub")
    network = hub.build(service, tmp_path)
    assert (network.model, network.weights, network.named_parameters) == (
        CATALOGUE_MODELS[service][0],
        "hub",
        CATALOGUE_MODELS[service][1],
    )
    assert network.repository == str(tmp_path / "hub") and backend.build(service, tmp_path / "ours").repository == ""
    assert network.parameters == backend.build(service, tmp_path / "ours").parameters
    read = answer(loaded(service, hub, tmp_path))
    for name, part in row.parts.items():
        setattr(ours.parts, name, torch_backend.from_hub(part, str(tmp_path / "hub")))
    assert np.array_equal(read, answer(ours))
    (tmp_path / "hub").rename(tmp_path / "offline")
    assert hub.build(service, tmp_path) == network  # once it is there, the hub is not asked


def test_a_hub_that_cannot_be_reached_is_told(backend, tmp_path, monkeypatch):
    row = replace(SERVICES["text_generation"], repository="nobody/nothing")
    monkeypatch.setitem(SERVICES, "text_generation", row)
    with pytest.raises(InputError, match=r"^cannot get nobody/nothing from the hub: [^\n]+$"):
        TorchBackend(device="cpu", weights="hub").build("text_generation", tmp_path)
    assert contents(tmp_path / "text_generation") == {}


def test_a_full_disk_is_told_and_leaves_nothing(backend, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(torch_backend, "drawn", full)
        with pytest.raises(InputError, match="the disk is full: no room for the network of 'text_generation'"):
            backend.build("text_generation", tmp_path)
    assert contents(tmp_path / "text_generation") == {}


def test_what_cannot_be_loaded_or_run_is_told(backend, loaded, tmp_path):
    with pytest.raises(InputError, match="did you mean 'text_to_image'"):
        backend.build("text_to_images", tmp_path)
    network = backend.build("text_generation", tmp_path)
    about, weights = (Path(file) for file in network.files)
    right = weights.read_bytes()
    weights.write_bytes(right[:-5])
    with pytest.raises(InputError, match=r"the network of 'text_generation' cannot be loaded: model.safetensors is truncated"):
        backend.load(network)
    weights.write_bytes(right)
    settings = json.loads(about.read_text())
    settings["config"]["n_layer"] += 1
    about.write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"cannot be loaded: .*Missing key"):
        backend.load(network)
    weights.unlink()
    with pytest.raises(InputError, match=r"cannot be loaded: .*No such file"):
        backend.load(network)
    one = loaded("text_understanding")
    one.execute = lambda: one.torch.empty(1 << 60)
    with pytest.raises(InputError, match="needs more memory than there is"):
        one.infer()
