import os
from collections import OrderedDict

import pytest
import torch
from torch import nn

from fsar_core.components.backbone import Backbone
from fsar_core.components.weights import load_strictly, read_state_dict
from fsar_core.errors import FsarError


@pytest.fixture
def backbone() -> Backbone:
    torch.manual_seed(0)
    stages = OrderedDict(
        first=nn.Conv2d(3, 4, 2, 2), second=nn.Conv2d(4, 5, 2, 2), last=nn.Conv2d(5, 6, 1)
    )
    return Backbone(stages, mean=(0.5, 0.25, 0.0), std=(0.5, 0.25, 2.0))


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randint(
        256, (2, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(1)
    )


def test_cuts_are_the_stages_in_order(backbone):
    assert backbone.cuts == ("frames", "first", "second", "last")


def test_normalise_by_hand(backbone):
    images = torch.tensor([0, 255, 51], dtype=torch.uint8).view(1, 3, 1, 1)
    torch.testing.assert_close(backbone.normalise(images).flatten(), torch.tensor([-1.0, 3.0, 0.1]))


@pytest.mark.parametrize(
    ("cut", "shape"),
    [("frames", (3, 8, 8)), ("first", (4, 4, 4)), ("second", (5, 2, 2)), ("last", (6, 2, 2))],
)
def test_cut_and_tail_make_the_whole(backbone, images, cut, shape):
    at_cut = backbone.to_cut(images, cut)
    assert at_cut.shape == (2, *shape)
    hidden = backbone.normalise(images)
    for stage in backbone.stages.values():
        hidden = stage(hidden)
    torch.testing.assert_close(backbone.tail(cut)(at_cut), hidden)


def test_a_tail_is_the_backbones_own_stages(backbone):
    assert list(backbone.tail("first")) == [backbone.stages["second"], backbone.stages["last"]]
    assert list(backbone.tail("frames")) == [backbone.normalise, *backbone.stages.values()]
    assert isinstance(backbone.tail("last"), nn.Identity)


def test_nothing_is_done_before_the_cut_frames(backbone, images):
    assert backbone.to_cut(images, "frames") is images


@pytest.mark.parametrize("call", [lambda b, x: b.to_cut(x, "secnd"), lambda b, x: b.tail("secnd")])
def test_an_unknown_cut_is_refused(backbone, images, call):
    with pytest.raises(FsarError, match="unknown cut 'secnd' of backbone; did you mean 'second'"):
        call(backbone, images)


def test_normalisation_is_no_part_of_the_weights(backbone):
    assert {key.split(".")[0] for key in backbone.state_dict()} == {"stages"}


def test_state_dict_round_trip(backbone, tmp_path):
    torch.save(backbone.state_dict(), tmp_path / "weights.pt")
    other = Backbone(OrderedDict(backbone.stages), mean=(0.0,) * 3, std=(1.0,) * 3)
    load_strictly(other, read_state_dict(tmp_path / "weights.pt"), "weights.pt")
    for key, value in backbone.state_dict().items():
        torch.testing.assert_close(other.state_dict()[key], value, rtol=0, atol=0)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(FsarError, match=r"absent\.pt: no such weights file"):
        read_state_dict(tmp_path / "absent.pt")


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: whole[: len(whole) // 2],
        lambda whole: whole[:-1],
        lambda whole: b"",
        lambda whole: b"GIF89a",
    ],
    ids=["half", "last byte", "empty", "text"],
)
def test_a_damaged_file_is_refused(backbone, tmp_path, damage):
    path = tmp_path / "weights.pt"
    torch.save(backbone.state_dict(), path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        FsarError, match=r"weights\.pt: not a state dict that loads with weights_only=True"
    ) as caught:
        read_state_dict(path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [[torch.zeros(1)], {"state_dict": {"w": torch.zeros(1)}}, torch.zeros(2)], ids=type
)
def test_something_else_is_refused(tmp_path, value):
    torch.save(value, tmp_path / "weights.pt")
    with pytest.raises(FsarError, match="expected a state dict of tensors, found"):
        read_state_dict(tmp_path / "weights.pt")


class Harmful:
    """Unpickling this would create a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_pickled_code_is_not_run(tmp_path):
    trap = tmp_path / "trap"
    torch.save({"w": Harmful(trap)}, tmp_path / "weights.pt")
    with pytest.raises(FsarError, match="weights_only=True"):
        read_state_dict(tmp_path / "weights.pt")
    assert not trap.exists()


def test_a_flipped_weight_is_found(tmp_path):
    path = tmp_path / "weights.pt"
    torch.save({"w": torch.full((50,), 1.5)}, path)
    whole = path.read_bytes()
    at = whole.index(b"\x00\x00\xc0\x3f" * 50) + 83
    path.write_bytes(whole[:at] + b"\x40" + whole[at + 1 :])
    with pytest.raises(FsarError) as error:
        read_state_dict(path)
    assert str(error.value) == (
        f"{path}: damaged ('weights/data/0' is not as its checksum says); mend it with `fsar repair {path}` if the pipeline "
        f"trained it, else get it anew"
    )


def test_files_of_before_torch_1_6_are_no_zip_files(tmp_path):
    torch.save({"w": torch.ones(3)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    assert read_state_dict(tmp_path / "old.pth")["w"].tolist() == [1.0, 1.0, 1.0]


def test_the_first_difference_is_named():
    module = nn.Sequential(OrderedDict(a=nn.Linear(2, 2), b=nn.Linear(2, 3)))
    state = module.state_dict()
    without = {key: value for key, value in state.items() if not key.startswith("a")}
    with pytest.raises(
        FsarError, match=r"^w\.pt: no weights of Sequential: lacks 'a\.weight' and 1 more$"
    ):
        load_strictly(module, without, "w.pt")
    with pytest.raises(
        FsarError, match=r"^w\.pt: no weights of Sequential: has the unknown 'c\.bias' and 0 more$"
    ):
        load_strictly(module, state | {"c.bias": torch.zeros(1)}, "w.pt")
    with pytest.raises(
        FsarError,
        match=r"^w\.pt: no weights of Sequential: 'b\.weight' is \(3, 3\), expected \(3, 2\)$",
    ):
        load_strictly(module, state | {"b.weight": torch.zeros(3, 3)}, "w.pt")
    load_strictly(module, state, "w.pt")


def test_a_refused_file_changes_nothing():
    module = nn.Linear(2, 2)
    before = module.weight.detach().clone()
    with pytest.raises(FsarError):
        load_strictly(module, {"weight": torch.zeros(2, 2)}, "w.pt")
    torch.testing.assert_close(module.weight.detach(), before, rtol=0, atol=0)


def test_batch_counters_may_be_missing():
    """As in the files that torchvision published before BatchNorm counted batches."""
    module, old = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
    nn.init.uniform_(old.weight)
    state = old.state_dict()
    del state["num_batches_tracked"]
    load_strictly(module, state, "old.pt")
    torch.testing.assert_close(module.weight, old.weight)
    assert module.num_batches_tracked.item() == 0
    del state["running_var"]
    with pytest.raises(FsarError, match="lacks 'running_var' and 0 more"):
        load_strictly(module, state, "old.pt")
