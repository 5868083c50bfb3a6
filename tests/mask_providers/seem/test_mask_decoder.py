"""The mask decoder against loops; where queries may look; which one is chosen."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from fsar_core.mask_providers.seem.config import FOCAL_T
from fsar_core.mask_providers.seem.language_encoder import Text
from fsar_core.mask_providers.seem.mask_decoder import MaskDecoder, open_cells, similarity
from tests.mask_providers.seem.tiny import TINY, arrays, draw, last, random_weights
from tests.oracles import seem as oracle

SIZES = [(2, 3), (4, 6), (8, 12)]
MEMORIES = [draw(2, 16, *size, seed=i) for i, size in enumerate(SIZES)]
FEATURES = draw(2, 16, 16, 24, seed=3) + draw(16, 1, 1, seed=6)
SMALL = [F.interpolate(FEATURES, size, mode="bilinear", align_corners=False) for size in SIZES]
TEXT = Text(
    torch.cat(
        [draw(2, 3, 16, seed=4), torch.tensor([1.0, 0.0]).view(2, 1, 1) * draw(1, 1, 16, seed=5)],
        dim=1,
    ),
    torch.tensor([[True] * 4, [True] * 3 + [False]]),
    draw(2, 16, seed=6),
)


@pytest.fixture(scope="module")
def module() -> MaskDecoder:
    return random_weights(MaskDecoder(TINY))


def test_oracle(module):
    """Two images with texts of different lengths."""
    found = module(MEMORIES, SMALL, TEXT)
    masks = torch.einsum("bqd,bdhw->bqhw", found.mask, FEATURES)
    for n in range(2):
        text = list(TEXT.tokens[n, TEXT.present[n]].numpy())
        memories = [last(memory[n : n + 1]) for memory in MEMORIES]
        meanings, logits = oracle.mask_decoder(
            memories, last(FEATURES[n : n + 1]), text, arrays(module), TINY
        )
        np.testing.assert_allclose(found.meaning[n], meanings, atol=1e-9)
        np.testing.assert_allclose(masks[n], logits, atol=1e-9)


def test_some_queries_of_the_oracles_test_are_blocked_and_some_have_an_empty_mask(module):
    """Else that test would see nothing of either rule."""
    masks = module.heads(module.query_feat.weight.expand(2, -1, -1)).mask @ SMALL[0].flatten(2)
    empty = (masks < 0).all(-1)
    assert empty.any() and not empty.all()
    assert ((masks < 0).any(-1) & ~empty).any()


def test_open_cells():
    masks = torch.tensor([[[-1.0, 0.0, 2.0], [-1.0, -2.0, -3.0], [1.0, 1.0, 1.0]]])
    assert open_cells(masks).tolist() == [
        [[False, True, True], [True, True, True], [True, True, True]]
    ]


def test_what_lies_outside_its_mask_does_not_reach_a_query():
    """One layer: a query's mask is made with the features alone, so memory outside it may be anything."""
    module = random_weights(MaskDecoder(TINY))
    del module.layers[1:]
    masks = module.heads(module.query_feat.weight[None]).mask @ SMALL[0][:1].flatten(2)
    closed = ~open_cells(masks).any(1)[0]
    single = Text(TEXT.tokens[:1], TEXT.present[:1], TEXT.sentence[:1])
    small, memories = [s[:1] for s in SMALL], [m[:1] for m in MEMORIES]
    for cell in range(6):
        changed = memories[0].clone()
        changed.flatten(2)[..., cell] += 1
        same = torch.equal(
            module(memories, small, single).mask,
            module([changed, *memories[1:]], small, single).mask,
        )
        assert same == bool(closed[cell])


def test_levels_alternate_coarsest_first():
    for depth, used in ((1, {0}), (2, {0, 1}), (3, {0, 1, 2})):
        module = random_weights(MaskDecoder(TINY))
        del module.layers[depth:]
        before = module(MEMORIES, SMALL, TEXT).meaning
        for level in range(3):
            memories = list(MEMORIES)
            memories[level] = memories[level] + draw(2, 16, *SIZES[level], seed=9)
            changed = not torch.equal(before, module(memories, SMALL, TEXT).meaning)
            assert changed == (level in used)


def test_what_pads_a_text_has_no_say(module):
    padded = TEXT.tokens.clone()
    padded[1, 3] = 100.0
    found = module(MEMORIES, SMALL, Text(padded, TEXT.present, TEXT.sentence))
    torch.testing.assert_close(found.meaning, module(MEMORIES, SMALL, TEXT).meaning)


def test_the_text_does_have_one(module):
    other = Text(TEXT.tokens.flip(0)[:, :3], TEXT.present[:, :3] | True, TEXT.sentence)
    same = Text(TEXT.tokens[:, :3], TEXT.present[:, :3] | True, TEXT.sentence)
    difference = module(MEMORIES, SMALL, other).meaning - module(MEMORIES, SMALL, same).meaning
    assert difference.abs().max() > 1e-2


def test_similarity():
    queries, sentence = draw(2, 3, 4), draw(2, 4, seed=1)
    found = similarity(queries, sentence)
    for n, q in np.ndindex(2, 3):
        assert found[n, q].item() == pytest.approx(
            oracle.cosine(queries[n, q].numpy(), sentence[n].numpy()), abs=1e-12
        )
    assert similarity(queries.bfloat16(), sentence.bfloat16()).dtype == torch.float32
    assert similarity(torch.zeros(1, 1, 4), torch.ones(1, 4)).item() == 0


def test_published_size():
    """39.81 million numbers, of which 820 736 are for strokes."""
    with torch.device("meta"):
        module = MaskDecoder(FOCAL_T)
    strokes = 3 * 512 * 512 + 2 * 32 * 512 + 2 * 512
    assert (sum(p.numel() for p in module.parameters()) + strokes) / 1e6 == pytest.approx(
        39.81, abs=0.005
    )
