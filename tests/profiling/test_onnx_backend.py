"""The ONNX networks and their backend: graphs against NumPy and against themselves, users' own models, and how each fails."""

import errno
import json
import resource
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf, softmax
from support.disks import disk

from edgecache import InputError, load_catalogue
from edgecache.catalogue import SHIPPED
from edgecache.profiling import machine
from edgecache.profiling.contract import CATALOGUE_MODELS, Network
from edgecache.profiling.onnx import networks
from edgecache.profiling.onnx.backend import OnnxBackend
from edgecache.profiling.onnx.graph import Graph

SMALLEST = "text_to_speech"
# where a parameter stands among an operator's inputs; any other number of a graph is a constant of its formula
PARAMETERS = {
    "MatMul": (1,), "Conv": (1, 2), "ConvTranspose": (1, 2), "Gather": (0,), "Add": (0, 1),
    "LayerNormalization": (1, 2), "GroupNormalization": (1, 2),
}  # fmt: skip
backend = OnnxBackend()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    with disk(tmp_path_factory.mktemp("networks")) as folder:
        yield folder


@pytest.fixture(scope="module")
def smallest(folder):
    return backend.build(SMALLEST, folder)


def session(path):
    """The one stage of a file, as the backend runs it."""
    (stage,) = backend.load(Network("test", "", (str(path),), 0)).stages
    return stage


def written(folder, stage, steps=1, seed=0):
    """A stage on disk and in memory: its session, and its weights in the order in which they were drawn."""
    graph = Graph(np.random.default_rng(seed), steps)
    stage(graph)
    path = folder / "stage.onnx"
    graph.write(path)
    arrays = [numpy_helper.to_array(tensor) for tensor in onnx.load(path).graph.initializer]
    return session(path), [array for array in arrays if array.dtype == np.float32 and array.ndim]


def run(stage, **inputs):
    return dict(zip([value.name for value in stage.get_outputs()], stage.run(None, inputs), strict=True))


def normal(*shape, seed=1):
    return np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)


# building blocks, against NumPy


def attention_of(x, context, weights, heads, mask=0.0, past=None):
    """Attention one head after another; weights: of query, key, value and output, each with its biases."""
    q, k, v = (rows @ weights[2 * i] + weights[2 * i + 1] for i, rows in enumerate((x, context, context)))
    wide, mixed = q.shape[-1] // heads, []
    for head in range(heads):
        part = slice(head * wide, (head + 1) * wide)
        keys, values = k[..., part], v[..., part]
        if past is not None:
            keys, values = (
                np.concatenate([before[:, head], now], axis=1) for before, now in zip(past, (keys, values), strict=True)
            )
        scores = np.einsum("bqc,bkc->bqk", q[..., part], keys) / np.sqrt(wide) + mask
        mixed.append(softmax(scores, axis=-1) @ values)
    return np.concatenate(mixed, axis=-1) @ weights[6] + weights[7]


def normed(x, scale, bias):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + 1e-5) * scale + bias


def close(found, wanted):
    np.testing.assert_allclose(found, wanted, rtol=2e-4, atol=2e-5)


def test_attention_to_itself_and_to_a_context(tmp_path):
    def stage(g):
        x, context = g.input("x", (2, 5, 24)), g.input("context", (2, 7, 16))
        g.output("itself", g.attention(x, 24, 4), (2, 5, 24))
        g.output("other", g.attention(x, 24, 3, context, 16), (2, 5, 24))

    loaded, weights = written(tmp_path, stage)
    x, context = normal(2, 5, 24), normal(2, 7, 16, seed=2)
    found = run(loaded, x=x, context=context)
    close(found["itself"], attention_of(x, x, weights[:8], 4))
    close(found["other"], attention_of(x, context, weights[8:], 3))


def test_attention_with_a_past_and_a_mask(tmp_path):
    def stage(g):
        x, mask = g.input("x", (1, 3, 24)), g.input("mask", (3, 7))
        past = [g.input(name, (1, 4, 4, 6)) for name in ("keys", "values")]
        for name, tensor in zip("oab", g.cached_attention(x, 24, 4, past, mask), strict=True):
            g.output(name, tensor, (None,) * (3 if name == "o" else 4))

    loaded, weights = written(tmp_path, stage)
    x, past, mask = normal(1, 3, 24), [normal(1, 4, 4, 6, seed=seed) for seed in (2, 3)], np.triu(np.full((3, 7), -1e9, "f"), 5)
    found = run(loaded, x=x, mask=mask, keys=past[0], values=past[1])
    close(found["o"], attention_of(x, x, weights, 4, mask, past))
    for name, before, place in (("a", past[0], 2), ("b", past[1], 4)):
        new = (x @ weights[place] + weights[place + 1]).reshape(1, 3, 4, 6).transpose(0, 2, 1, 3)
        close(found[name], np.concatenate([before, new], axis=2))


