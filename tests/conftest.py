from pathlib import Path

import pytest
import torch

from tests.buckets import bucket, s3_address  # noqa: F401

FAULTS = Path(__file__).parent / "faults"


def pytest_ignore_collect(collection_path, config):
    """tests/faults takes long: collected only where it is named, or where `-m` speaks of it."""
    if collection_path != FAULTS or "faults" in (config.option.markexpr or ""):
        return None
    named = (config.invocation_params.dir.joinpath(word.split("::")[0]).resolve() for word in config.args)
    return None if any(path.is_relative_to(FAULTS) for path in named) else True


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors compute fastest, and always alike, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
