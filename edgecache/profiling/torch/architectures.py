"""The ten named architectures: the networks of each service, their configurations, and the work of one execution.

To give a service another network, change its row in SERVICES. Importing this module imports no torch.
"""

import pkgutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .executions import Execution, caption, continued, edited, latent_diffusion, music, music_runs, once, shape


@dataclass(frozen=True)
class Part:
    """One network of a service: its class, its configuration where it differs from the class's own, and the scaled-down values."""

    kind: str  # module:class
    full: Mapping[str, Any]
    small: Mapping[str, Any]  # these values replace those of `full`
    subfolder: str = ""  # in the hub's repository

    def config(self, scale: str) -> dict[str, Any]:
        return {**self.full, **(self.small if scale == "small" else {})}


@dataclass(frozen=True)
class Service:
    """A row of SERVICES: the networks by name, and the work of one execution at full scale and scaled down."""

    family: str
    repository: str  # on the hub
    execution: Callable[..., Execution]  # takes the parts, a Draw and the work, see executions.py
    parts: Mapping[str, Part]
    full: Mapping[str, Any]  # `steps`: denoising steps, or tokens
    small: Mapping[str, Any]
    runs: Callable[[int], int] = lambda steps: steps  # runs of the network for that many steps


@contextmanager
def _parameters_on_meta() -> Iterator[None]:
    """Give parameters that are made meanwhile a shape but no memory. Buffers are real, because files lack many of them."""
    from torch.nn import Module, Parameter

    register = Module.register_parameter

    def on_meta(module: Any, name: str, value: Any) -> None:
        if value is not None and not value.is_meta:  # one that is on meta may be tied: it stays the same object
            value = Parameter(value.to("meta"), requires_grad=False)
        register(module, name, value)

    Module.register_parameter = on_meta
    try:
        yield
    finally:
        Module.register_parameter = register


def empty(kind: str, config: Mapping[str, Any]) -> Any:
    """Make a network of a class and configuration whose parameters take no memory yet."""
    cls = pkgutil.resolve_name(kind)
    with _parameters_on_meta():
        module = cls(cls.config_class.from_dict(dict(config))) if kind.startswith("transformers") else cls.from_config(config)
    for buffer in module.buffers():
        buffer.requires_grad_(False)  # Shap-E has one that is a parameter as well
    return module.eval().requires_grad_(False)


# configurations where they differ from the classes' own: at full scale, and the scaled-down values
CLIP = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12, "projection_dim": 768}
OPEN_CLIP_H = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 23, "num_attention_heads": 16}
NARROW = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4}
CLIP_NARROW = dict(NARROW, vocab_size=1000, projection_dim=64)
UNET_NARROW = {"sample_size": 16, "block_out_channels": (32, 64, 64, 64), "layers_per_block": 1, "cross_attention_dim": 64}
UNET = {"sample_size": 64, "block_out_channels": (320, 640, 1280, 1280), "cross_attention_dim": 768, "attention_head_dim": 8}
UNET_3D = {"sample_size": 32, "cross_attention_dim": 1024, "attention_head_dim": 64}
AUTOENCODER = {
    "block_out_channels": (128, 256, 512, 512), "layers_per_block": 2, "latent_channels": 4,
    "down_block_types": ("DownEncoderBlock2D",) * 4, "up_block_types": ("UpDecoderBlock2D",) * 4,
}  # fmt: skip
PRIOR = {
    "num_attention_heads": 16, "attention_head_dim": 64, "num_layers": 24, "embedding_dim": 1024, "num_embeddings": 1024,
    "additional_embeddings": 0, "time_embed_act_fn": "gelu", "norm_in_type": "layer", "encoder_hid_proj_type": None,
    "added_emb_type": None, "time_embed_dim": 4096, "embedding_proj_dim": 768, "clip_embed_dim": 2048,
}  # fmt: skip
PRIOR_NARROW = {
    "num_attention_heads": 4, "attention_head_dim": 16, "num_layers": 2, "embedding_dim": 64, "num_embeddings": 128,
    "time_embed_dim": 256, "embedding_proj_dim": 64, "clip_embed_dim": 128,
}  # fmt: skip
RENDERER_NARROW = {"param_shapes": ((32, 93), (32, 32), (32, 32), (32, 32)), "d_latent": 64, "d_hidden": 32}  # 4 x 32 embeddings
ENCODEC = {
    "model_type": "encodec", "sampling_rate": 32000, "target_bandwidths": [2.2], "num_filters": 64,
    "upsampling_ratios": [8, 5, 4, 4], "codebook_size": 2048, "use_causal_conv": False,
}  # fmt: skip
MUSICGEN = {
    "text_encoder": {"model_type": "t5", "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "audio_encoder": ENCODEC,
    "decoder": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096},
}  # fmt: skip
MUSICGEN_NARROW = {
    "text_encoder": {
        "model_type": "t5", "vocab_size": 1000, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4
    },
    "audio_encoder": dict(ENCODEC, num_filters=8, codebook_size=64),
    "decoder": {
        "vocab_size": 64, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128,
        "pad_token_id": 64, "bos_token_id": 64,
    },
}  # fmt: skip
VITS_NARROW = {
    "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 128, "flow_size": 64, "prior_encoder_num_flows": 2,
    "spectrogram_bins": 65, "duration_predictor_filter_channels": 64, "upsample_initial_channel": 64,
    "posterior_encoder_num_wavenet_layers": 2,
}  # fmt: skip
MMS = {
    "hidden_size": 1280, "num_hidden_layers": 48, "num_attention_heads": 16, "intermediate_size": 5120,
    "feat_extract_norm": "layer", "conv_bias": True, "do_stable_layer_norm": True, "adapter_attn_dim": 16, "vocab_size": 154,
}  # fmt: skip
BLIP = {"text_config": {"num_attention_heads": 12}, "vision_config": {}}
BLIP_TEXT_NARROW = dict(NARROW, vocab_size=1000, encoder_hidden_size=64, bos_token_id=1)
BLIP_NARROW = {"text_config": BLIP_TEXT_NARROW, "vision_config": dict(NARROW, image_size=64)}