def test_an_encoder_layer(tmp_path):
    def stage(g):
        g.output("y", g.encoder_layer(g.input("x", (2, 5, 24)), 24, 4), (2, 5, 24))

    loaded, (scale, bias, *attention, scale2, bias2, up, more, down, less) = written(tmp_path, stage)
    x = normal(2, 5, 24)
    inner = normed(x, scale, bias)
    h = x + attention_of(inner, inner, attention, 4)
    inner = normed(h, scale2, bias2) @ up + more
    close(run(loaded, x=x)["y"], h + inner * (1 + erf(inner / np.sqrt(2))) / 2 @ down + less)


def test_weights_are_scaled_so_that_activations_keep_their_size(tmp_path):
    def stage(g):
        g.output("y", g.linear(g.input("x", (1, 64, 256)), 256, 300), (1, 64, 300))
        g.output("z", g.conv(g.input("w", (1, 32, 40, 40)), 32, 16), (1, 16, 40, 40))

    found = run(written(tmp_path, stage)[0], x=normal(1, 64, 256), w=normal(1, 32, 40, 40))
    assert found["y"].std() == pytest.approx(1, abs=0.1) and found["z"].std() == pytest.approx(1, abs=0.1)


def test_what_a_file_says_of_itself(tmp_path):
    def stage(g):
        g.output("next_x", g.linear(g.input("x", (1, "n"), "float", sizes=(1, 3), fill=2.0), 3, 3), (1, 3))

    graph = Graph(np.random.default_rng(0), 5)
    stage(graph)
    graph.write(tmp_path / "deep/er/stage.onnx")
    onnx.checker.check_model(onnx.load(tmp_path / "deep/er/stage.onnx"), full_check=True)
    assert [file.name for file in tmp_path.rglob("*.onnx*")] == ["stage.onnx"] and graph.parameters == 12
    told = session(tmp_path / "deep/er/stage.onnx").get_modelmeta().custom_metadata_map
    assert json.loads(told["steps"]) == 5 and json.loads(told["start"]) == {"x": {"sizes": [1, 3], "fill": 2.0}}


# the decoder with its keys and values, against all at once


def stepped(stage, tokens, steps, **context):
    """Tokens one by one with what is kept of those before: all tokens put in so far, the last one out, and what is kept."""
    shape = [0 if isinstance(size, str) else size for size in next(v.shape for v in stage.get_inputs() if v.name == "past")]
    past, put = np.zeros(shape, dtype=np.float32), [tokens]
    for step in range(steps):
        if step:
            put.append(tokens)
        found = run(stage, tokens=tokens, past=past, **context)
        tokens, past = found["next_tokens"], found["next_past"]
    return np.concatenate(put, axis=1), tokens, past


def at_once(stage, tokens, **context):
    return stepped(stage, tokens, 1, **context)[1:]


@pytest.fixture(scope="module", params=[{}, {"books": 3, "context": (6, 20)}], ids=["text", "codec"])
def decoder(request, folder):
    """A small decoder, the shape of its prompt, and its context."""
    stage = partial(networks.decoder, wide=48, layers=3, heads=4, vocabulary=60, prompt=5, **request.param)
    context = {"context": normal(1, 6, 20)} if request.param else {}
    return written(folder, stage)[0], (request.param.get("books", 1), 5), context


def test_decoding_step_by_step_is_decoding_at_once(decoder):
    stage, shape, context = decoder
    for seed in range(5):
        prompt = np.random.default_rng(seed).integers(0, 60, shape)
        put, last, past = stepped(stage, prompt, 12, **context)
        assert put.shape == (shape[0], 5 + 11) and last.shape == (shape[0], 1) and past.shape == (6, 4, 16, 12)
        whole, kept = at_once(stage, put, **context)
        np.testing.assert_array_equal(last, whole)
        np.testing.assert_allclose(past, kept, rtol=1e-3, atol=1e-4)


def test_several_new_tokens_behind_a_past_are_those_one_by_one(decoder):
    stage, shape, context = decoder
    tokens = np.random.default_rng(8).integers(0, 60, (shape[0], 9))
    first = run(stage, tokens=tokens[:, :4], past=np.zeros((6, 4, 0, 12), "f"), **context)
    then = run(stage, tokens=tokens[:, 4:], past=first["next_past"], **context)
    whole, kept = at_once(stage, tokens, **context)
    np.testing.assert_array_equal(then["next_tokens"], whole)
    np.testing.assert_allclose(then["next_past"], kept, rtol=1e-3, atol=1e-4)


