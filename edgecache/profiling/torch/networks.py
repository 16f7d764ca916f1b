"""The ten named architectures: which networks a service has, how each is configured, and what one execution of it does.

To give a service another network, change its row in SERVICES. Importing this module imports no torch. What is simplified: token
ids and images are random, so there is no tokenizer, and the number of tokens is given, so no answer ends early.
"""

import math
import pkgutil
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import SimpleNamespace


@dataclass(frozen=True)
class Part:
    """One network of a service: its class, its configuration where that is not the class's own, and what is scaled down of it."""

    kind: str  # module:class
    full: Mapping
    small: Mapping  # in its place
    subfolder: str = ""  # of the hub's repository

    def config(self, scale: str) -> dict:
        return {**self.full, **(self.small if scale == "small" else {})}


@dataclass(frozen=True)
class Service:
    """A row of SERVICES: parts by name, what one execution does, and how much of it at full scale and scaled down."""

    family: str
    repository: str  # on the hub
    execution: Callable  # of the parts, a Draw and the work: draws the inputs, returns a function that gives the answer
    parts: Mapping[str, Part]
    full: Mapping  # steps: of denoising, or tokens
    small: Mapping
    runs: Callable[[int], int] = lambda steps: steps  # how often the network runs for so many steps


class Draw:
    """The inputs of executions, drawn on the CPU: the same on every device."""

    def __init__(self, seed: int, device: str, dtype: str):
        import torch

        self.torch, self.device, self.dtype = torch, device, getattr(torch, dtype)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int):
        return self.torch.randn(shape, generator=self.generator).to(self.device, self.dtype)

    def tokens(self, *shape: int, below: int):
        return self.torch.randint(below, shape, generator=self.generator).to(self.device)

    def prompts(self, count: int, encoder):
        return self.tokens(count, encoder.config.max_position_embeddings, below=encoder.config.vocab_size)


@contextmanager
def _parameters_on_meta():
    """Every parameter that is made meanwhile has a shape and no memory. Buffers are real: many stand in no file."""
    from torch.nn import Module, Parameter

    register = Module.register_parameter

    def on_meta(module, name, value):
        if value is not None and not value.is_meta:  # one on meta already may be tied: it stays the same object
            value = Parameter(value.to("meta"), requires_grad=False)
        register(module, name, value)

    Module.register_parameter = on_meta
    try:
        yield
    finally:
        Module.register_parameter = register


def empty(kind: str, config: Mapping):
    """A network of that class and configuration whose parameters take no memory yet."""
    made = pkgutil.resolve_name(kind)
    with _parameters_on_meta():
        made = made(made.config_class.from_dict(dict(config))) if kind.startswith("transformers") else made.from_config(config)
    for buffer in made.buffers():
        buffer.requires_grad_(False)  # Shap-E has one that is a parameter as well
    return made.eval().requires_grad_(False)


def _denoised(scheduler, model, steps: int, latent, guidance: float, noise=None, runs: int | None = None):
    """The latent after the scheduler's steps, or the last `runs` of them from `latent` under `noise`, guided: a prompt and none."""
    import torch

    scheduler.set_timesteps(steps, device=latent.device)
    times = scheduler.timesteps if noise is None else scheduler.timesteps[-runs:]
    latent = latent * scheduler.init_noise_sigma if noise is None else scheduler.add_noise(latent, noise, times[:1])
    for time in times:
        without, told = model(scheduler.scale_model_input(torch.cat([latent, latent]), time), time).chunk(2)
        latent = scheduler.step(without + guidance * (told - without), time, latent).prev_sample
    return latent


def latent_diffusion(net: SimpleNamespace, draw: Draw, steps: int, frames: int = 0, edits: bool = False) -> Callable:
    """An image, or a video of `frames`, from a text; where it `edits`, from an image too, noised to 0.8 of the steps."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    prompts, side = draw.prompts(2, net.text_encoder), net.unet.config.sample_size
    noise = draw.normal(1, net.unet.config.in_channels, *[frames] * bool(frames), side, side)
    pixels = side * 2 ** (len(net.vae.config.block_out_channels) - 1)
    image = draw.normal(1, 3, pixels, pixels) if edits else None

    def execute():
        latent, under = noise, None
        if edits:
            latent, under = net.vae.encode(image).latent_dist.mode() * net.vae.config.scaling_factor, noise
        context = net.text_encoder(prompts)[0]
        latent = _denoised(scheduler, lambda x, t: net.unet(x, t, context).sample, steps, latent, 7.5, under, edited(steps))
        if frames:
            latent = latent[0].transpose(0, 1)
        return net.vae.decode(latent / net.vae.config.scaling_factor).sample

    return execute


def edited(steps: int) -> int:
    """How many of the steps an edit runs."""
    return max(1, int(0.8 * steps))


def shape(net: SimpleNamespace, draw: Draw, steps: int, size: int, rays: int) -> Callable:
    """Latents of a shape from a text, then 20 views of it, `size` pixels a side; `rays` at a time must divide all 20 size^2."""
    import torch
    from diffusers import HeunDiscreteScheduler
    from torch.nn.functional import normalize

    scheduler = HeunDiscreteScheduler(
        beta_schedule="exp", num_train_timesteps=1024, prediction_type="sample", use_karras_sigmas=True
    )
    prompt, wide = draw.prompts(1, net.text_encoder), net.prior.config.embedding_dim
    noise = draw.normal(1, net.prior.config.num_embeddings, wide)

    def execute():
        text = normalize(net.text_encoder(prompt).text_embeds) * math.sqrt(net.prior.config.embedding_proj_dim)
        both = torch.cat([torch.zeros_like(text), text])

        def model(x, time):  # the other half is the variance
            return net.prior(x, time, both).predicted_image_embedding[..., :wide]

        latent = _denoised(scheduler, model, steps, noise, 15.0)
        return net.renderer.decode_to_image(latent, latent.device, size=size, ray_batch_size=rays)

    return execute


def continued(net: SimpleNamespace, draw: Draw, steps: int) -> Callable:
    """`steps` tokens after a prompt of 32, keys and values cached."""
    prompt = draw.tokens(1, 32, below=net.model.config.vocab_size)
    asked = {"min_new_tokens": steps, "max_new_tokens": steps, "do_sample": False, "pad_token_id": 0}
    return lambda: net.model.generate(prompt, attention_mask=prompt.new_ones(prompt.shape), **asked)


def music(net: SimpleNamespace, draw: Draw, steps: int) -> Callable:
    """A wave from a text, `steps` codes of 20 ms in each of the codec's books, which the decoder gives one step apart."""
    prompt = draw.tokens(1, 24, below=net.model.config.text_encoder.vocab_size)
    start = dict.fromkeys(("pad_token_id", "bos_token_id", "decoder_start_token_id"), net.model.config.decoder.vocab_size)
    asked = {"max_new_tokens": music_runs(steps), "do_sample": True, "guidance_scale": 3.0, "eos_token_id": None, **start}
    return lambda: net.model.generate(prompt, attention_mask=prompt.new_ones(prompt.shape), **asked)


