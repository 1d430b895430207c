"""Real and virtual prototypes in one margin softmax over all ranks (METHODS 1).

It is VIGFace's stage 1 (eqs 5-7) with partial FC (An et al. 2022).

W = [W_real (n) | W_virtual (k)] is cut by rows: rank r of w holds real rows n*r/w..n*(r+1)/w and
virtual rows likewise, with their momentum, outside the engine. Every rank has the features of all
ranks and its own rows; the softmax exchanges one maximum and two sums a feature.

Shapes: B images of this rank, N features of all ranks (N = w*B real, then V virtual), D embedding,
R rows of this rank, S of them sampled for a step.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from factory.config import RecognizerConfig
from factory.recognition.class_shards import RankRows, draw_rows, read_rows, write_rows
from factory.recognition.covariance import covariance_distance, moments
from factory.recognition.margin import NormQuality, with_margin
from factory.recognition.sharded_softmax import Cosine, LogSumExp, put_at, take
from factory.seeds import torch_generator
from factory.training import distributed
from factory.training.distributed import (
    GatherRows,
    SumParts,
    SumWhole,
    max_over_ranks,
    sum_over_ranks,
)

MOMENTUM = 0.9
MOST_CLASSES = 10_000
"""Classes of a kind that a table of geometry looks at."""
SPAN_AXES = 64
"""Axes of real prototypes that count as theirs: as many as identities.pca_dims keeps."""


@dataclass(frozen=True)
class SampledRows:
    """The rows that take part in a micro-batch."""

    chosen_S: torch.Tensor | None
    """Their numbers, sorted; None: all rows."""
    weight_SD: torch.Tensor
    """Their weights, a leaf of the graph."""
    drawn: list[tuple[torch.Tensor, torch.Tensor]]
    """(columns, weights as a leaf) of those that virtual features were drawn from."""

    def columns(self, row_N: torch.Tensor) -> torch.Tensor:
        """Index of each row among the chosen ones, -1 for rows of other ranks."""
        if self.chosen_S is None:
            return row_N
        return torch.where(row_N >= 0, torch.searchsorted(self.chosen_S, row_N), -1)

    def gradient(self) -> torch.Tensor:
        """Gradient [S, D] of the rows, that through virtual features added."""
        grad_SD = self.weight_SD.grad
        assert grad_SD is not None, "backward comes before step"
        for column_M, leaf_MD in self.drawn:
            if leaf_MD.grad is not None:
                grad_SD.index_add_(0, column_M, leaf_MD.grad)
        return grad_SD


class Prototypes(nn.Module):
    """This rank's rows, the moving spread of features around their class, and SGD on the rows.

    Memory of a rank is that of `memory.classifier_bytes`; a quality head also compares N features
    with all real rows.
    """

    momentum_RD: torch.Tensor
    average_RD: torch.Tensor | None
    sigma_D: torch.Tensor

    def __init__(
        self,
        config: RecognizerConfig,
        num_real: int,
        *,
        seed: int = 0,
        rank: int | None = None,
        world: int | None = None,
        tf32: bool = False,
    ) -> None:
        """`tf32` is compute.tf32; rank and world are this process's where not given."""
        super().__init__()
        self._tf32 = tf32
        self._rank = distributed.rank() if rank is None else rank
        self._world = distributed.world_size() if world is None else world
        self._config, self._seed, self._num_real = config, seed, num_real
        self.num_virtual = config.num_virtual
        self.rows = RankRows.of(num_real, config.num_virtual, self._rank, self._world)
        weight_RD = torch.empty(len(self.rows), config.embedding_dim)
        for kind, rows, part in self._parts():
            draw_rows(seed, kind, rows, weight_RD[part])
        self.weight_RD = nn.Parameter(weight_RD, requires_grad=False)
        self.register_buffer("momentum_RD", torch.zeros_like(self.weight_RD), persistent=False)
        average = self.weight_RD.detach().clone() if config.ema else None
        self.register_buffer("average_RD", average, persistent=False)
        self.register_buffer("sigma_D", torch.zeros(config.embedding_dim))
        self.quality = NormQuality()
        self._sampled: list[SampledRows] = []

    def loss(
        self,
        features_BD: torch.Tensor,
        labels_B: torch.Tensor,
        virtual_V: torch.Tensor,
        noise_VD: torch.Tensor,
        *,
        margin: float,
        virtual_margin: float | None = None,
        step: int = 0,
    ) -> torch.Tensor:
        """Margin softmax over the real features of all ranks and the virtual features of a step.

        `virtual_V` are the virtual classes drawn for the step, on the CPU, `noise_VD` standard
        normal draws, the same on all ranks; `virtual_margin` is their margin, None for that of real
        ones. The sum over all features is divided as recognizer.loss_mean says, and the covariance
        penalty is added. With no virtual class it is the plain margin softmax of the real ones. The
        loss is the same on every rank; at sample_rate 1 it is exactly the unsharded one.
        """
        labels_N = distributed.gather_rows(labels_B)
        norms_N = distributed.gather_rows(features_BD.float().norm(dim=1))
        unit_ND = GatherRows.apply(F.normalize(features_BD.float()))
        quality_N, num_images = self.quality(norms_N), len(unit_ND)
        virtual_label_V = (virtual_V + self._num_real).to(labels_N.device, non_blocking=True)
        labels_N = torch.cat([labels_N, virtual_label_V])
        row_N = self.rows.row_of(labels_N, self._num_real)

        sampled = self._sample(row_N, step)
        weight_SD, column_N = sampled.weight_SD, sampled.columns(row_N)
        if len(virtual_V):
            self._update_sigma(unit_ND.detach(), weight_SD.detach(), column_N[:num_images])
            mine_M = self._of_this_rank(virtual_V).to(unit_ND.device, non_blocking=True)
            virtual_VD = self._virtual_features(column_N[num_images:], mine_M, noise_VD)
            unit_ND = torch.cat([unit_ND, virtual_VD])
            quality_N = F.pad(quality_N, (0, len(virtual_V)))  # neutral, because a draw has no norm

        cosine_NS = Cosine.apply(unit_ND, weight_SD, self._tf32)
        target_N = SumWhole.apply(take(cosine_NS, column_N))
        margins = (margin, margin if virtual_margin is None else virtual_margin)
        wanted_N = self._with_margins(target_N, quality_N, num_images, margins)
        scale = self._config.scale
        log_sum_N = LogSumExp.apply(cosine_NS, column_N, wanted_N, scale)
        num_averaged = num_images if self._config.loss_mean == "real" else len(wanted_N)
        loss: torch.Tensor = (log_sum_N - scale * wanted_N).sum() / num_averaged
        if self._config.covariance_weight:
            loss = loss + self._config.covariance_weight * self._covariance_penalty(sampled)
        return loss

    @torch.no_grad()
    def step(self, lr: float, *, virtual_by_DD: torch.Tensor | None = None) -> None:
        """SGD with Nesterov momentum .9 and weight decay on the rows used since the last step.

        The others, their momentum too, stay as they are. With `virtual_by_DD`, so do the real ones,
        and the loss's gradient of virtual ones is multiplied by it.
        """
        for chosen_S, weight_SD, grad_SD in self._gradients():
            if virtual_by_DD is not None:
                grad_SD = grad_SD @ virtual_by_DD
            grad_SD.add_(weight_SD, alpha=self._config.weight_decay)
            if virtual_by_DD is not None:
                grad_SD *= self._is_virtual(chosen_S).unsqueeze(1)
            if chosen_S is None:
                momentum_SD = self.momentum_RD.mul_(MOMENTUM).add_(grad_SD)
                self.weight_RD.sub_(grad_SD.add_(momentum_SD, alpha=MOMENTUM), alpha=lr)
                continue
            momentum_SD = self.momentum_RD[chosen_S].mul_(MOMENTUM).add_(grad_SD)
            self.momentum_RD[chosen_S] = momentum_SD
            grad_SD.add_(momentum_SD, alpha=MOMENTUM)
            self.weight_RD[chosen_S] = weight_SD.sub_(grad_SD, alpha=lr)
        self._sampled.clear()

    @property
    def real_RD(self) -> torch.Tensor:
        """This rank's real prototypes as a checkpoint gets them: averaged with recognizer.ema."""
        rows_RD = self.weight_RD if self.average_RD is None else self.average_RD
        return rows_RD[: len(self.rows.real)].detach()

    @torch.no_grad()
    def average(self, decay: float) -> None:
        """Update the moving average of the rows (recognizer.ema)."""
        assert self.average_RD is not None, "needs recognizer.ema"
        self.average_RD.lerp_(self.weight_RD, 1 - decay)

    @torch.no_grad()
    def confidence(
        self, features_BD: torch.Tensor, labels_B: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(CCS, NNCCS) of this rank's images (METHODS 7).

        They are the cosine to the own real prototype and to the nearest other one.
        """
        labels_N = distributed.gather_rows(labels_B)
        unit_ND = distributed.gather_rows(F.normalize(features_BD.float()))
        num_real = len(self.rows.real)
        cosine_NR = Cosine.apply(unit_ND, self.weight_RD[:num_real], self._tf32)
        row_N = self.rows.row_of(labels_N, self._num_real)
        own_N = sum_over_ranks(take(cosine_NR, row_N))
        put_at(cosine_NR, row_N, -1.0)
        other_N = max_over_ranks(cosine_NR.amax(1) if num_real else torch.full_like(own_N, -1.0))
        of_this_rank = slice(self._rank * len(labels_B), (self._rank + 1) * len(labels_B))
        return own_N[of_this_rank], other_N[of_this_rank]

    def save(self, folder: Path) -> None:
        """Write this rank's rows and momentum, in files named by their ranges, into a folder."""
        from safetensors.torch import save_file

        for kind, rows, part in self._parts():
            write_rows(folder, kind, rows, {n: t[part] for n, t in self._states().items()})
        if self._rank == 0:
            moving = {"sigma": self.sigma_D, "norms": self.quality.mean_std_2}
            save_file({n: t.cpu().contiguous() for n, t in moving.items()}, folder / "moving.st")

    @torch.no_grad()
    def load(self, folder: Path) -> None:
        """Read the rows of this rank from what any number of ranks saved."""
        from safetensors.torch import load_file

        for kind, rows, part in self._parts():
            for name, tensor_RD in self._states().items():
                read_rows(folder, kind, rows, name, tensor_RD[part])
        moving = load_file(folder / "moving.st")
        self.sigma_D.copy_(moving["sigma"])
        self.quality.mean_std_2.copy_(moving["norms"])

    def _states(self) -> dict[str, torch.Tensor]:
        states = {"weight": self.weight_RD, "momentum": self.momentum_RD}
        return states if self.average_RD is None else states | {"average": self.average_RD}

    def _parts(self) -> list[tuple[str, range, slice]]:
        num_real = len(self.rows.real)
        return [
            ("real", self.rows.real, slice(0, num_real)),
            ("virtual", self.rows.virtual, slice(num_real, len(self.rows))),
        ]

    def _sample(self, row_N: torch.Tensor, step: int) -> SampledRows:
        """Positives and random negatives; at sample_rate 1 all rows, once for all micro-batches."""
        if self._config.sample_rate == 1:
            if not self._sampled:
                self._sampled.append(
                    SampledRows(None, self.weight_RD.detach().requires_grad_(), [])
                )
            return self._sampled[0]
        num_rows = len(self.rows)
        draw = torch_generator(self._seed, "negatives", step, self._rank)
        score = torch.rand(num_rows, generator=draw).to(row_N.device, non_blocking=True)
        score = F.pad(score, (0, 1))  # a place for the labels of other ranks
        score.index_fill_(0, torch.where(row_N >= 0, row_N, num_rows), 2.0)
        score_R = score[:num_rows]
        size = round(self._config.sample_rate * num_rows)
        if size < min(len(row_N), num_rows):  # else the positives fit, however many they are
            size = max(size, int((score_R == 2.0).sum()))
        chosen_S = score_R.topk(size).indices.sort().values
        self._sampled.append(SampledRows(chosen_S, self.weight_RD[chosen_S].requires_grad_(), []))
        return self._sampled[-1]

    def _gradients(self) -> list[tuple[torch.Tensor | None, torch.Tensor, torch.Tensor]]:
        """(rows, weights, gradients) of what took part, those of several micro-batches added."""
        parts = [
            (part.chosen_S, part.weight_SD.detach(), part.gradient()) for part in self._sampled
        ]
        if len(parts) < 2:
            return parts
        chosen = torch.cat([rows for rows, _, _ in parts if rows is not None])
        if not len(chosen):  # a rank of few classes may sample none
            return []
        together_S, position = merged(chosen, len(self.rows))
        weight_SD = self.weight_RD[together_S]
        grad_SD = torch.zeros_like(weight_SD)
        grad_SD.index_add_(0, position, torch.cat([grad for _, _, grad in parts]))
        is_first_S1 = (together_S == together_S[0]).unsqueeze(1)  # it and its repetitions
        torch.where(is_first_S1, grad_SD[0].clone(), grad_SD, out=grad_SD)
        return [(together_S, weight_SD, grad_SD)]

    def _with_margins(
        self,
        target_N: torch.Tensor,
        quality_N: torch.Tensor,
        num_images: int,
        margins: tuple[float, float],
    ) -> torch.Tensor:
        """The labels' cosines with the margins of real and of virtual features."""
        if margins[0] == margins[1]:
            return with_margin(self._config.margin, target_N, margins[0], quality_N)
        parts = (slice(0, num_images), slice(num_images, None))
        wanted = [
            with_margin(self._config.margin, target_N[part], margin, quality_N[part])
            for part, margin in zip(parts, margins, strict=True)
        ]
        return torch.cat(wanted)

    def _covariance_penalty(self, sampled: SampledRows) -> torch.Tensor:
        """`covariance_distance` of the sampled virtual rows to all real ones, as unit vectors.

        Only virtual rows have a gradient of it.
        """
        num_real, chosen_S = len(self.rows.real), sampled.chosen_S
        with torch.no_grad():
            wanted_DD = moments(F.normalize(self.weight_RD[:num_real]))[1]
        if chosen_S is None:
            virtual_DD = moments(F.normalize(sampled.weight_SD[num_real:]))[1]
        else:
            unit_SD = F.normalize(sampled.weight_SD)
            virtual_DD = moments(unit_SD, self._is_virtual(chosen_S))[1]
        return covariance_distance(virtual_DD, wanted_DD)

    def _is_virtual(self, chosen_S: torch.Tensor | None) -> torch.Tensor:
        """1 for each of some rows of this rank that is virtual, 0 for real ones; None: all rows."""
        if chosen_S is None:
            chosen_S = torch.arange(len(self.rows), device=self.weight_RD.device)
        return (chosen_S >= len(self.rows.real)).float()

    def _of_this_rank(self, virtual_V: torch.Tensor) -> torch.Tensor:
        """Positions [M] of the virtual classes of this rank; on the CPU, where they are drawn."""
        rows = self.rows.virtual
        return ((virtual_V >= rows.start) & (virtual_V < rows.stop)).nonzero()[:, 0]

    def _virtual_features(
        self, column_V: torch.Tensor, mine_M: torch.Tensor, noise_VD: torch.Tensor
    ) -> torch.Tensor:
        """Unit virtual features [V, D]: eq 5, computed by the rank that holds the class.

        `mine_M` are the positions of its classes. Their rows are a leaf of their own, because a
        gradient of all sampled rows for these few would be dense.
        """
        sampled = self._sampled[-1]
        column_M = column_V[mine_M]
        own_MD = sampled.weight_SD.detach()[column_M].requires_grad_()
        sampled.drawn.append((column_M, own_MD))
        feature_MD = F.normalize(F.normalize(own_MD) + noise_VD[mine_M] * self.sigma_D)
        index_MD = mine_M.unsqueeze(1).expand(-1, feature_MD.shape[1])
        part_VD = torch.zeros_like(noise_VD).scatter(0, index_MD, feature_MD)
        virtual_VD: torch.Tensor = SumParts.apply(part_VD)
        return virtual_VD

    @torch.no_grad()
    def _update_sigma(
        self, unit_ND: torch.Tensor, weight_SD: torch.Tensor, column_N: torch.Tensor
    ) -> None:
        square_D = unit_ND.new_zeros(unit_ND.shape[1])
        if len(weight_SD):
            own_ND = F.normalize(weight_SD[column_N.clamp(min=0)])
            square_ND = (unit_ND - own_ND).square_()
            square_D = square_ND.masked_fill_((column_N < 0)[:, None], 0.0).sum(0)
        sigma_D = (sum_over_ranks(square_D) / len(unit_ND)).sqrt()  # eq 6
        moving_D = 0.9 * self.sigma_D + 0.1 * sigma_D  # eq 7
        self.sigma_D.copy_(torch.where(self.sigma_D.any(), moving_D, sigma_D))


def merged(chosen_P: torch.Tensor, num_rows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The different ones of chosen rows, and where each of the chosen is among them, [P].

    They are sorted and fill the first of min(P, num_rows) places, of `num_rows` that there are to
    choose from; the rest repeat the first, because a shape that depended on their number would wait
    for the GPU.
    """
    sorted_P, order_P = chosen_P.sort(stable=True)
    is_new_P = F.pad(sorted_P[1:] != sorted_P[:-1], (1, 0))
    place_P = is_new_P.cumsum(0)
    different_S = sorted_P[:1].repeat(min(len(chosen_P), num_rows)).scatter_(0, place_P, sorted_P)
    return different_S, torch.empty_like(place_P).scatter_(0, order_P, place_P)


def whole_rows(folder: Path, kind: str, count: int, dim: int, *, average: bool) -> torch.Tensor:
    """All rows [count, D] of a kind ('real', 'virtual') that any number of ranks saved."""
    out_KD = torch.empty(count, dim)
    read_rows(folder, kind, range(count), "average" if average else "weight", out_KD)
    return out_KD


def num_virtual_features(batch_size: int, num_real: int, num_virtual: int, mode: str) -> int:
    """Number of virtual features of a step over all ranks, by mode.

    'batch': the batch size; 'proportional': round(k*b/n); 'none': 0, the collapse of VIGFace's
    ablation.
    """
    wanted = {
        "batch": batch_size,
        "proportional": round(num_virtual * batch_size / num_real),
        "none": 0,
    }[mode]
    return min(wanted, num_virtual)


def geometry(
    real_ND: torch.Tensor, virtual_KD: torch.Tensor, start_KD: torch.Tensor | None = None
) -> dict[str, dict[str, float]]:
    """Mean and deviation of pairwise cosines: real-real, real-virtual, virtual-virtual.

    Then where virtual prototypes are: `real_span`, the part of their energy in the SPAN_AXES first
    principal axes of the real ones, and `to_start`, their cosines to the rows that they began with,
    where these are given. At most 10,000 classes of each kind, the first ones.
    """
    unit_ND = F.normalize(real_ND[:MOST_CLASSES].float())
    unit_KD = F.normalize(virtual_KD[:MOST_CLASSES].float())
    pairs = {
        "real_real": _off_diagonal(unit_ND @ unit_ND.T),
        "real_virtual": (unit_ND @ unit_KD.T).flatten(),
        "virtual_virtual": _off_diagonal(unit_KD @ unit_KD.T),
    }
    if start_KD is not None:
        pairs["to_start"] = (F.normalize(start_KD[:MOST_CLASSES].float()) * unit_KD).sum(1)
    table = {
        name: {"mean": float(cosines.mean()), "std": float(cosines.std())}
        for name, cosines in pairs.items()
        if len(cosines) > 1
    }
    if len(unit_ND) > 1 and len(unit_KD):
        table["real_span"] = energy_in_span(unit_ND, unit_KD)
    return table


def energy_in_span(unit_ND: torch.Tensor, unit_KD: torch.Tensor) -> dict[str, float]:
    """Mean squared length of the projections of K unit vectors onto axes of N unit vectors.

    The axes are the first SPAN_AXES of their PCA, as many as there are; `random` is the value of
    random directions, axes/D.
    """
    centered_ND = (unit_ND - unit_ND.mean(0)).double()
    axes_AD = torch.linalg.svd(centered_ND, full_matrices=False)[2][:SPAN_AXES]
    axes_AD = axes_AD[: len(unit_ND) - 1]  # because centering takes one away
    energy = float((unit_KD.double() @ axes_AD.T).square().sum(1).mean())
    count, dim = axes_AD.shape
    return {"energy": energy, "random": count / dim, "axes": count}


def _off_diagonal(square_NN: torch.Tensor) -> torch.Tensor:
    row, column = torch.triu_indices(len(square_NN), len(square_NN), offset=1)
    return square_NN[row, column]