def test_no_token_sees_a_later_one_and_each_sees_the_earlier_ones(decoder):
    stage, shape, context = decoder
    tokens = np.random.default_rng(9).integers(0, 60, (shape[0], 8))
    _, kept = at_once(stage, tokens, **context)
    for place in (0, 3, 7):
        other = tokens.copy()
        other[0, place] = (other[0, place] + 1) % 60
        change = np.abs(at_once(stage, other, **context)[1] - kept).max(axis=(1, 3))  # (keys and values of the layers, places)
        assert (change[:, :place] == 0).all() and (change[:, place] > 0).all()
        assert (change[2:, place:] > 1e-6).all(), "from the second layer on, what comes after has seen it"
        assert (change[:2, place + 1 :] == 0).all()


def test_the_order_of_tokens_and_the_context_matter(decoder):
    stage, shape, context = decoder
    tokens = np.random.default_rng(10).integers(0, 60, (shape[0], 6))
    _, kept = at_once(stage, tokens, **context)
    _, turned = at_once(stage, np.concatenate([tokens[:, 1::-1], tokens[:, 2:]], axis=1), **context)
    assert np.abs(turned - kept)[2:, :, -1].max() > 1e-4
    if context:
        other = {"context": context["context"] + 1}
        assert np.abs(at_once(stage, tokens, **other)[1] - kept)[2:].max() > 1e-4


# the denoising U-Net, against what guidance and symmetry demand


@pytest.fixture(scope="module", params=[1, 3], ids=["image", "video"])
def unet(request, folder):
    stage = partial(networks.unet, widths=(8, 16, 16), context_wide=24, side=8, frames=request.param)
    loaded, _ = written(folder, stage, steps=4)
    latent, texts = normal(request.param, 4, 8, 8), normal(2, 77, 24, seed=2)

    def step(context=texts, latent=latent, time=1.0):
        return run(loaded, latent=latent, context=np.ascontiguousarray(context), time=np.array([time], dtype=np.float32))

    return step, latent, texts


def test_guidance_goes_from_no_text_beyond_the_given_one(unet):
    step, latent, (without, given) = unet

    def noise(*texts):
        return (latent - step(np.stack(texts))["next_latent"]).astype(float)

    plain, told = noise(without, without), noise(given, given)
    assert np.abs(told - plain).max() > 1e-4
    np.testing.assert_allclose(noise(without, given), plain + 7.5 * (told - plain), atol=2e-5)


def test_every_frame_knows_the_others_and_none_is_special(unet):
    step, latent, _ = unet
    found = step()["next_latent"]
    if len(latent) > 1:
        order = [2, 0, 1]
        np.testing.assert_allclose(step(latent=latent[order])["next_latent"], found[order], atol=2e-5)
        other = latent.copy()
        other[0] += 1
        assert np.abs(step(latent=other)["next_latent"] - found)[1:].max() > 1e-5
    assert np.abs(step(time=0.5)["next_latent"] - found).max() > 1e-5, "what is noise depends on the time"


def test_the_time_of_diffusion_goes_from_one_to_zero(unet):
    step, latent, _ = unet
    time, seen = 1.0, []
    for _ in range(4):
        found = step(latent=latent, time=time)
        latent, time = found["next_latent"], float(found["next_time"][0])
        seen.append(time)
    assert seen == pytest.approx([0.75, 0.5, 0.25, 0], abs=1e-6) and np.isfinite(latent).all()


# the ten networks


def counted(path):
    """How many parameters a file has, by where its numbers are used; and how many float constants there are beside them."""
    graph = onnx.load(path).graph
    floats = {tensor.name: int(np.prod(tensor.dims)) for tensor in graph.initializer if tensor.data_type == TensorProto.FLOAT}
    used = {node.input[place] for node in graph.node for place in PARAMETERS.get(node.op_type, ()) if place < len(node.input)}
    return sum(floats[name] for name in floats.keys() & used), sum(floats[name] for name in floats.keys() - used)


def test_stages_run_as_often_as_they_say_and_hand_on_what_they_put_out(tmp_path):
    def double(g):
        g.output("next_x", g.scale(g.input("x", (2, 3), fill=5.0), 2), (2, 3))

    def add(g):
        g.output("sum", g.add(g.input("x", (2, 3)), g.input("y", (2, "n"), sizes=(2, 3))), (2, 3))

    files = []
    for number, (steps, stage) in enumerate([(3, double), (1, add)]):
        graph = Graph(np.random.default_rng(0), steps)
        stage(graph)
        files.append(str(tmp_path / f"stage-{number}.onnx"))
        graph.write(Path(files[-1]))
    loaded = backend.load(Network("test", "", tuple(files), 0))
    loaded.prepare(1)
    for _ in range(2):  # an execution leaves no trace in the next
        found = loaded.infer()
        assert (found["x"] == 40).all() and (found["sum"] == 40 + found["y"]).all() and found["y"].std() > 0.1


