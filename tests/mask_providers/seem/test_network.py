"""The whole network: against loops, batches, precision, devices."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch

from fsar_core.mask_providers.seem import images as pictures
from fsar_core.mask_providers.seem.config import FOCAL_T
from fsar_core.mask_providers.seem.network import SEEM
from fsar_core.mask_providers.seem.tokenizer import encode
from tests.mask_providers.seem.tiny import CONFIGS, arrays, draw, frames, last, network
from tests.oracles import seem as oracle

PROMPTS = ["brush hair", "playing ice hockey"]


@pytest.fixture(scope="module", params=CONFIGS.values(), ids=CONFIGS)
def seem(request) -> SEEM:
    return network(request.param)


def test_oracle(seem):
    inputs = draw(2, 3, 32, 64)
    logits, score = seem.ground(inputs, seem.encode_text(PROMPTS))
    for n, prompt in enumerate(PROMPTS):
        expected = oracle.seem(last(inputs[n : n + 1]), encode(prompt), arrays(seem), seem.config)
        np.testing.assert_allclose(logits[n], expected[0], atol=1e-8)
        assert score[n].item() == pytest.approx(expected[1], abs=1e-9)


def test_from_frames_to_masks_of_their_size(seem):
    """Resized to 36 x 48, padded to 64 x 64, and back."""
    shown, text = frames(2, 45, 60), seem.encode_text(PROMPTS)
    masks, score = seem(shown, text, size=36)
    inputs = pictures.normalised(pictures.resized(shown, 36), torch.float64)
    assert inputs.shape == (2, 3, 64, 64)
    logits, expected = seem.ground(inputs, text)
    assert masks.shape == (2, 45, 60) and masks.dtype == score.dtype == torch.float32
    torch.testing.assert_close(masks, pictures.restored(logits, (36, 48), (45, 60)).float())
    torch.testing.assert_close(score, expected.float())


def test_the_test_size_is_512_unless_told():
    seem, shown = network(), frames(1, 20, 24)
    text = seem.encode_text(PROMPTS[:1])
    torch.testing.assert_close(seem(shown, text)[0], seem(shown, text, size=512)[0])
    assert not torch.allclose(seem(shown, text)[0], seem(shown, text, size=256)[0])


def test_a_batch_gives_what_each_frame_gives_alone(seem):
    shown, text = frames(4, 40, 40), seem.encode_text(PROMPTS).take(torch.tensor([1, 0, 0, 1]))
    masks, score = seem(shown, text, size=64)
    for n in range(4):
        alone, alone_score = seem(
            shown[n : n + 1], seem.encode_text([PROMPTS[(1, 0, 0, 1)[n]]]), size=64
        )
        torch.testing.assert_close(masks[n], alone[0])
        torch.testing.assert_close(score[n], alone_score[0])


def test_the_prompt_decides(seem):
    shown = frames(1, 40, 40)
    first, second = (seem(shown, seem.encode_text([prompt]), size=64)[0] for prompt in PROMPTS)
    assert (first - second).abs().max() > 1e-2


def test_floating_frames(seem):
    text = seem.encode_text(PROMPTS[:1])
    shown = frames(1, 64, 64)
    torch.testing.assert_close(seem(shown, text, size=64), seem(shown.double(), text, size=64))


def test_every_parameter_has_a_say():
    """The chosen mask and its score depend on all of them: nothing that is loaded is dead."""
    seem = network().requires_grad_(True)
    logits, score = seem.ground(draw(1, 3, 64, 64), seem.language_encoder(PROMPTS[:1]))
    (logits.square().mean() + score.sum()).backward()
    assert [name for name, p in seem.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_forward_keeps_no_gradients():
    seem = network().requires_grad_(True)
    text = seem.encode_text(PROMPTS[:1])
    assert (
        not text.tokens.requires_grad
        and not seem(frames(1, 32, 32), text, size=32)[0].requires_grad
    )


def test_a_text_for_every_frame(seem):
    with pytest.raises(ValueError, match="2 texts for 3 images; expected one each"):
        seem(frames(3, 32, 32), seem.encode_text(PROMPTS), size=32)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
@pytest.mark.parametrize(
    ("dtype", "share"), [(torch.bfloat16, 1), (torch.float16, 1 / 8)], ids=["bfloat16", "float16"]
)
@pytest.mark.parametrize("how", ["autocast", "converted"])
def test_half_precision(how, dtype, share, config):
    """What differs is rounding: float16 has three bits more than bfloat16 and is eight times nearer."""
    config = replace(
        config, channels=(24, 32, 40, 48), dim=32
    )  # norms of four channels would make much of little
    single, half = network(config).float(), network(config).float()
    if how == "converted":
        half.to(dtype)
    shown = frames(2, 64, 64)
    with torch.no_grad(), torch.autocast("cpu", dtype, enabled=how == "autocast"):
        text = half.encode_text(PROMPTS)
        maps = half.backbone(pictures.normalised(shown, half.mask_decoder.class_embed.dtype))
        memories, finest = half.pixel_decoder(maps)
        masks, score = half(shown, text, size=64)
    with torch.no_grad():
        wanted_text = single.encode_text(PROMPTS)
        wanted = single.backbone(pictures.normalised(shown, torch.float32))
        wanted_memories, wanted_finest = single.pixel_decoder(wanted)
        wanted_masks, wanted_score = single(shown, wanted_text, size=64)
    assert memories[0].dtype == dtype and masks.dtype == score.dtype == torch.float32
    pairs = [*zip(maps, wanted), *zip(memories, wanted_memories), (finest, wanted_finest)]
    for found, expected in [
        *pairs,
        (text.tokens, wanted_text.tokens),
        (text.sentence, wanted_text.sentence),
    ]:
        error = (found.float() - expected).norm() / expected.norm()
        # How much bfloat16 loses depends on the kernels of the processor: 0.08 to 0.11 were seen.
        assert 1e-5 < error < 0.15 * share
    assert (score - wanted_score).abs().max() < 0.02 * share
    inside, expected = masks > 0, wanted_masks > 0
    assert (inside & expected).sum() / (inside | expected).sum() > 1 - 0.2 * share


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_everything_follows_the_module_to_its_device(config):
    """Nothing is computed on the meta device, but a tensor that was left on the CPU would be refused there."""
    seem = network(config).to("meta")
    masks, score = seem(
        torch.empty(2, 3, 40, 50, device="meta"), seem.encode_text(PROMPTS), size=64
    )
    assert masks.device.type == score.device.type == "meta" and masks.shape == (2, 40, 50)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_on_a_gpu(seem):
    """Random weights make much of rounding, so it is compared in double precision."""
    shown, seem = frames(2, 45, 60).double(), copy.deepcopy(seem).double()
    masks, score = seem(shown, seem.encode_text(PROMPTS), size=64)
    seem.to("cuda")
    found, found_score = seem(shown.cuda(), seem.encode_text(PROMPTS), size=64)
    torch.testing.assert_close(found.cpu(), masks, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found_score.cpu(), score, rtol=1e-6, atol=1e-6)


def test_published_size():
    """164 619 392 numbers in the file, less those that are not needed."""
    with torch.device("meta"):
        seem = SEEM(FOCAL_T)
    spared = 1 + 3 * 512 * 512 + 2 * 32 * 512 + 2 * 512 + 134 + 9
    assert sum(p.numel() for p in seem.parameters()) == 164_619_392 - spared
