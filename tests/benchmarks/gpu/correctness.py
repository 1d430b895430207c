"""Every path of a device against the CPU in float64: relative errors."""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional as F

from factory.config import RecognizerConfig
from factory.diffusion.noise_schedule import NoiseSchedule
from factory.diffusion.sampler import SAMPLERS, sample
from factory.identities.gallery import Gallery, exact_cosines
from factory.identities.search import cpu_neighbors, pick_neighbors
from factory.images import to_network
from factory.recognition.prototypes import Prototypes
from factory.training.distributed import autocast
from tests.benchmarks.gpu.machine import Budget
from tests.benchmarks.gpu.reference import (
    float64_by_default,
    in_float64,
    margin_softmax,
    relative_error,
    scores_of,
)
from tests.benchmarks.gpu.starter_maker import DIM, open_maker, random_people, real_faces, shots_for


def measure(device: torch.device, budget: Budget) -> dict[str, dict[str, float]]:
    """Errors by path."""
    size = 2 if budget.small else 16
    return {
        "networks": networks(device, size, budget.small),
        "classifier": classifier(device),
        "schedule_and_samplers": schedule_and_samplers(device),
        "search": search(device, 500 if budget.small else 20_000),
        "scores": scores(device, size, 200 if budget.small else 20_000),
    }


@torch.inference_mode()
def networks(device: torch.device, size: int, small: bool) -> dict[str, float]:
    """A call of the U-ViT, a decoding, an encoding, and embeddings, in both precisions."""
    faces, errors = real_faces(size), {}
    shots = shots_for(size, small)
    for precision in ("fp32", "bf16"):
        maker = open_maker(device, precision, random_people(100))
        call = maker.latents(shots, size)
        with autocast(device, precision):
            output = maker.network(*call)
        with float64_by_default():
            on_cpu = [x.cpu().double() if x.is_floating_point() else x.cpu() for x in call]
            wanted = in_float64(maker.network)(*on_cpu)
        errors[f"uvit_{precision}"] = relative_error(output, wanted)
        autoencoder = maker.autoencoder
        z = autoencoder.encode(faces)
        moments = in_float64(autoencoder.network).encoder(_blocks_of(faces, autoencoder.block))
        mean = moments[:, : autoencoder.channels]
        scaled = (mean - autoencoder.mean.view(1, -1, 1, 1)) / autoencoder.std.view(1, -1, 1, 1)
        errors[f"encoder_{precision}"] = relative_error(z, scaled)
        decoded = autoencoder.decode(z.to(device))
        blocks = in_float64(autoencoder.network).decoder(
            z.double() * autoencoder.std.view(1, -1, 1, 1) + autoencoder.mean.view(1, -1, 1, 1)
        )
        wanted = F.pixel_shuffle(blocks, autoencoder.block)
        errors[f"decoder_{precision}"] = relative_error(decoded, wanted)
    unit_BD = torch.from_numpy(maker.recognizer.embed(faces))
    backbone = in_float64(maker.recognizer.backbone)
    wanted = F.normalize(backbone(to_network(faces).double()))
    return errors | {"embeddings": relative_error(unit_BD, wanted)}


def _blocks_of(faces: np.ndarray, block: int) -> torch.Tensor:
    return F.pixel_unshuffle(to_network(faces).double(), block)


def classifier(device: torch.device) -> dict[str, float]:
    """Loss, gradients of features and of rows, full softmax, against torch's cross-entropy."""
    recipe = RecognizerConfig(embedding_dim=64, weight_decay=0.0, scale=32.0)
    prototypes = Prototypes(recipe, 500, seed=1).to(device)
    weight_RD = prototypes.weight_RD.detach().cpu().double().requires_grad_()
    draw = torch.Generator().manual_seed(0)
    features = torch.randn(48, 64, generator=draw)
    labels_B = torch.randint(0, 500, (48,), generator=draw)
    on_cpu = features.double().requires_grad_()
    wanted = margin_softmax(recipe, weight_RD, on_cpu, labels_B, 0.4)
    wanted.backward()
    on_device = features.to(device).requires_grad_()
    nobody = (torch.zeros(0, dtype=torch.long), torch.zeros(0, 64, device=device))
    loss = prototypes.loss(on_device, labels_B.to(device), *nobody, margin=0.4)
    loss.backward()
    prototypes.step(0.0)  # whose momentum is the gradient after the first
    return {
        "loss": relative_error(loss, wanted),
        "gradient_of_features": relative_error(on_device.grad, on_cpu.grad),
        "gradient_of_rows": relative_error(prototypes.momentum_RD, weight_RD.grad),
    }


