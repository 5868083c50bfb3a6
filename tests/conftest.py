from pathlib import Path

import pytest
import torch

FAULTS = Path(__file__).parent / "faults"


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """The harness of faults takes half an hour and is run where it is asked for by its path (`make faults`)."""
    asked = any(FAULTS.name in argument for argument in config.args)
    return True if collection_path == FAULTS and not asked else None


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small tensors compute fastest, and always alike, on one thread."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
