"""What tests of kdcore may ask for."""

import pytest

from kdcore.data import ArrayDataset, builtin, load_dataset


@pytest.fixture(scope="session")
def digits(tmp_path_factory: pytest.TempPathFactory) -> ArrayDataset:
    """The built-in digits: 1,437 + 360 grey images of 8x8."""
    folder = tmp_path_factory.mktemp("data") / "digits"
    builtin("digits", folder)
    return load_dataset(folder)