def test_every_service_of_the_catalogue_has_a_network_and_a_named_model():
    services = load_catalogue(SHIPPED).services
    for table in (CATALOGUE_MODELS, networks.ARCHITECTURES, backend.services):
        assert tuple(table) == services


@pytest.mark.parametrize("service", CATALOGUE_MODELS)
def test_the_network_of(service, folder):
    network = backend.build(service, folder / service)
    assert sorted((folder / service).iterdir()) == sorted(map(Path, network.files)), "nothing else is left behind"
    counts = [counted(file) for file in network.files]
    assert network.parameters == sum(count for count, _ in counts)
    assert sum(constants for _, constants in counts) < 1000
    assert 4 * network.parameters < network.size_bytes < 1.02 * 4 * network.parameters
    assert (network.named, network.named_parameters) == CATALOGUE_MODELS[service] and 0 < network.share < 1
    assert network.weights == "random" and network.model and network.steps == max(s for s, _ in networks.ARCHITECTURES[service][1])
    loaded = backend.load(network)
    loaded.prepare(3)
    first, state, out = dict(loaded.first), loaded.infer(), set()
    for stage in loaded.stages:
        out |= {value.name.removeprefix("next_") for value in stage.get_outputs()}
    assert out <= set(state) and loaded.gpu_memory_bytes() is None
    for name, value in state.items():
        assert np.isfinite(value).all(), name
        if value.size > 4 and name in out:
            assert value.std() > 0.01 and np.unique(value).size > min(value.size, 1000) / 2, f"{name} says nothing"
    if "time" in state:
        assert first["time"] == 1 and state["time"] == pytest.approx(0, abs=1e-6)
    if "past" in state:  # step by step as the backend does it is step by step by hand, and is all at once
        stage = next(stage for stage in loaded.stages if "past" in {value.name for value in stage.get_inputs()})
        context = {value.name: state[value.name] for value in stage.get_inputs() if value.name == "context"}
        put, last, past = stepped(stage, first["tokens"], network.steps, **context)
        np.testing.assert_array_equal(state["tokens"], last)
        np.testing.assert_allclose(state["past"], past, rtol=1e-3, atol=1e-3)
        whole, kept = at_once(stage, put, **context)
        np.testing.assert_array_equal(last, whole)
        np.testing.assert_allclose(past, kept, rtol=2e-3, atol=2e-3)
    loaded.close()
    for file in network.files:
        Path(file).unlink()


def test_parameters_by_formula(tmp_path, monkeypatch):
    """A transformer's layer of width w has 12 w^2 + 13 w of them; only what stands around the layers differs."""
    monkeypatch.setattr(Graph, "write", lambda self, path: None)
    layer, w, vocabulary = lambda w: 12 * w**2 + 13 * w, 384, 4096
    decoder = networks.build("text_generation", tmp_path).parameters
    assert decoder == vocabulary * w + 512 * w + 7 * layer(w) + 2 * w + vocabulary * w + vocabulary
    w = 512
    encoder = networks.build("text_understanding", tmp_path).parameters
    assert encoder == vocabulary * w + 128 * w + 5 * (layer(w) + 2 * w) + 2 * w + vocabulary * w + vocabulary


def test_the_seed_makes_the_bytes(tmp_path, smallest):
    def made(seed):
        network = networks.build(SMALLEST, tmp_path / str(seed), seed)
        return network.parameters, [Path(file).read_bytes() for file in network.files]

    count, files = made(0)
    assert files == [Path(file).read_bytes() for file in smallest.files] and count == smallest.parameters
    again, others = made(1)
    assert again == count and all(file != other for file, other in zip(files, others, strict=True))


def test_building_again_overwrites_what_was_damaged(tmp_path, smallest):
    for file in smallest.files:
        (tmp_path / Path(file).name).write_bytes(b"half of a file")
        (tmp_path / f"{Path(file).name}.part").write_bytes(b"of a run that was killed")
    network = backend.build(SMALLEST, tmp_path)
    assert all(Path(a).read_bytes() == Path(b).read_bytes() for a, b in zip(network.files, smallest.files, strict=True))
    assert len(list(tmp_path.iterdir())) == len(network.files)


