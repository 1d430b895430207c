"""Shared fixtures: a tiny source of drawn faces, and untrained networks of a second or two."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import pytest
import torch
from hypothesis import settings
from PIL import Image
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

from factory import checkpoint
from factory.config import AcceptanceConfig, Config, StoreConfig, load
from factory.diffusion.autoencoder import build
from factory.diffusion.uvit import Shape, UViT
from factory.recognition.backbone import IResNet
from factory.recognition.quality import QualityHead
from factory.report import figures
from factory.report.figures import Plot
from tests import hub_server, s3_server
from tests.workers import OneWorkerEach

settings.register_profile("same", derandomize=True, deadline=None)
settings.load_profile("same")  # the same examples each time, whatever the clock

PEOPLE, IMAGES, PX, DIM = 4, 3, 32, 16
NAMES = tuple(f"person_{person}" for person in range(PEOPLE))
SMALL_RECOGNIZER = [
    f"source.image_px={PX}",
    "compute.device=cpu",
    "compute.precision=fp32",
    "training.log_every=1",
    "training.save_every_s=0",
    "recognizer.backbone=iresnet_mini",
    "recognizer.batch_norm=frozen",
    "recognizer.embedding_dim=16",
    "recognizer.num_virtual=8",
    "recognizer.margin_m=0.2",
    "recognizer.scale=16",
    "recognizer.lr=0.01",
]
"""A recipe whose trainings take seconds, and are the same for any number of ranks."""


ACCEPT_ALL = [f"acceptance.{field.name}=null" for field in fields(AcceptanceConfig)]
"""For trainings of a few steps, which the next stage would refuse."""


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> LoadScopeScheduling:
    """Divide the tests among the workers of `-n 2`."""
    return OneWorkerEach(config, log)


@contextmanager
def no_plot(title: str, x: str) -> Iterator[Plot]:
    """Instead of factory.report.figures.plot: half of a tiny build, and nothing that is sealed."""
    drawn = Plot(MagicMock())
    drawn.uri = "data:,"
    yield drawn


@pytest.fixture(autouse=True)
def chance_is_the_same_each_time():
    """What draws without a seed of its own draws the same, whichever tests ran before."""
    random.seed(0)
    np.random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session", autouse=True)
def plots_are_only_drawn_where_tested():
    """Only tests/factory/report has the real ones."""
    before, figures.plot = figures.plot, no_plot
    yield
    figures.plot = before


@pytest.fixture(scope="session", autouse=True)
def what_machines_keep_lies_in_a_folder_of_the_tests(tmp_path_factory):
    """Indexes of sources and copies of what is in buckets, unless a test names another folder."""
    before = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        for name, folder in (("MPLCONFIGDIR", "matplotlib"), ("HF_HOME", "huggingface")):
            patch.setenv(name, os.environ.get(name) or str(before / folder))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


def draw_face(person: int, image: int, px: int = PX) -> np.ndarray:
    """A blob whose color is the person and whose place is the image: RGB uint8 [px, px, 3]."""
    rng = np.random.default_rng(1000 * person + image)
    color = np.random.default_rng(person).integers(60, 255, 3)
    canvas = np.full((px, px, 3), 40, np.float64)
    center = px / 2 + rng.uniform(-px / 8, px / 8, 2)
    y, x = np.mgrid[:px, :px]
    canvas[(y - center[0]) ** 2 + (x - center[1]) ** 2 < (px / 3) ** 2] = color
    return np.clip(canvas + rng.normal(0, 8, canvas.shape), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def s3_endpoint():
    """Address of a real S3 server with an empty bucket, and its credentials in os.environ."""
    before = {name: os.environ.get(name) for name in s3_server.CREDENTIALS}
    os.environ.update(s3_server.CREDENTIALS)
    with s3_server.server() as endpoint:
        yield endpoint
    for name, value in before.items():
        os.environ.pop(name) if value is None else os.environ.update({name: value})


@pytest.fixture
def s3_config(s3_endpoint, tmp_path):
    """Function of StoreConfig fields -> a config whose prefix nobody else uses."""

    def make(**fields) -> StoreConfig:
        url = f"s3://{s3_server.BUCKET}/{tmp_path.parent.name}-{tmp_path.name}"
        settings = {"url": url, "endpoint_url": s3_endpoint, "path_style": True, "timeout_s": 10.0}
        return StoreConfig(**(settings | fields))

    return make


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A stand-in for the Hugging Face hub that this process asks instead, and its empty cache."""
    constants = pytest.importorskip("huggingface_hub.constants")
    with hub_server.serving() as server:
        for name, value in (
            ("ENDPOINT", server.url),
            (
                "HUGGINGFACE_CO_URL_TEMPLATE",
                server.url + "/{repo_id}/resolve/{revision}/{filename}",
            ),
            ("HF_HUB_OFFLINE", False),
            ("HF_HUB_DISABLE_XET", True),
            ("HF_HUB_CACHE", str(tmp_path / "hub")),
        ):
            monkeypatch.setattr(constants, name, value)
        monkeypatch.setenv("HF_TOKEN", hub_server.TOKEN)
        yield server


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> Path:
    """A folder of PEOPLE x IMAGES drawn faces, PX pixels, one folder an identity."""
    return draw_people(tmp_path_factory.mktemp("people"))


