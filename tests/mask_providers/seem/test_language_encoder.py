"""The language encoder against loops; prompts of different lengths in one batch; rows taken."""

import numpy as np
import pytest
import torch

from fsar_core.errors import FsarError
from fsar_core.mask_providers.seem.language_encoder import LanguageEncoder
from fsar_core.mask_providers.seem.tokenizer import encode
from tests.mask_providers.seem.tiny import TINY, arrays, random_weights
from tests.oracles import seem as oracle

PROMPTS = ["brush hair", "playing ice hockey", "YoYo"]


@pytest.fixture(scope="module")
def module() -> LanguageEncoder:
    return random_weights(LanguageEncoder(TINY))


def test_oracle(module):
    text = module(PROMPTS)
    assert text.tokens.shape == (3, 5, 16) and len(text) == 3
    for number, prompt in enumerate(PROMPTS):
        expected = oracle.language_encoder(encode(prompt), arrays(module), TINY)
        assert text.present[number].tolist() == [True] * len(expected) + [False] * (
            5 - len(expected)
        )
        np.testing.assert_allclose(text.tokens[number, : len(expected)], expected, atol=1e-10)
        np.testing.assert_allclose(text.sentence[number], expected[-1], atol=1e-10)
        assert (text.tokens[number, len(expected) :] == 0).all()


def test_small_embeddings_are_normed_as_large_ones():
    """An epsilon of 1e-12 is too small to be seen; the usual 1e-5 would shrink rows of variance 1e-5 by a third."""
    module = random_weights(LanguageEncoder(TINY))
    layer = module.resblocks[0]
    rows = torch.randn(1, 4, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    torch.testing.assert_close(layer.ln_1(rows * 3e-3), layer.ln_1(rows), rtol=1e-6, atol=1e-6)
    assert [m.eps for m in module.modules() if isinstance(m, torch.nn.LayerNorm)] == [1e-12] * 5


def test_a_batch_gives_what_each_prompt_gives_alone(module):
    text = module(PROMPTS)
    for number, prompt in enumerate(PROMPTS):
        alone = module([prompt])
        torch.testing.assert_close(alone.sentence[0], text.sentence[number])
        torch.testing.assert_close(alone.tokens[0], text.tokens[number, : alone.tokens.shape[1]])


def test_rows_in_another_order_and_repeated(module):
    text = module(PROMPTS)
    index = torch.tensor([2, 0, 2, 2])
    taken = text.take(index)
    assert len(taken) == 4
    for name in ("tokens", "present", "sentence"):
        assert torch.equal(getattr(taken, name), getattr(text, name)[index])


def test_to_another_device(module):
    text = module(PROMPTS).to("meta")
    assert {text.tokens.device.type, text.present.device.type, text.sentence.device.type} == {
        "meta"
    }


def test_a_prompt_without_text(module):
    with pytest.raises(FsarError, match="a prompt without text"):
        module(["brush hair", " "])