def test_the_same_inputs_give_the_same_answer_again_and_others_another(smallest):
    loaded = backend.load(smallest)

    def answer(seed):
        loaded.prepare(seed)
        return loaded.infer()["wave"]

    loaded.prepare(5)
    one, again = loaded.infer()["wave"], loaded.infer()["wave"]
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, answer(5))
    assert np.abs(one - answer(6)).max() > 0.01
    assert one.shape == (1, 1, 77 * 256) and (np.abs(one) > 0.999).mean() < 0.1, "the wave is not clipped"


def test_a_network_in_memory_needs_no_file(folder, smallest):
    loaded = backend.load(smallest)
    gone = [Path(file).rename(f"{file}.away") for file in smallest.files]
    try:
        loaded.prepare(0)
        assert np.isfinite(loaded.infer()["wave"]).all()
    finally:
        for path in gone:
            path.rename(str(path).removesuffix(".away"))


# the disk is full


def full(network_of, folder):
    with pytest.raises(InputError) as raised:
        backend.build(network_of, folder)
    assert list(folder.rglob("*.part")) == [] and "\n" not in str(raised.value)
    return str(raised.value)


def test_a_file_that_becomes_too_large_is_told_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))  # EFBIG, for Python ignores the signal
    try:
        told = full(SMALLEST, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert told.startswith(f"the disk is full: no room for the network of {SMALLEST!r} in {tmp_path}, where ")
    assert told.endswith(" MB are free") and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_is_told(tmp_path, monkeypatch, number):
    def save(model, path, **_):
        Path(path).write_bytes(b"some of it")
        raise OSError(number, "No space")

    monkeypatch.setattr(onnx, "save", save)
    assert full(SMALLEST, tmp_path / "new").startswith("the disk is full")


def test_a_disk_too_full_for_a_folder_is_told(tmp_path, monkeypatch):
    def mkdir(self, *_, **__):
        raise OSError(errno.ENOSPC, "No space left on device", str(self))

    monkeypatch.setattr(Path, "mkdir", mkdir)
    assert full(SMALLEST, tmp_path / "new").startswith("the disk is full")


def test_a_folder_that_may_not_be_written_is_told_as_that(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    assert full(SMALLEST, tmp_path / "file") == (f"cannot write the network of {SMALLEST!r} into {tmp_path / 'file'}: File exists")
    assert full(SMALLEST, tmp_path / "file/folder").endswith(": Not a directory")


# the user's own models


FLOAT = TensorProto.FLOAT


def info(name, shape, kind=FLOAT):
    return helper.make_tensor_value_info(name, kind, shape)


X = info("x", (2, 64))


def model(*nodes, inputs=(X,), output=FLOAT, weights=(), opset=21, ir=10, domains=()):
    """A model from its nodes, by name of operator, inputs and output."""
    made = [node if isinstance(node, onnx.NodeProto) else helper.make_node(node[0], node[1].split(), [node[2]]) for node in nodes]
    tensors = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights]
    graph = helper.make_graph(made, "own", list(inputs), [info("y", None, output)], tensors)
    domains = [helper.make_opsetid(name, 1) for name in domains]
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset), *domains], ir_version=ir)


def linear():
    """64 x 64 numbers, times x."""
    return model(("MatMul", "x w", "y"), weights=[("w", normal(64, 64))])


@pytest.fixture
def own(tmp_path):
    """What becomes of a user's model, a message or bytes: built, loaded, prepared and run, its network and its answer."""

    def own(content, name="mine.onnx", **sizes):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.SerializeToString())
        mine = OnnxBackend(models={"mine": str(path)}, sizes=sizes)
        network = mine.build("mine", tmp_path / "unused")
        loaded = mine.load(network)
        loaded.prepare(0)
        return network, loaded.infer()

    return own


@pytest.fixture
def refused(own, capfd):
    """The sentence with which a user's model is refused."""

    def refused(content, name="mine.onnx", **sizes):
        with pytest.raises(InputError) as raised:
            own(content, name, **sizes)
        told = str(raised.value)
        assert "\n" not in told and Path(name).name in told and len(told) < 600
        assert capfd.readouterr() == ("", ""), "the sentence is all that is said"
        return told

    return refused


def test_a_model_of_ones_own_is_run_where_it_lies(own, tmp_path):
    network, found = own(linear())
    assert network == Network("mine", "mine", (str(tmp_path / "mine.onnx"),), 64 * 64, "own")
    assert np.isnan(network.share) and network.size_bytes == (tmp_path / "mine.onnx").stat().st_size
    np.testing.assert_allclose(found["y"], found["x"] @ normal(64, 64), rtol=1e-4, atol=1e-4)
    assert not (tmp_path / "unused").exists()