VAE = Part("diffusers:AutoencoderKL", AUTOENCODER, {"block_out_channels": (32, 32, 32, 32), "layers_per_block": 1}, "vae")
STABLE_DIFFUSION = {
    "text_encoder": Part("transformers:CLIPTextModel", CLIP, CLIP_NARROW, "text_encoder"),
    "unet": Part("diffusers:UNet2DConditionModel", UNET, UNET_NARROW, "unet"),
    "vae": VAE,
}
TEXT_TO_VIDEO = {
    "text_encoder": Part("transformers:CLIPTextModel", OPEN_CLIP_H, CLIP_NARROW, "text_encoder"),
    "unet": Part("diffusers:UNet3DConditionModel", UNET_3D, dict(UNET_NARROW, attention_head_dim=8), "unet"),
    "vae": VAE,
}
SHAP_E = {
    "text_encoder": Part("transformers:CLIPTextModelWithProjection", CLIP, CLIP_NARROW, "text_encoder"),
    "prior": Part("diffusers:PriorTransformer", PRIOR, PRIOR_NARROW, "prior"),
    "renderer": Part("diffusers.pipelines.shap_e:ShapERenderer", {}, RENDERER_NARROW, "shap_e_renderer"),
}


def _one(kind: str, full: Mapping[str, Any], small: Mapping[str, Any]) -> dict[str, Part]:
    return {"model": Part(f"transformers:{kind}", full, small)}


# in the order of the catalogue: family, repository, execution, parts, and the work at full scale and scaled down
SERVICES = {
    "text_to_image": Service(
        "Stable Diffusion", "CompVis/stable-diffusion-v1-4", latent_diffusion, STABLE_DIFFUSION, {"steps": 50}, {"steps": 2}
    ),
    "text_generation": Service(
        "GPT-2", "openai-community/gpt2", continued,
        _one("GPT2LMHeadModel", {}, {"vocab_size": 1000, "n_embd": 64, "n_layer": 2, "n_head": 4}), {"steps": 100}, {"steps": 4},
    ),
    "text_to_music": Service(
        "MusicGen", "facebook/musicgen-small", music, _one("MusicgenForConditionalGeneration", MUSICGEN, MUSICGEN_NARROW),
        {"steps": 500}, {"steps": 8}, music_runs,
    ),
    "text_to_3d": Service(
        "Shap-E", "openai/shap-e", shape, SHAP_E, {"steps": 64, "size": 64, "rays": 4096}, {"steps": 4, "size": 4, "rays": 320},
        lambda steps: 2 * steps - 1,  # Heun's method: twice a step, but once in the last
    ),
    "text_to_video": Service(
        "Text-to-video diffusion", "ali-vilab/text-to-video-ms-1.7b", latent_diffusion, TEXT_TO_VIDEO,
        {"steps": 50, "frames": 16}, {"steps": 2, "frames": 2},
    ),
    "image_captioning": Service(
        "BLIP", "Salesforce/blip-image-captioning-base", caption, _one("BlipForConditionalGeneration", BLIP, BLIP_NARROW),
        {"steps": 20}, {"steps": 4},
    ),
    "text_to_speech": Service(  # one voice of facebook/mms-tts, which transformers cannot read
        "VITS", "facebook/mms-tts-eng", once, _one("VitsModel", {}, VITS_NARROW),
        {"steps": 1, "tokens": 151}, {"steps": 1, "tokens": 21},
    ),
    "speech_recognition": Service(
        "Wav2Vec2", "facebook/mms-1b-all", once, _one("Wav2Vec2ForCTC", MMS, dict(NARROW, conv_dim=(32,) * 7)),
        {"steps": 1, "seconds": 10}, {"steps": 1, "seconds": 1},
    ),
    "image_to_image": Service(
        "Stable Diffusion", "stable-diffusion-v1-5/stable-diffusion-v1-5", latent_diffusion, STABLE_DIFFUSION,
        {"steps": 50, "edits": True}, {"steps": 3, "edits": True}, edited,
    ),
    "text_understanding": Service(
        "BERT", "google-bert/bert-base-uncased", once, _one("BertForMaskedLM", {}, dict(NARROW, vocab_size=1000)),
        {"steps": 1, "tokens": 128}, {"steps": 1, "tokens": 32},
    ),
}  # fmt: skip
