"""Ten real networks, one per service: the families of the catalogue's models, scaled down until a CPU runs each in under a second.

A network has one or more stages. Each is an ONNX file that runs `steps` times per answer: an encoder once, a denoiser or a token
decoder once per step. Weights are random, because the time of a load or an inference does not depend on them. Simplifications: no
tokenizer, no safety checker, a sampler of Euler steps, greedy tokens.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from ..contract import CATALOGUE_MODELS, Network
from .graph import Graph

LATENT, VOCABULARY = 32, 4096  # latent pixels per side; tokens of text


def text_encoder(g: Graph, wide: int = 256, layers: int = 5, tokens: int = 77, prompts: int = 2, heads: int = 8) -> None:
    """A CLIP-like encoder of a prompt and an empty prompt, for guidance: `context` (prompts, tokens, wide)."""
    x = g.embedded(g.input("prompt", (prompts, tokens), "int", below=VOCABULARY), VOCABULARY, wide)
    for _ in range(layers):
        x = g.encoder_layer(x, wide, heads)
    g.output("context", g.norm(x, wide), (prompts, tokens, wide))


def _residual(g: Graph, x: str, channels: int, out: int, time: str, time_wide: int) -> str:
    h = g.conv(g.silu(g.group_norm(x, channels)), channels, out)
    h = g.add(h, g.reshape(g.linear(g.silu(time), time_wide, out), 1, out, 1, 1))
    h = g.conv(g.silu(g.group_norm(h, out)), out, out)
    return g.add(h, x if channels == out else g.conv(x, channels, out, size=1))


def _attending(g: Graph, x: str, channels: int, side: int, context: str, context_wide: int, frames: int) -> str:
    """Self-attention over pixels and, if several, over frames; cross-attention to the text; feed-forward."""
    h = g.transpose(g.reshape(x, 0, channels, -1), 0, 2, 1)
    h = g.add(h, g.attention(g.norm(h, channels), channels, 4))
    if frames > 1:  # the pixels of (clips, frames, pixels, channels) become the batch
        turned = g.transpose(g.reshape(h, -1, frames, side * side, channels), 0, 2, 1, 3)
        turned = g.reshape(turned, -1, frames, channels)
        turned = g.add(turned, g.attention(g.norm(turned, channels), channels, 4))
        turned = g.transpose(g.reshape(turned, -1, side * side, frames, channels), 0, 2, 1, 3)
        h = g.reshape(turned, -1, side * side, channels)
    h = g.add(h, g.attention(g.norm(h, channels), channels, 4, context, context_wide))
    h = g.add(h, g.feed_forward(g.norm(h, channels), channels))
    return g.reshape(g.transpose(h, 0, 2, 1), 0, channels, side, side)


def unet(g: Graph, widths: Sequence[int] = (32, 96, 192), context_wide: int = 256, side: int = LATENT, frames: int = 1) -> None:
    """A denoising U-Net with attention to the text, guided by a prompt and an empty one, and one Euler step: `next_latent`."""
    time_wide = 4 * widths[0]
    latent = g.input("latent", (frames, 4, side, side))
    context = g.input("context", (2, 77, context_wide))
    time = g.input("time", (1,), fill=1.0)
    if frames > 1:  # every frame attends to the text of its clip
        context = g.reshape(g.op("Expand", g.reshape(context, 2, 1, 77, context_wide),
                                 g.constant(np.array([2, frames, 77, context_wide]))), 2 * frames, 77, context_wide)  # fmt: skip
    embedding = g.time_embedding(time, time_wide)
    x = g.conv(g.op("Concat", latent, latent, axis=0), 4, widths[0])
    skips, channels, size = [(x, widths[0])], widths[0], side
    for level, width in enumerate(widths):
        for _ in range(2):
            x, channels = _residual(g, x, channels, width, embedding, time_wide), width
            if level:
                x = _attending(g, x, channels, size, context, context_wide, frames)
            skips.append((x, channels))
        if level < len(widths) - 1:
            x, size = g.conv(x, channels, channels, stride=2), size // 2
            skips.append((x, channels))
    x = _residual(g, x, channels, channels, embedding, time_wide)
    x = _attending(g, x, channels, size, context, context_wide, frames)
    x = _residual(g, x, channels, channels, embedding, time_wide)
    for level, width in reversed(list(enumerate(widths))):
        for _ in range(3):
            skip, more = skips.pop()
            x = _residual(g, g.op("Concat", x, skip, axis=1), channels + more, width, embedding, time_wide)
            channels = width
            if level:
                x = _attending(g, x, channels, size, context, context_wide, frames)
        if level:
            x, size = g.conv(g.upsampled(x), channels, channels), size * 2
    noise = g.conv(g.silu(g.group_norm(x, channels)), channels, 4)
    without, given = g.split("Split", noise, outputs=2, axis=0, num_outputs=2)
    noise = g.add(without, g.scale(g.op("Sub", given, without), 7.5))
    g.output("next_latent", g.op("Sub", latent, g.scale(noise, 0.1 / g.steps)), (frames, 4, side, side))
    g.output("next_time", g.op("Sub", time, g.constant(np.array([1 / g.steps], dtype=np.float32))), (1,))


def image_encoder(g: Graph, widths: Sequence[int] = (32, 64, 128), side: int = LATENT) -> None:
    """The encoder of an autoencoder: from an image of 8 times the side `latent`."""
    x, channels = g.input("image", (1, 3, 8 * side, 8 * side)), 3
    for width in widths:
        x, channels = g.silu(g.conv(x, channels, width, stride=2)), width
    g.output("latent", g.conv(x, channels, 4), (1, 4, side, side))


def image_decoder(g: Graph, widths: Sequence[int] = (128, 48, 24), side: int = LATENT, frames: int = 1) -> None:
    """The decoder of an autoencoder: from `latent` images of 8 times the side."""
    x = g.conv(g.input("latent", (frames, 4, side, side)), 4, widths[0])
    channels = widths[0]
    for width in widths:
        x, channels = g.silu(g.conv(g.upsampled(x), channels, width)), width
    g.output("image", g.conv(x, channels, 3), (frames, 3, 8 * side, 8 * side))


def decoder(g: Graph, wide: int = 384, layers: int = 7, heads: int = 6, vocabulary: int = VOCABULARY, prompt: int = 32,
            books: int = 1, context: tuple[int, int] = (0, 0)) -> None:  # fmt: skip
    """One step of a causal transformer that caches keys and values: it reads the new tokens, and writes the most likely next ones.

    It reads and writes `books` of tokens in parallel, as an audio codec has. `context`: rows and width of its cross-attention.
    """
    tokens = g.input("tokens", (books, "new"), "int", below=vocabulary, sizes=(books, prompt))
    cache = (2 * layers, heads, "past", wide // heads)
    past = g.input("past", cache, sizes=(2 * layers, heads, 0, wide // heads))
    seen = g.input("context", (1, *context)) if context[0] else ""
    kept, caches = g.split("Split", past, outputs=2 * layers, axis=0, num_outputs=2 * layers), list[str]()
    # row i of the new tokens may attend to columns up to past + i: the past, earlier new tokens, and itself
    new, before = g.op("Shape", tokens, start=1, end=2), g.op("Shape", past, start=2, end=3)
    begin, end = g.op("Squeeze", before), g.op("Squeeze", g.add(before, new))
    ahead = g.op("Expand", g.constant(np.float32(-1e9)), g.op("Concat", new, g.add(before, new), axis=0))
    ahead = g.op("Trilu", ahead, g.add(begin, g.constant(1)), upper=1)
    x = g.embedded(g.op("Range", begin, end, g.constant(1)), 512, wide)
    for book in g.split("Split", tokens, outputs=books, axis=0, num_outputs=books) if books > 1 else [tokens]:
        x = g.add(x, g.embedded(book, vocabulary, wide))
    for layer in range(layers):
        mixed, *now = g.cached_attention(g.norm(x, wide), wide, heads, kept[2 * layer : 2 * layer + 2], ahead)
        x, caches = g.add(x, mixed), [*caches, *now]
        if seen:
            x = g.add(x, g.attention(g.norm(x, wide), wide, heads, seen, context[1]))
        x = g.add(x, g.feed_forward(g.norm(x, wide), wide))
    last = g.op("Slice", g.norm(x, wide), *(g.constant(np.array([at])) for at in (-1, 2**31, 1)))
    chosen = [g.op("ArgMax", g.linear(last, wide, vocabulary), axis=-1, keepdims=0) for _ in range(books)]
    g.output("next_tokens", g.op("Concat", *chosen, axis=0), (books, 1), "int")
    g.output("next_past", g.op("Concat", *caches, axis=0), cache)


def image_transformer(g: Graph, wide: int = 384, layers: int = 6, side: int = 224, patch: int = 16) -> None:
    """A vision transformer: it cuts an image into patches; `context` has one row per patch."""
    rows = (side // patch) ** 2
    x = g.op(
        "Conv", g.input("picture", (1, 3, side, side)), g.weight(wide, 3, patch, patch, fan_in=3 * patch**2), strides=[patch] * 2
    )
    x = g.add(g.transpose(g.reshape(x, 0, wide, -1), 0, 2, 1), g.weight(1, rows, wide, fan_in=1))
    for _ in range(layers):
        x = g.encoder_layer(x, wide, 6)
    g.output("context", g.norm(x, wide), (1, rows, wide))


def masked_language_model(g: Graph, wide: int = 512, layers: int = 5, tokens: int = 128) -> None:
    """A BERT-like encoder with its head: the likelihood of each token at each place."""
    x = g.add(
        g.embedded(g.input("text", (1, tokens), "int", below=VOCABULARY), VOCABULARY, wide), g.weight(1, tokens, wide, fan_in=1)
    )
    for _ in range(layers):
        x = g.encoder_layer(g.norm(x, wide), wide, 8)
    g.output("likelihood", g.linear(g.norm(x, wide), wide, VOCABULARY), (1, tokens, VOCABULARY))


def prior(g: Graph, wide: int = 384, layers: int = 8, rows: int = 128) -> None:
    """A transformer that denoises the latent rows of a shape, given a text, by one Euler step: `next_shape`."""
    shape, time = g.input("shape", (1, rows, wide)), g.input("time", (1,), fill=1.0)
    text = g.linear(g.input("context", (1, 77, 256)), 256, wide)
    x = g.op("Concat", g.reshape(g.time_embedding(time, wide), 1, 1, wide), text, shape, axis=1)
    for _ in range(layers):
        x = g.encoder_layer(x, wide, 6)
    noise = g.op("Slice", g.norm(x, wide), *(g.constant(np.array([at])) for at in (78, 78 + rows, 1)))
    g.output("next_shape", g.op("Sub", shape, g.scale(g.linear(noise, wide, wide), 1 / g.steps)), (1, rows, wide))
    g.output("next_time", g.op("Sub", time, g.constant(np.array([1 / g.steps], dtype=np.float32))), (1,))


def radiance_field(g: Graph, wide: int = 384, rows: int = 128, points: int = 4096, layers: int = 4) -> None:
    """A radiance field whose first layer is made of the latents: density and colour at points in space."""
    shape, x = g.input("shape", (1, rows, wide)), g.input("points", (1, points, 3))
    mixing = g.reshape(g.op("ReduceMean", shape, g.constant(np.array([1])), keepdims=0), 1, 3, wide // 3)
    x, inner = g.op("Sin", g.op("MatMul", x, mixing)), wide // 3
    for _ in range(layers):
        x, inner = g.silu(g.linear(x, inner, wide)), wide
    g.output("density_and_colour", g.linear(x, wide, 4), (1, points, 4))


def vocoder(g: Graph, start: int, rows: int, wide: int, rates: Sequence[int] = (8, 8, 4), first: str = "context") -> None:
    """Turn rows of features into a wave by transposed and dilated residual convolutions, as in HiFi-GAN."""
    x = g.transpose(g.input(first, (1, rows, wide)), 0, 2, 1)
    x, channels = g.conv(x, wide, start, size=7, axes=1), start
    for rate in rates:
        weight = g.weight(channels, channels // 2, 2 * rate, fan_in=2 * channels)
        x = g.op("ConvTranspose", g.silu(x), weight, g.flat(channels // 2, 0.0), strides=[rate], pads=[rate // 2] * 2)
        channels //= 2
        for dilation in (1, 3, 5):
            x = g.add(x, g.conv(g.silu(x), channels, channels, dilation=dilation, axes=1))
    g.output("wave", g.op("Tanh", g.conv(x, channels, 1, size=7, axes=1)), (1, 1, "samples"))


def speech_features(g: Graph, wide: int = 512, layers: int = 7, seconds: int = 4) -> None:
    """A wav2vec-like encoder with its head: from a wave at 16 kHz the likelihood of each letter, one row per 20 ms."""
    x, channels = g.input("speech", (1, 1, 16000 * seconds)), 1
    for size, stride in ((10, 5), (3, 2), (3, 2), (3, 2), (3, 2), (2, 2), (2, 2)):
        x = g.op("Conv", x, g.weight(wide // 4, channels, size, fan_in=channels * size), g.flat(wide // 4, 0.0), strides=[stride])
        x, channels = g.op("Gelu", x), wide // 4
    x = g.linear(g.transpose(x, 0, 2, 1), channels, wide)
    for _ in range(layers):
        x = g.encoder_layer(x, wide, 8)
    g.output("letters", g.linear(g.norm(x, wide), wide, 154), (1, "rows", 154))


Stage = tuple[int, Callable[[Graph], None]]  # how often it runs per answer, and what builds its graph
# service, in the order of the catalogue: its family of networks, and its stages
ARCHITECTURES: dict[str, tuple[str, tuple[Stage, ...]]] = {
    "text_to_image": ("latent diffusion U-Net", ((1, text_encoder), (3, unet), (1, image_decoder))),
    "text_generation": ("causal transformer", ((32, decoder),)),
    "text_to_music": ("transformer over four books of codec tokens", (
        (1, partial(text_encoder, prompts=1)),
        (32, partial(decoder, layers=5, vocabulary=2048, prompt=4, books=4, context=(77, 256))),
        (1, partial(vocoder, start=256, rows=50, wide=128, first="codes")),
    )),
    "text_to_3d": ("denoising transformer and radiance field", (
        (1, partial(text_encoder, prompts=1, layers=4)), (4, prior), (1, radiance_field),
    )),
    "text_to_video": ("U-Net with attention over frames", (
        (1, text_encoder), (2, partial(unet, side=16, frames=6)), (1, partial(image_decoder, side=16, frames=6)),
    )),
    "image_captioning": ("vision transformer and text decoder", (
        (1, image_transformer), (16, partial(decoder, layers=4, prompt=4, context=(196, 384))),
    )),
    "text_to_speech": ("text encoder and vocoder", (
        (1, partial(text_encoder, prompts=1, layers=4)), (1, partial(vocoder, start=256, rows=77, wide=256)),
    )),
    "speech_recognition": ("wav2vec-like encoder", ((1, speech_features),)),
    "image_to_image": ("latent diffusion U-Net behind an image encoder", (
        (1, image_encoder), (1, text_encoder), (2, unet), (1, image_decoder),
    )),
    "text_understanding": ("BERT-like encoder", ((1, masked_language_model),)),
}  # fmt: skip


def build(service: str, folder: Path, seed: int = 0) -> Network:
    """Write the network of a service into the folder; the same seed gives the same bytes."""
    family, stages = ARCHITECTURES[service]
    files, parameters = [], 0
    for number, (steps, stage) in enumerate(stages):
        graph = Graph(np.random.default_rng([seed, list(ARCHITECTURES).index(service), number]), steps)
        stage(graph)
        files.append(folder / f"{service}-{number}.onnx")
        graph.write(files[-1])
        parameters += graph.parameters
    named = CATALOGUE_MODELS[service]
    steps = max(steps for steps, _ in stages)
    return Network(service, family, tuple(map(str, files)), parameters, "random", *named, steps=steps)