def test_a_model_of_ones_own_may_take_the_place_of_one_of_ours(tmp_path):
    path = tmp_path / "mine.onnx"
    path.write_bytes(linear().SerializeToString())
    mine = OnnxBackend(models={SMALLEST: str(path), "new": str(path)})
    assert mine.services == (*CATALOGUE_MODELS, "new")
    assert mine.build(SMALLEST, tmp_path).weights == "own" and mine.build("new", tmp_path).service == "new"


def test_what_is_no_model_is_told(refused, smallest, tmp_path):
    (tmp_path / "folder.onnx").mkdir()
    assert refused(None).endswith("mine.onnx: No such file or directory")
    assert refused(None, "folder.onnx").endswith("folder.onnx: Is a directory")
    assert "must be a file that ends in .onnx" in refused(b"", "model.pt")
    whole = Path(smallest.files[0]).read_bytes()
    scraps = [b"", b"hello world", bytes(1000), b"version https://git-lfs.github.com/spec/v1\noid sha256:abc\nsize 9\n"]
    for scrap in [*scraps, np.random.default_rng(0).bytes(999), *(whole[:size] for size in (1, 99, 10**6, len(whole) - 1))]:
        assert "is truncated or no ONNX file" in refused(scrap)


@pytest.mark.parametrize(
    ("wrong", "operator"),
    [
        (model(("Frobnicate", "x", "y")), "Frobnicate"),
        (model(helper.make_node("Frob", ["x"], ["y"], domain="my.ops"), domains=["my.ops"]), "my.ops:Frob"),
        (model(("Add", "x x", "y"), inputs=[info("x", (4,), TensorProto.BFLOAT16)], output=TensorProto.BFLOAT16), "Add"),
    ],
    ids=["unknown", "custom", "without a kernel"],
)
def test_an_operator_that_cannot_be_run_is_named(refused, wrong, operator):
    assert refused(wrong) == (f"the network of 'mine', mine.onnx, has an operator that ONNX Runtime does not support: {operator}")


@pytest.mark.parametrize(
    ("wrong", "cause"),
    [
        (model(("MatMul", "x x", "y")), "Incompatible dimensions"),
        (model(("Identity", "x", "y"), ir=99), "IR version"),
        (model(("Identity", "x", "y"), opset=99), "pset 99"),
        (model(("Identity", "q", "y")), "'q'"),
        (model(helper.make_node("Frob", ["x"], ["y"], domain="my.ops")), "my.ops"),
        (model(("Gather", "w x", "y"), inputs=[info("x", (64,), TensorProto.INT64)], weights=[("w", normal(1, 4))]), "data bounds"),
    ],
    ids=["shapes", "newer format", "newer operators", "missing tensor", "missing domain", "index"],
)  # fmt: skip
def test_the_cause_is_told_wherever_the_file_lies(refused, wrong, cause):
    assert cause in refused(wrong)
    assert cause in refused(wrong, f"{'a-long-name-of-a-folder/' * 8}mine.onnx"), "a long path does not push the cause out"


def test_a_damaged_name_is_told(refused):
    """ONNX Runtime then fails while it tells what is wrong."""
    assert "cannot be" in refused(linear().SerializeToString().replace(b"MatMul", b"MatM\xe5l"))


def test_what_a_model_says_of_itself_is_read_from_ours_alone(own):
    said = linear()
    helper.set_model_props(said, {"steps": "many", "start": "now", "author": "me"})
    network, found = own(said)
    assert found["y"].shape == (2, 64) and network.steps == 1


def test_kinds_of_inputs(own):
    for name in ("FLOAT", "FLOAT16", "DOUBLE", "BOOL", "INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64"):
        kind = getattr(TensorProto, name)
        wanted = helper.tensor_dtype_to_np_dtype(kind)
        _, found = own(model(("Identity", "x", "y"), inputs=[info("x", (40, 30), kind)], output=kind))
        assert found["y"].dtype == wanted and found["y"].shape == (40, 30)
        values = set(np.unique(found["y"]).tolist())
        assert len(values) > 100 if np.issubdtype(wanted, np.floating) else values == {0, 1}, name
    for nothing in ((), None):
        assert own(model(("Identity", "x", "y"), inputs=[info("x", nothing)]))[1]["y"].shape == ()


@pytest.mark.parametrize(
    ("strange", "kind"),
    [
        (model(("Identity", "x", "y"), inputs=[info("x", (2,), TensorProto.STRING)], output=TensorProto.STRING), "tensor(string)"),
        (
            model(("SequenceLength", "x", "y"), inputs=[helper.make_tensor_sequence_value_info("x", FLOAT, None)],
                  output=TensorProto.INT64),
            "seq(tensor(float))",
        ),
    ],
)  # fmt: skip
def test_inputs_of_other_kinds_are_refused(refused, strange, kind):
    assert refused(strange) == f"mine.onnx: the input 'x' is {kind}; it must be a tensor of numbers"


