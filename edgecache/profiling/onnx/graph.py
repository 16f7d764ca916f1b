"""Building blocks of ONNX graphs with random weights: enough to write a U-Net or a transformer down in a few lines.

Methods take and return the names of tensors. Weights are float32, normal, scaled so that activations keep their size, and drawn in
the order of the calls: the same seed gives the same file. The file contains them, so that loading it reads them all.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from ...files import replacing

OPSET, IR = 21, 10  # supported since ONNX Runtime 1.18
KINDS = {"float": TensorProto.FLOAT, "int": TensorProto.INT64}


class Graph:
    """A graph under construction. It runs `steps` times per answer; `parameters` counts the weights drawn so far."""

    def __init__(self, rng: np.random.Generator, steps: int = 1):
        self.rng, self.steps, self.parameters = rng, steps, 0
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.inputs: list[onnx.ValueInfoProto] = []
        self.outputs: list[onnx.ValueInfoProto] = []
        self.start: dict[str, dict[str, Any]] = {}

    def input(self, name: str, shape: Sequence[int | str], kind: str = "float", **start: Any) -> str:
        """Add an input. `start` describes its first value: `sizes` where some are unknown, integers `below`, or a `fill`."""
        self.inputs.append(helper.make_tensor_value_info(name, KINDS[kind], shape))
        self.start[name] = start
        return name

    def output(self, name: str, tensor: str, shape: Sequence[int | str], kind: str = "float") -> None:
        """Add an output: `next_x` becomes the input `x` of the next step, any other name an input of the next stage."""
        self.nodes.append(helper.make_node("Identity", [tensor], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, KINDS[kind], shape))

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Add any operator of ONNX with one output."""
        return self.split(kind, *inputs, outputs=1, **attributes)[0]

    def split(self, kind: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add any operator of ONNX with several outputs."""
        names = [f"{kind}{len(self.nodes)}_{number}" for number in range(outputs)]
        self.nodes.append(helper.make_node(kind, list(inputs), names, **attributes))
        return names

    def constant(self, values: Any) -> str:
        return self._keep(np.asarray(values))

    def weight(self, *shape: int, fan_in: int) -> str:
        self.parameters += int(np.prod(shape))
        return self._keep(self.rng.standard_normal(shape, dtype=np.float32) / np.float32(np.sqrt(fan_in)))

    def flat(self, size: int, value: float) -> str:
        """Add a vector of equal parameters: biases and scales."""
        self.parameters += size
        return self._keep(np.full(size, value, dtype=np.float32))

    def _keep(self, array: np.ndarray) -> str:
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def reshape(self, x: str, *shape: int) -> str:
        """Reshape: 0 keeps a size, -1 takes the rest."""
        return self.op("Reshape", x, self.constant(np.array(shape, dtype=np.int64)))

    def transpose(self, x: str, *order: int) -> str:
        return self.op("Transpose", x, perm=order)

    def add(self, *tensors: str) -> str:
        total, *others = tensors
        for other in others:
            total = self.op("Add", total, other)
        return total

    def scale(self, x: str, factor: float) -> str:
        return self.op("Mul", x, self.constant(np.float32(factor)))

    def silu(self, x: str) -> str:
        return self.op("Mul", x, self.op("Sigmoid", x))

    def linear(self, x: str, wide: int, out: int) -> str:
        return self.add(self.op("MatMul", x, self.weight(wide, out, fan_in=wide)), self.flat(out, 0.0))

    def conv(self, x: str, channels: int, out: int, size: int = 3, stride: int = 1, dilation: int = 1, axes: int = 2) -> str:
        weight = self.weight(out, channels, *[size] * axes, fan_in=channels * size**axes)
        pads = [dilation * (size - 1) // 2] * 2 * axes
        return self.op("Conv", x, weight, self.flat(out, 0.0), strides=[stride] * axes, pads=pads, dilations=[dilation] * axes)

    def upsampled(self, x: str, times: int = 2, axes: int = 2) -> str:
        return self.op("Resize", x, "", self.constant(np.array([1, 1, *[times] * axes], dtype=np.float32)), mode="nearest")

    def norm(self, x: str, wide: int) -> str:
        return self.op("LayerNormalization", x, self.flat(wide, 1.0), self.flat(wide, 0.0), axis=-1)

    def group_norm(self, x: str, channels: int) -> str:
        return self.op("GroupNormalization", x, self.flat(channels, 1.0), self.flat(channels, 0.0), num_groups=8)

    def embedded(self, ids: str, vocabulary: int, wide: int) -> str:
        return self.op("Gather", self.weight(vocabulary, wide, fan_in=1), ids)

    def heads(self, x: str, heads: int, wide: int) -> str:
        """Reshape (B, N, wide) to (B, heads, N, wide / heads)."""
        return self.transpose(self.reshape(x, 0, -1, heads, wide // heads), 0, 2, 1, 3)

    def attention(self, x: str, wide: int, heads: int, context: str = "", context_wide: int = 0) -> str:
        """Multi-head attention of x to itself or to a context, (B, N, wide)."""
        keyed, keyed_wide = (context, context_wide) if context else (x, wide)
        query = self.heads(self.linear(x, wide, wide), heads, wide)
        key, value = (self.heads(self.linear(keyed, keyed_wide, wide), heads, wide) for _ in range(2))
        return self._attend(query, key, value, wide, heads)

    def cached_attention(self, x: str, wide: int, heads: int, past: Sequence[str], mask: str) -> tuple[str, str, str]:
        """Multi-head attention of x to itself and to the `past` keys and values. Returns its output, all keys, and all values.

        `mask` is added to the scores.
        """
        query = self.heads(self.linear(x, wide, wide), heads, wide)
        new = [self.heads(self.linear(x, wide, wide), heads, wide) for _ in range(2)]
        key, value = (self.op("Concat", before, now, axis=2) for before, now in zip(past, new, strict=True))
        return self._attend(query, key, value, wide, heads, mask), key, value

    def _attend(self, query: str, key: str, value: str, wide: int, heads: int, mask: str = "") -> str:
        scores = self.op("MatMul", self.scale(query, (wide // heads) ** -0.5), self.transpose(key, 0, 1, 3, 2))
        mixed = self.op("MatMul", self.op("Softmax", self.add(scores, mask) if mask else scores, axis=-1), value)
        return self.linear(self.reshape(self.transpose(mixed, 0, 2, 1, 3), 0, -1, wide), wide, wide)

    def feed_forward(self, x: str, wide: int, times: int = 4) -> str:
        return self.linear(self.op("Gelu", self.linear(x, wide, times * wide)), times * wide, wide)

    def encoder_layer(self, x: str, wide: int, heads: int) -> str:
        x = self.add(x, self.attention(self.norm(x, wide), wide, heads))
        return self.add(x, self.feed_forward(self.norm(x, wide), wide))

    def time_embedding(self, time: str, wide: int) -> str:
        """Embed a time (1,) as sines and cosines through two layers, (1, wide)."""
        rates = self.constant(np.exp(-np.linspace(0, 9, wide // 2, dtype=np.float32))[None] * np.float32(1000))
        angle = self.op("Mul", self.reshape(time, 1, 1), rates)
        waves = self.op("Concat", self.op("Sin", angle), self.op("Cos", angle), axis=1)
        return self.linear(self.silu(self.linear(waves, wide, wide)), wide, wide)

    def write(self, path: Path) -> None:
        """Write the graph, whole or not at all. Its metadata has its steps and the first values of its inputs."""
        graph = helper.make_graph(self.nodes, path.stem, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR, producer_name="edgecache")
        helper.set_model_props(
            model, {"steps": str(self.steps), "start": json.dumps(self.start), "parameters": str(self.parameters)}
        )
        with replacing(path) as part:
            onnx.save(model, part, format="protobuf")
