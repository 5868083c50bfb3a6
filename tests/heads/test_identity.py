import torch

from fsar_core.components.registry import build


def test_identity_returns_the_same_tensors_and_no_loss():
    support, query = torch.rand(2, 3, 1, 4, 5, 2, 2), torch.rand(2, 3, 4, 5, 2, 2)
    head = build("heads", "identity")
    out = head(support, query, masks=torch.rand(2, 3))
    assert out.support is support
    assert out.query is query
    assert out.losses == {}
    assert list(head.parameters()) == []