def draw_people(root: Path, names: Sequence[str] = NAMES) -> Path:
    """Fill a folder with IMAGES drawn faces of everybody."""
    for person, name in enumerate(names):
        folder = root / name
        folder.mkdir()
        for image in range(IMAGES):
            Image.fromarray(draw_face(person, image)).save(folder / f"{image}.png")
    return root


@pytest.fixture(scope="session")
def weights(tmp_path_factory) -> Path:
    """Checkpoints recognizer/, judge/, autoencoder/ and generator/ of untrained tiny networks."""
    return save_networks(tmp_path_factory.mktemp("weights"))


def save_networks(
    root: Path, num_virtual: int = 40, dim: int = DIM, names: Sequence[str] = NAMES
) -> Path:
    """Fill a folder with checkpoints of untrained tiny networks that know people by `names`."""
    shape = {"dim": dim, "names": names}
    recognizer = save_recognizer(root / "recognizer", seed=1, num_virtual=num_virtual, **shape)
    save_recognizer(root / "judge", seed=2, **shape)
    torch.manual_seed(3)
    unit = {"latent_mean": torch.zeros(4), "latent_std": torch.ones(4)}
    network = build((16, 16), 4, 2)
    autoencoder = save(
        root / "autoencoder",
        "autoencoder",
        dict(network.state_dict()) | unit,
        {"widths": [16, 16], "latent_channels": 4},
        {"recognizer": recognizer},
    )
    uvit = Shape(4, PX // 4, 2, None, 32, 3, 2, dim)
    denoiser = UViT(uvit)
    torch.nn.init.normal_(denoiser.final.weight, std=0.2)  # an untrained one predicts zero
    save(
        root / "generator",
        "generator",
        denoiser.state_dict(),
        {
            "shape": vars(uvit),
            "space": "latents",
            "prediction": "v",
            "num_timesteps": 100,
            "condition": "image",
            "identity_weight": 0.0,
        },
        {"recognizer": recognizer, "autoencoder": autoencoder},
    )
    return root


def save_recognizer(
    folder: Path,
    seed: int,
    quality_head: bool = False,
    num_virtual: int = 40,
    dim: int = DIM,
    names: Sequence[str] = NAMES,
) -> str:
    torch.manual_seed(seed)
    backbone = {
        f"backbone.{n}": t for n, t in IResNet("iresnet_mini", dim, PX).state_dict().items()
    }
    prototypes = {
        "prototypes.real": torch.randn(len(names), dim),
        "prototypes.virtual": torch.randn(num_virtual, dim),
    }
    config = {
        "backbone": "iresnet_mini",
        "embedding_dim": dim,
        "image_px": PX,
        "dropout": 0.0,
        "num_virtual": num_virtual,
        "real_names": list(names),
    }
    if quality_head:
        config["quality_head"] = True
        head = QualityHead(dim).state_dict()
        prototypes |= {f"quality.{n}": t for n, t in head.items()}
    metrics = {"heldout": {"cosine_at_fmr_1e-3": 0.9}}
    return save(folder, "recognizer", backbone | prototypes, config, {}, metrics)


def save(folder, kind, tensors, config, lineage, metrics=None) -> str:
    tensors = {n: t for n, t in tensors.items() if "num_batches" not in n}
    content = checkpoint.Checkpoint(kind, tensors, config, 0, metrics or {}, lineage, "")
    return checkpoint.save(folder, content)


@pytest.fixture
def release_config(people, weights, tmp_path):
    """Function of extra dotlist items -> the Config of a tiny release in a store of its own."""

    def make(*dotlist: str) -> Config:
        file = tmp_path / "release.yaml"
        file.write_text("{}\n")
        return load(file, [*tiny_dotlist(people, weights, tmp_path / "store"), *dotlist])

    return make


def tiny_dotlist(people: Path, weights: Path, store: Path) -> list[str]:
    """A release of 6 virtual people x 2 images in 3 units, kept whatever they look like."""
    named = [f"{kind}.checkpoint={weights / kind}" for kind in ("recognizer", "judge")]
    named += [f"{kind}.checkpoint={weights / kind}" for kind in ("autoencoder", "generator")]
    return [
        *named,
        "source.kind=folder",
        f"source.path={people}",
        "source.license=CC0-1.0",
        f"source.image_px={PX}",
        "identities.num_virtual=6",
        "plan.images_per_identity=2",
        "plan.identities_per_unit=2",
        "plan.micro_batch=3",
        "plan.max_rounds=2",
        "sampler.num_steps=2",
        "filters.min_own_cosine=-1",
        "filters.min_identity_gap=null",
        "filters.min_brightness=null",
        "filters.max_brightness=null",
        "filters.min_kept_fraction=null",
        "audit.max_leak_fraction=1",  # untrained networks draw anything
        "audit.accept_weak_judge=true",  # and tell nobody from anybody
        f"audit.embeddings_dir={store.parent / 'vectors'}",
        "fleet.runner=inline",
        "store.min_free_bytes=0",
        f"store.url={store}",
        "release.dataset=tiny",
        "release.pseudonyms=names",  # whose key only those tests have that want it
    ]