def test_unknown_sizes(own, refused):
    named = model(("Identity", "x", "y"), inputs=[info("x", ("batch", "rows", 3, "rows"))])
    assert refused(named) == "mine.onnx: the input 'x' has the unknown size 'rows'; give it: --size rows=64"
    assert own(named, rows=5)[1]["y"].shape == (1, 5, 3, 5)
    assert own(named, rows=5, batch=2, other=9)[1]["y"].shape == (2, 5, 3, 5)
    unnamed = model(("Identity", "x", "y"), inputs=[info("x", (None, None))])
    assert refused(unnamed).endswith("has the unknown size 'x.1'; give it: --size x.1=64")
    assert own(unnamed, **{"x.1": 7})[1]["y"].shape == (1, 7)
    fitting = model(("MatMul", "x z", "y"), inputs=[info("x", (2, "k")), info("z", ("j", 2))])
    assert "dimension mismatch" in refused(fitting, k=3, j=4)


def test_weights_that_are_inputs_too_are_weights(own):
    """As files of the first versions of ONNX have them."""
    network, found = own(model(("Add", "x w", "y"), inputs=[info("x", (2, 3)), info("w", (3,))], weights=[("w", normal(3))]))
    assert network.parameters == 3
    np.testing.assert_allclose(found["y"], found["x"] + normal(3), rtol=1e-6)


@pytest.mark.parametrize("power", [13, 15])
def test_more_memory_than_there_is(refused, power):
    huge = model(("ConstantOfShape", "s", "c"), ("ReduceSum", "c", "y"), inputs=[], weights=[("s", np.array([10**power]))])
    assert refused(huge) == "the network of 'mine', mine.onnx, needs more memory than there is"


@pytest.mark.parametrize("power", [14, 18, 19])
def test_a_size_beyond_all_memory_is_told(tmp_path, power):
    """A MemoryError is told where the worker meets it; anything else that NumPy may say is none of the user's."""
    path = tmp_path / "mine.onnx"
    path.write_bytes(model(("Identity", "x", "y"), inputs=[info("x", (1, "n"))]).SerializeToString())
    mine = OnnxBackend(models={"mine": str(path)}, sizes={"n": 10**power})
    with pytest.raises((InputError, MemoryError)):
        mine.load(mine.build("mine", tmp_path)).prepare(0)


# weights in a file of their own


