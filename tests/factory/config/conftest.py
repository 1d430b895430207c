"""An empty config file, and the message of what cannot be loaded."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError


@pytest.fixture
def empty(tmp_path):
    file = tmp_path / "empty.yaml"
    file.write_text("{}\n")
    return file


@pytest.fixture
def refusal(empty):
    """Function of arguments -> the one line that refuses them."""

    def message(*arguments: str) -> str:
        with pytest.raises(ConfigError) as caught:
            load(empty, list(arguments))
        assert "\n" not in str(caught.value)
        return str(caught.value)

    return message
