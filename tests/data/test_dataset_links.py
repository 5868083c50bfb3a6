"""A data set's link below the data root belongs to one folder."""

import pytest

from fsar_core.data.new_dataset import link
from fsar_core.errors import FsarError


def test_a_link_to_the_same_folder_is_used_again_and_to_another_refused(tmp_path):
    root, videos, others = tmp_path / "data", tmp_path / "videos", tmp_path / "others"
    for folder in (root, videos, others):
        folder.mkdir()
    assert link(videos, root, "mine") == link(videos, root, "mine") == "mine"
    with pytest.raises(FsarError, match=r"mine is there already.* choose another --name"):
        link(others, root, "mine")
    assert (root / "mine").resolve() == videos


def test_a_link_to_a_missing_folder_is_refused(tmp_path):
    root, videos = tmp_path / "data", tmp_path / "videos"
    root.mkdir()
    videos.mkdir()
    (root / "mine").symlink_to(tmp_path / "gone")
    with pytest.raises(FsarError, match="mine is there already"):
        link(videos, root, "mine")
