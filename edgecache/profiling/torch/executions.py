"""What one execution of each service does: it draws its inputs, and returns a function that gives the answer.

Simplifications: token ids and images are random, so there is no tokenizer; the number of tokens is given, so no answer ends early.
"""

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

Execution = Callable[[], Any]


class Draw:
    """Draw the inputs of executions on the CPU, so that they are the same on every device."""

    def __init__(self, seed: int, device: str, dtype: str):
        import torch

        self.torch, self.device, self.dtype = torch, device, getattr(torch, dtype)
        self.generator = torch.Generator().manual_seed(seed)

    def normal(self, *shape: int) -> Any:
        return self.torch.randn(shape, generator=self.generator).to(self.device, self.dtype)

    def tokens(self, *shape: int, below: int) -> Any:
        return self.torch.randint(below, shape, generator=self.generator).to(self.device)

    def prompts(self, count: int, encoder: Any) -> Any:
        return self.tokens(count, encoder.config.max_position_embeddings, below=encoder.config.vocab_size)


def _denoised(scheduler: Any, model: Any, steps: int, latent: Any, guidance: float, noise: Any = None, runs: int = 0) -> Any:
    """Denoise a latent, guided by a prompt and an empty one: in all steps, or with `noise` added in the last `runs` steps."""
    import torch

    scheduler.set_timesteps(steps, device=latent.device)
    times = scheduler.timesteps if noise is None else scheduler.timesteps[-runs:]
    latent = latent * scheduler.init_noise_sigma if noise is None else scheduler.add_noise(latent, noise, times[:1])
    for time in times:
        without, given = model(scheduler.scale_model_input(torch.cat([latent, latent]), time), time).chunk(2)
        latent = scheduler.step(without + guidance * (given - without), time, latent).prev_sample
    return latent


def latent_diffusion(net: SimpleNamespace, draw: Draw, steps: int, frames: int = 0, edits: bool = False) -> Execution:
    """Make an image, or a video of `frames`, from a text; `edits` starts from an image with the noise of 0.8 of the steps."""
    from diffusers import DDIMScheduler

    scheduler = DDIMScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, clip_sample=False, set_alpha_to_one=False, steps_offset=1
    )
    prompts, side = draw.prompts(2, net.text_encoder), net.unet.config.sample_size
    noise = draw.normal(1, net.unet.config.in_channels, *[frames] * bool(frames), side, side)
    pixels = side * 2 ** (len(net.vae.config.block_out_channels) - 1)
    image = draw.normal(1, 3, pixels, pixels) if edits else None

    def execute() -> Any:
        latent, added = noise, None
        if edits:
            latent, added = net.vae.encode(image).latent_dist.mode() * net.vae.config.scaling_factor, noise
        context = net.text_encoder(prompts)[0]
        latent = _denoised(scheduler, lambda x, t: net.unet(x, t, context).sample, steps, latent, 7.5, added, edited(steps))
        if frames:
            latent = latent[0].transpose(0, 1)
        return net.vae.decode(latent / net.vae.config.scaling_factor).sample

    return execute


def edited(steps: int) -> int:
    """Number of steps that an edit runs."""
    return max(1, int(0.8 * steps))


def shape(net: SimpleNamespace, draw: Draw, steps: int, size: int, rays: int) -> Execution:
    """Make a shape's latents from a text, then 20 views of `size` pixels per side; `rays`, one batch, must divide 20 size^2."""
    import torch
    from diffusers import HeunDiscreteScheduler
    from torch.nn.functional import normalize

    scheduler = HeunDiscreteScheduler(
        beta_schedule="exp", num_train_timesteps=1024, prediction_type="sample", use_karras_sigmas=True
    )
    prompt, wide = draw.prompts(1, net.text_encoder), net.prior.config.embedding_dim
    noise = draw.normal(1, net.prior.config.num_embeddings, wide)

    def execute() -> Any:
        text = normalize(net.text_encoder(prompt).text_embeds) * math.sqrt(net.prior.config.embedding_proj_dim)
        both = torch.cat([torch.zeros_like(text), text])

        def model(x: Any, time: Any) -> Any:  # the other half is the variance
            return net.prior(x, time, both).predicted_image_embedding[..., :wide]

        latent = _denoised(scheduler, model, steps, noise, 15.0)
        return net.renderer.decode_to_image(latent, latent.device, size=size, ray_batch_size=rays)

    return execute


def continued(net: SimpleNamespace, draw: Draw, steps: int) -> Execution:
    """Generate `steps` tokens after a prompt of 32; keys and values are cached."""
    prompt = draw.tokens(1, 32, below=net.model.config.vocab_size)
    options = {"min_new_tokens": steps, "max_new_tokens": steps, "do_sample": False, "pad_token_id": 0}
    return lambda: net.model.generate(prompt, attention_mask=prompt.new_ones(prompt.shape), **options)


def music(net: SimpleNamespace, draw: Draw, steps: int) -> Execution:
    """Make a wave from a text: `steps` codes of 20 ms in each of the codec's books, whose codes come one step apart."""
    prompt = draw.tokens(1, 24, below=net.model.config.text_encoder.vocab_size)
    start = dict.fromkeys(("pad_token_id", "bos_token_id", "decoder_start_token_id"), net.model.config.decoder.vocab_size)
    options = {"max_new_tokens": music_runs(steps), "do_sample": True, "guidance_scale": 3.0, "eos_token_id": None, **start}
    return lambda: net.model.generate(prompt, attention_mask=prompt.new_ones(prompt.shape), **options)


def music_runs(steps: int) -> int:
    return steps + 3  # each of the four books is one step behind the one before


def caption(net: SimpleNamespace, draw: Draw, steps: int) -> Execution:
    """Generate `steps` tokens about an image."""
    image = draw.normal(1, 3, *[net.model.config.vision_config.image_size] * 2)
    return lambda: net.model.generate(image, min_new_tokens=steps, max_new_tokens=steps, do_sample=False)


def once(net: SimpleNamespace, draw: Draw, steps: int, tokens: int = 0, seconds: int = 0) -> Execution:
    """Run the network once on a text or a wave at 16 kHz: it gives a wave, whose length it decides, or likelihoods per place."""
    given = draw.tokens(1, tokens, below=net.model.config.vocab_size) if tokens else draw.normal(1, 16000 * seconds)
    return lambda: net.model(given)[0]