def outside(path, made=None, location="weights.bin", **options):
    """Write a model with its weights in another file; that file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    (path.parent / location).parent.mkdir(parents=True, exist_ok=True)
    made = made or linear()
    onnx.save_model(made, str(path), save_as_external_data=True, location=location, size_threshold=0, **options)
    return path.parent / location


def test_weights_in_another_file_are_all_read_by_the_load(folder):
    path = folder / "outside/mine.onnx"
    # rows of a table that is larger than what is read ahead: of them ONNX Runtime itself reads few, and when it needs them
    rows, wide = 4096, 4096
    table = model(("Gather", "w x", "y"), inputs=[info("x", (2,), TensorProto.INT64)], weights=[("w", normal(rows, wide))])
    weights = outside(path, table)
    mine = OnnxBackend(models={"mine": str(path)})
    network = mine.build("mine", folder)
    assert network.files == (str(path), str(weights)) and network.parameters == rows * wide
    assert network.size_bytes == path.stat().st_size + weights.stat().st_size
    machine.evict(network.files)
    assert machine.cached_share(network.files) == 0
    loaded = mine.load(network)
    assert machine.cached_share([str(weights)]) == 1
    loaded.prepare(0)
    assert loaded.infer()["y"].shape == (2, wide)
    loaded.close()
    machine.evict(network.files)
    assert machine.cached_share(network.files) == 0, "a closed network maps nothing any more"


def test_weights_may_lie_in_a_folder_or_behind_a_link(tmp_path, own):
    weights = outside(tmp_path / "mine.onnx", location="deep/weights.bin")
    network, found = own(None)
    assert network.files[1] == str(weights)
    np.testing.assert_allclose(found["y"], found["x"] @ normal(64, 64), rtol=1e-4, atol=1e-4)
    weights.rename(tmp_path / "deep/blob")
    weights.symlink_to("blob")  # as the cache of Hugging Face has them
    assert own(None)[0].size_bytes == network.size_bytes


def test_missing_and_truncated_weights_are_told(tmp_path, refused):
    weights = outside(tmp_path / "mine.onnx")
    whole = weights.read_bytes()
    weights.write_bytes(whole[:-1])
    with pytest.raises(InputError) as raised:
        OnnxBackend(models={"mine": str(tmp_path / "mine.onnx")}).build("mine", tmp_path)
    assert str(raised.value) == f"the weights of 'mine', {weights}, are truncated: 16383 of 16384 bytes"
    weights.unlink()
    assert refused(None).endswith("mine.onnx, keeps its weights in weights.bin, which is missing")


@pytest.mark.parametrize(("key", "value"), [("length", None), ("location", None), ("location", ""), ("offset", "x")])
def test_damaged_words_about_the_weights_are_told(tmp_path, refused, key, value):
    weights = outside(tmp_path / "mine.onnx")
    weights.write_bytes(weights.read_bytes()[:100])
    damaged = onnx.load(tmp_path / "mine.onnx", load_external_data=False)
    about = damaged.graph.initializer[0].external_data
    said = {entry.key: entry.value for entry in about} | {key: value}
    del about[:]
    about.extend(onnx.StringStringEntryProto(key=name, value=text) for name, text in said.items() if text is not None)
    assert refused(damaged)


def test_weights_of_a_branch_belong_to_the_network(tmp_path, own):
    def branch(name, *nodes, weights=()):
        tensors = [numpy_helper.from_array(value, name) for name, value in weights]
        return helper.make_graph([helper.make_node(*node) for node in nodes], name, [], [info(name, (2, 64))], tensors)

    then = branch("a", ("MatMul", ["x", "v"], ["a"]), weights=[("v", normal(64, 64))])
    other = branch("b", ("Identity", ["x"], ["b"]))
    node = helper.make_node("If", ["c"], ["y"], then_branch=then, else_branch=other)
    weights = outside(tmp_path / "mine.onnx", model(node, inputs=[info("x", (2, 64)), info("c", (), TensorProto.BOOL)]))
    network, _ = own(None)
    assert network.files[1:] == (str(weights),) and network.parameters == 64 * 64


def test_weights_of_constants_belong_to_the_network(tmp_path, own):
    """Else they are not evicted, and a load that found them in the cache is called cold."""
    value = numpy_helper.from_array(normal(64, 64), "v")
    made = model(helper.make_node("Constant", [], ["c"], value=value), ("MatMul", "x c", "y"))
    weights = outside(tmp_path / "mine.onnx", made, convert_attribute=True)
    network, found = own(None)
    np.testing.assert_allclose(found["y"], found["x"] @ normal(64, 64), rtol=1e-4, atol=1e-4)
    assert network.files[1:] == (str(weights),) and network.parameters == 64 * 64


def test_weights_may_be_called_as_one_likes(tmp_path, own):
    outside(tmp_path / "mine.onnx", location="mine.weights.onnx")
    assert own(None)[1]["y"].shape == (2, 64)


# the backend itself


def test_a_file_that_vanished_or_was_cut_since_it_was_built_is_told(tmp_path, smallest):
    network = replace(smallest, files=tuple(str(tmp_path / Path(file).name) for file in smallest.files))
    for content, cause in ((None, "exist|missing|not found|No such"), (Path(smallest.files[0]).read_bytes()[:5000], "Protobuf")):
        for file in network.files if content else ():
            Path(file).write_bytes(content)
        with pytest.raises(InputError, match=f"^the network of '{SMALLEST}', {SMALLEST}-0.onnx, cannot be loaded.*({cause})") as e:
            backend.load(network)
        assert "\n" not in str(e.value)


def test_other_devices_and_threads_are_refused():
    assert OnnxBackend(device="auto").device == "cpu"
    for device in ("cuda", "gpu", ""):
        with pytest.raises(InputError, match="the onnx backend runs on the cpu alone"):
            OnnxBackend(device=device)
    for threads in (0, -1, 1.5, True, "2"):
        with pytest.raises(InputError, match=r"threads is .*; it must be a whole number, at least 1"):
            OnnxBackend(threads=threads)


def test_the_threads_are_those_asked_for_and_none_spins(smallest):
    for threads in (1, 2):
        (stage, *_) = OnnxBackend(threads=threads).load(smallest).stages
        options = stage.get_session_options()
        assert (options.intra_op_num_threads, options.inter_op_num_threads) == (threads, threads)
        assert options.get_session_config_entry("session.intra_op.allow_spinning") == "0"


def test_the_versions_are_told():
    import onnxruntime

    told = backend.describe()
    assert told == {"onnxruntime": onnxruntime.__version__, "onnx": onnx.__version__, "provider": "CPUExecutionProvider"}