def music_runs(steps: int) -> int:
    return steps + 3  # books but the first, each a step behind the last


def caption(net: SimpleNamespace, draw: Draw, steps: int) -> Callable:
    """`steps` tokens about an image."""
    image = draw.normal(1, 3, *[net.model.config.vision_config.image_size] * 2)
    return lambda: net.model.generate(image, min_new_tokens=steps, max_new_tokens=steps, do_sample=False)


def once(net: SimpleNamespace, draw: Draw, steps: int, tokens: int = 0, seconds: int = 0) -> Callable:
    """What the network makes of a text or of a wave at 16 kHz: a wave as long as it decides, or likelihoods at every place."""
    given = draw.tokens(1, tokens, below=net.model.config.vocab_size) if tokens else draw.normal(1, 16000 * seconds)
    return lambda: net.model(given)[0]


# what is configured otherwise than the class does by itself: in full, and what is scaled down of that
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
    "num_attention_heads": 16, "attention_head_dim": 64, "num_layers": 24, "embedding_dim": 1024, "num_embeddings": 1024, "additional_embeddings": 0,
    "time_embed_act_fn": "gelu", "norm_in_type": "layer", "encoder_hid_proj_type": None, "added_emb_type": None, "time_embed_dim": 4096,
    "embedding_proj_dim": 768, "clip_embed_dim": 2048,
}  # fmt: skip
PRIOR_NARROW = {
    "num_attention_heads": 4, "attention_head_dim": 16, "num_layers": 2, "embedding_dim": 64, "num_embeddings": 128, "time_embed_dim": 256,
    "embedding_proj_dim": 64, "clip_embed_dim": 128,
}  # fmt: skip
RENDERER_NARROW = {"param_shapes": ((32, 93), (32, 32), (32, 32), (32, 32)), "d_latent": 64, "d_hidden": 32}  # 4 x 32 embeddings
MUSICGEN = {
    "text_encoder": {"model_type": "t5", "d_model": 768, "d_ff": 3072, "num_layers": 12, "num_heads": 12},
    "audio_encoder": {
        "model_type": "encodec", "sampling_rate": 32000, "target_bandwidths": [2.2], "num_filters": 64, "upsampling_ratios": [8, 5, 4, 4],
        "codebook_size": 2048, "use_causal_conv": False,
    },
    "decoder": {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "ffn_dim": 4096},
}  # fmt: skip
MUSICGEN_NARROW = {
    "text_encoder": {
        "model_type": "t5",
        "vocab_size": 1000,
        "d_model": 64,
        "d_kv": 16,
        "d_ff": 128,
        "num_layers": 2,
        "num_heads": 4,
    },
    "audio_encoder": dict(MUSICGEN["audio_encoder"], num_filters=8, codebook_size=64),
    "decoder": {
        "vocab_size": 64,
        "hidden_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "ffn_dim": 128,
        "pad_token_id": 64,
        "bos_token_id": 64,
    },
}
VITS_NARROW = {
    "hidden_size": 64, "num_hidden_layers": 2, "ffn_dim": 128, "flow_size": 64, "prior_encoder_num_flows": 2, "spectrogram_bins": 65,
    "duration_predictor_filter_channels": 64, "upsample_initial_channel": 64, "posterior_encoder_num_wavenet_layers": 2,
}  # fmt: skip
MMS = {
    "hidden_size": 1280, "num_hidden_layers": 48, "num_attention_heads": 16, "intermediate_size": 5120, "feat_extract_norm": "layer",
    "conv_bias": True, "do_stable_layer_norm": True, "adapter_attn_dim": 16, "vocab_size": 154,
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


def _one(kind: str, full: Mapping, small: Mapping) -> dict[str, Part]:
    return {"model": Part(f"transformers:{kind}", full, small)}


# in the order of the catalogue: what it is, where on the hub, what it does, of which parts, and how much in full and scaled down
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