def schedule_and_samplers(device: torch.device) -> dict[str, float]:
    """Noise, v, and every sampler with a denoiser that is known in closed form."""
    schedule, draw = NoiseSchedule(1000), torch.Generator().manual_seed(0)
    x, noise = (torch.randn(4, 3, 8, 8, generator=draw) for _ in range(2))
    t_B = torch.tensor([1, 300, 700, 999])

    def denoise(x_t: torch.Tensor, t: int) -> torch.Tensor:
        return 0.5 * torch.tanh(x_t)

    errors = {}
    there = [a.to(device) for a in (x, noise, t_B)]
    here = [x.double(), noise.double(), t_B]
    for name in ("add_noise", "target"):
        more = ("v",) if name == "target" else ()
        function = getattr(schedule, name)
        errors[name] = relative_error(function(*there, *more), function(*here, *more))
    for kind in SAMPLERS:
        drawn = sample(kind, denoise, there[1], schedule, 12)
        errors[kind] = relative_error(drawn, sample(kind, denoise, here[1], schedule, 12))
    return errors


def search(device: torch.device, count: int) -> dict[str, float]:
    """The search of a gallery against its band, its answers and neighbors against float64."""
    unit_GD, query_MD = random_people(count), random_people(64, seed=1)
    query_MD[::2] = near(unit_GD[:32], query_MD[::2])
    gallery = Gallery(DIM)  # with what this process has at hand
    gallery.add(unit_GD)
    exact_MG = query_MD.astype(np.float64) @ unit_GD.astype(np.float64).T
    cosine_MG = gallery._search.cosines(query_MD, unit_GD, 0).float().cpu().numpy()
    bands = np.vectorize(gallery._search.band)(exact_MG)
    nearest, index = gallery.nearest_with_index(query_MD)
    rows = np.arange(len(query_MD))
    best = exact_cosines(query_MD, rows, unit_GD, exact_MG.argmax(1))
    limit = float(np.median(best))
    same = gallery.too_near(query_MD, limit) == (best >= limit)
    neighbors = pick_neighbors()(query_MD, unit_GD, 8) == cpu_neighbors(query_MD, unit_GD, 8)
    return {
        "error_over_band": float((np.abs(cosine_MG - exact_MG) / bands).max()),
        "nearest": float(np.abs(nearest - best).max()),
        "index_same": float((index == exact_MG.argmax(1)).mean()),
        "too_near_same": float(same.mean()),
        "neighbors_same": float(neighbors.mean()),
    }


def near(unit_ND: np.ndarray, away_ND: np.ndarray) -> np.ndarray:
    """Unit vectors at a cosine of about .95 to the given ones."""
    mixed_ND = unit_ND + 0.3 * away_ND
    return mixed_ND / np.linalg.norm(mixed_ND, axis=1, keepdims=True)


def scores(device: torch.device, size: int, roster: int) -> dict[str, float]:
    """Largest errors of a maker's scores; cosines are absolute, since they are rounded to 1e-5.

    The people of the shots are near to the faces that were drawn, as in a release.
    """
    people, real = random_people(roster), random_people(roster // 2, seed=2)
    shots = shots_for(size, small=True)
    own_S = [shot.identity for shot in shots]
    drawer = open_maker(device, "fp32", people, real)
    batch, unit_BD, _ = drawer.whole(shots, size)
    people[own_S] = near(np.asarray(unit_BD), people[own_S])
    found = open_maker(device, "fp32", people, real).scores(shots, batch, unit_BD)
    wanted = scores_of(np.asarray(batch.images_BHWC), np.asarray(unit_BD), own_S, people, real)
    errors = {}
    for name, values in wanted.items():
        error = np.abs(np.array([getattr(one, name) for one in found]) - values)
        errors[name] = float(error.max() if "cosine" in name else (error / values).max())
    return errors
