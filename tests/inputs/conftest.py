"""Stores and splits of the loader's tests."""

from tests.episodes.test_loader import frame_store, index, split  # noqa: F401
