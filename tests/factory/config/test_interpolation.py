"""Values may name others and the environment; what cannot be filled in is one line."""

from __future__ import annotations

import pytest

from factory.config import load
from factory.errors import ConfigError


@pytest.fixture
def file(tmp_path):
    """Function of YAML text -> a config file."""

    def write(text: str):
        path = tmp_path / "a.yaml"
        path.write_text(text)
        return path

    return write


def test_a_value_may_name_another_and_the_environment(file, monkeypatch):
    monkeypatch.setenv("FACES", "/data/set #2")
    path = file(
        "source: {kind: folder, path: '${oc.env:FACES}'}\n"
        "release: {dataset: faces, version: 1.10, title: 'Faces ${release.version}'}\n"
        "training: {out: 'runs/${release.dataset}/${training.seed}', seed: 7}\n"
    )
    config = load(path, ["training.seed=8"])
    assert config.source.path == "/data/set #2"
    assert config.release.title == "Faces 1.10"
    assert config.training.out == "runs/faces/8"  # arguments are laid over first
    assert load(path, ["source.path=${release.dataset}"]).source.path == "faces"


def test_numbers_are_named_too(file):
    path = file("plan: {micro_batch: 16, topup_batch: '${plan.micro_batch}'}\n")
    assert load(path).plan.topup_batch == 16


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${release.versio}", "release.title: got '${release.versio}' (Interpolation key"),
        ("${oc.env:NOT_SET_ANYWHERE}", "release.title: got '${oc.env:NOT_SET_ANYWHERE}' ("),
        ("${release}", "release.title: got '${release}' (Interpolation to parent"),
        ("${source}", "release.title: got '${source}', which names no single value"),
        ("${release.title}", "release.title: got '${release.title}' ("),
        ("${", "release.title: got '${' ("),
    ],
)
def test_what_cannot_be_filled_in_is_one_line(file, text, message):
    with pytest.raises(ConfigError) as caught:
        load(file(f"source: {{kind: starter}}\nrelease: {{version: 0.1.0, title: '{text}'}}\n"))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["AWS_SECRET_ACCESS_KEY", "HF_TOKEN", "DB_PASSWORD"])
def test_credentials_are_refused_even_where_they_are_set(file, monkeypatch, name):
    monkeypatch.setenv(name, "hunter2")
    with pytest.raises(ConfigError, match=r"release\.title: .* want no credentials") as caught:
        load(file(f"release: {{title: 'x ${{oc.env:{name}}}'}}\n"))
    assert "hunter2" not in str(caught.value)
