"""Frames to the network's input and masks back, against Pillow and closed forms."""

import numpy as np
import pytest
import torch
from PIL import Image

from fsar_core.mask_providers.seem import images
from tests.mask_providers.seem.tiny import draw, frames
from tests.oracles import seem as oracle


@pytest.mark.parametrize(
    ("height", "width", "size", "expected"),
    [
        (480, 640, 512, (512, 683)),  # 682.67
        (640, 480, 512, (683, 512)),
        (256, 256, 512, (512, 512)),
        (1080, 1920, 512, (512, 910)),  # 910.2
        (300, 900, 512, (341, 1024)),  # the long side would be 1536
        (900, 300, 512, (1024, 341)),
        (256, 256, 224, (224, 224)),
        (100, 300, 224, (149, 448)),
    ],
)
def test_test_size(height, width, size, expected):
    assert images.test_size(height, width, size) == expected


@pytest.mark.parametrize(("height", "width"), [(90, 120), (300, 200), (64, 64)])
def test_resized_as_pillow_does(height, width):
    found = images.resized(frames(2, height, width), 64)
    assert found.dtype == torch.uint8
    for frame, small in zip(frames(2, height, width), found):
        picture = Image.fromarray(frame.movedim(0, -1).numpy())
        picture = picture.resize((small.shape[2], small.shape[1]), Image.Resampling.BILINEAR)
        difference = np.abs(
            np.asarray(picture).astype(int) - small.movedim(0, -1).numpy().astype(int)
        )
        assert difference.max() <= 1


def test_floating_frames_are_resized_without_rounding():
    rounded, exact = (
        images.resized(frames(1, 90, 120), 64),
        images.resized(frames(1, 90, 120).float(), 64),
    )
    assert exact.dtype == torch.float32 and (exact - exact.round()).abs().max() > 0.4
    assert (exact - rounded.float()).abs().max() <= 1


def test_normalised_then_padded():
    found = images.normalised(frames(1, 40, 33), torch.float64)
    assert found.shape == (1, 3, 64, 64)
    for channel, (mean, std) in enumerate(((123.675, 58.395), (116.28, 57.12), (103.53, 57.375))):
        expected = (frames(1, 40, 33)[0, channel].double() - mean) / std
        torch.testing.assert_close(found[0, channel, :40, :33], expected, rtol=1e-12, atol=1e-12)
    assert (found[..., 40:, :] == 0).all() and (found[..., 33:] == 0).all()
    assert images.normalised(frames(1, 64, 32), torch.float32).shape == (1, 3, 64, 32)
    assert images.normalised(frames(1, 32, 32), torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("wanted", [(30, 40), (45, 70), (12, 9)])
def test_restored(wanted):
    """Bilinear to four times the size by loops, cut, then Pillow's bicubic filter on floating numbers."""
    logits = draw(2, 8, 12)
    found = images.restored(logits, (30, 40), wanted)
    for small, mask in zip(logits.numpy(), found):
        whole = oracle.bilinear(small[..., None], 32, 48)[..., 0]
        picture = Image.fromarray(whole[:30, :40].astype(np.float32))
        expected = np.asarray(picture.resize(wanted[::-1], Image.Resampling.BICUBIC))
        np.testing.assert_allclose(mask, expected, atol=1e-5)


def test_restored_in_single_precision_or_better():
    assert images.restored(draw(1, 8, 8).bfloat16(), (32, 32), (16, 16)).dtype == torch.float32
    assert images.restored(draw(1, 8, 8), (32, 32), (16, 16)).dtype == torch.float64


def test_what_is_padded_does_not_come_back():
    logits = torch.full((1, 8, 8), -1.0)
    logits[:, 6:] = 50.0
    assert images.restored(logits, (20, 32), (20, 32)).max() == -1
