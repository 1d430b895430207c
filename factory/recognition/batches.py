"""Batches for a recognizer, from one source or a mixture, ordered by seed and step alone.

Images are decoded by worker processes (batches.num_workers; by Pillow, whose wheels bring
libjpeg-turbo) or kept in memory. In memory an image that cannot be decoded is left out before
training; by workers it is replaced by the next one, always the same, and named and counted. Workers
read a release where it is, and the images of a batch are fetched from a bucket at once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from factory.config import BatchesConfig, Config, SourceConfig
from factory.errors import ConfigError, FactoryError, SourceError
from factory.provenance.faces import source_record
from factory.provenance.lineage import SourceRecord
from factory.recognition.shared_people import shared_names
from factory.sources import (
    CorruptImageError,
    FaceSet,
    FaceSource,
    is_remote,
    open_source,
    read_faces,
    subset,
    training_faces,
)
from factory.sources.base import (
    THREADS,
    UnalignedError,
    first_heldout,
    placed,
    remarks_of,
)
from factory.tables import UserFile, nfc
from factory.training.batch_order import BatchOrder
from factory.training.distributed import rank, world_size
from factory.training.identity import faces_facts
from factory.training.worker_memory import (
    PREFETCHED,
    TIMEOUT_S,
    check_shared_memory,
    explained_workers,
)


@dataclass(frozen=True)
class Batch:
    """Images uint8 [B, H, W, 3] and their classes [B]."""

    images_BHWC: torch.Tensor
    labels_B: torch.Tensor
    unreadable: dict[int, str]
    """Errors by index in the training set of images that the next readable ones replace."""

    def pin_memory(self) -> Batch:
        """A copy that a GPU can fetch while the CPU goes on (the DataLoader calls it)."""
        images_BHWC, labels_B = self.images_BHWC.pin_memory(), self.labels_B.pin_memory()
        return Batch(images_BHWC, labels_B, self.unreadable)


@dataclass(frozen=True)
class WeightedSource:
    """One source of a training set."""

    faces: FaceSource
    domain: str
    """What its faces are called, such as real."""
    weight: float
    """How often each image comes, before balancing."""
    same_people: bool
    """Whether its names are those of people of the sources before it."""
    shared: Mapping[str, str] | None = None
    """Of a release with the same people: what the main source calls those whom it has from there,
    by the names of their classes; all others are people of its own. None: everybody is shared."""

    def class_name(self, name: str) -> str:
        """What a person of it is called in a training set, where it is no main source."""
        apart = f"{self.domain}/{name}"
        if not self.same_people:
            return apart
        return name if self.shared is None else self.shared.get(name, apart)


class TrainingSet:
    """Everybody a recognizer is trained on: images of all sources, one number for each class.

    `part_N` and `index_N` are the source and the index of image i there, `labels` its class
    (numbered without gaps), 10 bytes an image together; `names[class]` is the identity (a later
    source's with its domain before it) and `domains[class]` the domain of the source it came from.
    `lines` lists remarks, and what was left out.
    """

    def __init__(self, parts: Sequence[WeightedSource], min_images: int) -> None:
        self.parts = parts
        self.is_remote = any(is_remote(part.faces) for part in parts)
        self.lines = [line for part in parts for line in remarks_of(part.faces)]
        self.lines += [f"left out: {line}" for part in parts for line in part.faces.corrupt]
        names: list[str] = []
        domains: list[str] = []
        class_of: dict[str, int] = {}
        labels = []
        for number, part in enumerate(parts):
            class_names = [part.class_name(name) if number else name for name in part.faces.names]
            for name in class_names:
                if name not in class_of:
                    class_of[name] = len(names)
                    names.append(name)
                    domains.append(part.domain)
            classes = np.array([class_of[name] for name in class_names], np.int32)
            labels.append(classes[part.faces.labels])
        sizes = [len(part.faces) for part in parts]
        self.part_N = np.repeat(np.arange(len(parts), dtype=np.uint16), sizes)
        self.index_N = np.concatenate([np.arange(size, dtype=np.uint32) for size in sizes])
        self.labels = np.concatenate(labels)
        self._keep_classes(names, domains, min_images)

    def __len__(self) -> int:
        return len(self.labels)

    def describe(self, heldout: FaceSet) -> str:
        """One line: how many images of how many people, of which domains."""
        images = np.bincount(self.part_N, minlength=len(self.parts))
        domains = [f"{n} {part.domain}" for n, part in zip(images, self.parts, strict=True)]
        apart = f" ({', '.join(domains)})" if len(self.parts) > 1 else ""
        people = f"{len(self)} images of {len(self.names)} people{apart}"
        return f"{people}, {len(heldout)} held out"

    def source_records(self, config: Config) -> list[SourceRecord]:
        """The records of all sources, of the images and people that are in the batches."""
        configs = [config.source, *(mixed.source for mixed in config.batches.mix)]
        records = []
        for number, (source, part) in enumerate(zip(configs, self.parts, strict=True)):
            labels = self.labels[self.part_N == number]
            if len(labels):
                role = "mix" if number else "source"
                records.append(source_record(source, part.faces, role, labels))
        return records

    def facts(self, config: Config, weights_N: np.ndarray | None) -> dict[str, Any]:
        """All that decides the faces of a training, by contents and under the names of its keys."""
        batches, main, further = config.batches, self.parts[0], self.parts[1:]
        mix = {
            str(number): {
                "source": faces_facts(mixed.source, part.faces),
                "weight": mixed.weight,
                "domain": mixed.domain,
            }
            for number, (mixed, part) in enumerate(zip(batches.mix, further, strict=True))
        }
        facts: dict[str, Any] = {
            "balance": batches.balance,
            "min_images": batches.min_images,
            "mix": mix,
        }
        if batches.oversample:
            facts["oversample"] = oversample_sha256(batches.oversample)
            facts["oversample_factor"] = batches.oversample_factor
        return {
            "source": faces_facts(config.source, main.faces),
            "batches": facts,
            "training_set": self.fingerprint(weights_N),
        }

    def fingerprint(self, weights_N: np.ndarray | None) -> str:
        """sha256 of who is in it, and of how often each image comes."""
        sources = [part.faces.fingerprint for part in self.parts]
        digest = hashlib.sha256("\n".join([*sources, *self.names]).encode())
        digest.update(self.labels.astype(np.int64).tobytes())
        digest.update(b"" if weights_N is None else weights_N.tobytes())
        return digest.hexdigest()

    def image(self, index: int) -> np.ndarray:
        """RGB uint8 [H, W, 3] of an image; raises CorruptImageError, which `placed` words."""
        faces, row = self.parts[int(self.part_N[index])].faces, int(self.index_N[index])
        try:
            return faces[row].image_HWC
        except UnalignedError as error:
            raise error.at(faces, row) from None

    def placed(self, index: int, line: str) -> str:
        """What is wrong with an image, by its place in its source: no log may have its key."""
        part = self.parts[int(self.part_N[index])]
        text = placed(part.faces, int(self.index_N[index]), line)
        return f"{part.domain}: {text}" if len(self.parts) > 1 else text

    def weights(self, batches: BatchesConfig) -> np.ndarray | None:
        """How often each image comes in an epoch on average; None where all come once."""
        weights_N = np.array([part.weight for part in self.parts])[self.part_N]
        if batches.balance == "class":
            per_class = np.bincount(self.labels)
            weights_N = weights_N * len(self) / len(per_class) / per_class[self.labels]
        if batches.oversample:
            weights_N = weights_N * np.where(
                self._named(batches.oversample), batches.oversample_factor, 1
            )
        return None if (weights_N == 1).all() else weights_N

    def _keep_classes(self, names: list[str], domains: list[str], min_images: int) -> None:
        """Leave classes with too few images out and number the others without gaps."""
        enough = np.bincount(self.labels, minlength=len(names)) >= min_images
        if not enough.any():
            raise SourceError(
                f"batches.min_images: nobody has {min_images} images; want fewer, or another source"
            )
        if enough.all():
            self.names, self.domains = names, domains
            return
        dropped = f"{(~enough).sum()} of {len(names)} identities with fewer than"
        self.lines.append(f"left out: {dropped} {min_images} images (batches.min_images)")
        kept_N = enough[self.labels]
        self.part_N, self.index_N = self.part_N[kept_N], self.index_N[kept_N]
        self.labels = (np.cumsum(enough, dtype=np.int32) - 1)[self.labels[kept_N]]
        self.names = [name for name, keep in zip(names, enough, strict=True) if keep]
        self.domains = [domain for domain, keep in zip(domains, enough, strict=True) if keep]

    def _named(self, path: str) -> np.ndarray:
        wanted = _listed(path)
        keys = [part.faces.keys for part in self.parts]
        images = zip(self.part_N, self.index_N, strict=True)
        named = (nfc(keys[int(part)][int(index)]) in wanted for part, index in images)
        named_N = np.fromiter(named, bool, len(self))
        if named_N.sum() < len(wanted):
            raise SourceError(
                f"batches.oversample: {path} names {len(wanted)} keys, {named_N.sum()} of them are "
                "in the sources; want keys as the sources give them, such as person/image"
            )
        return named_N


class BatchLoader(Dataset[Any]):
    """Micro-batches of this rank, from any step on."""

    def __init__(
        self, training_set: TrainingSet, order: BatchOrder, num_workers: int, accumulate: int
    ) -> None:
        self._training_set, self._order = training_set, order
        self._num_workers, self._accumulate = num_workers, accumulate

    def batches(self, first_step: int, total: int) -> Iterator[Batch]:
        """`accumulate` batches for each of the steps first_step..total-1.

        Raises ConfigError where batches of workers do not fit into /dev/shm, DeviceError where no
        batch comes from them.
        """
        if first_step < total:
            check_shared_memory(self._num_workers, self._batch_bytes(first_step))
        loader = DataLoader(
            self,
            batch_sampler=self._indices(first_step, total),
            num_workers=self._num_workers,
            collate_fn=_unchanged,
            pin_memory=torch.cuda.is_available(),
            prefetch_factor=PREFETCHED if self._num_workers else None,
            timeout=TIMEOUT_S if self._num_workers else 0,
        )
        try:
            with explained_workers():
                yield from loader
        except FactoryError as error:  # a worker's comes wrapped in its traceback
            line, kind = str(error).strip().splitlines()[-1], type(error)
            raise kind(line.partition(f"{kind.__name__}: ")[2] or line) from None

    def __getitems__(self, indices: list[int]) -> Batch:
        if is_remote(self._training_set):
            with ThreadPoolExecutor(THREADS) as pool:
                found = list(pool.map(self._next_readable, indices))
        else:
            found = [self._next_readable(index) for index in indices]
        images, labels, errors = zip(*found, strict=True)
        unreadable = {index: text for part in errors for index, text in part.items()}
        return Batch(torch.from_numpy(np.stack(images)), torch.tensor(labels), unreadable)

    def _next_readable(self, start: int) -> tuple[np.ndarray, int, dict[int, str]]:
        """The first readable image from index `start` on, its class, and why others are none."""
        unreadable: dict[int, str] = {}
        for further in range(len(self._training_set)):
            index = (start + further) % len(self._training_set)
            try:
                image = self._training_set.image(index)
                return image, int(self._training_set.labels[index]), unreadable
            except CorruptImageError as error:
                unreadable[index] = self._training_set.placed(index, str(error))
        raise SourceError("source: no image can be read; repair the source")

    def _batch_bytes(self, step: int) -> int:
        """Bytes of a micro-batch's images, by those of one; 0 where no worker hands it over."""
        if not self._num_workers:
            return 0
        count = len(self._order.rank_batch(step, rank(), world_size())) // self._accumulate
        return count * self._next_readable(0)[0].nbytes

    def _indices(self, first_step: int, total: int) -> Iterator[list[int]]:
        for step in range(first_step, total):
            indices = self._order.rank_batch(step, rank(), world_size())
            yield from (part.tolist() for part in np.split(indices, self._accumulate))


class CorruptCount:
    """Counts images that turn out unreadable on this rank; too many end a training."""

    def __init__(self, training_set: TrainingSet, max_fraction: float) -> None:
        self._size, self._allowed = len(training_set), int(max_fraction * len(training_set))
        self._errors: dict[int, str] = {}

    def add(self, batch: Batch) -> list[str]:
        """Lines about the images of a batch that are newly found unreadable.

        Raises SourceError above the allowed fraction.
        """
        new = {i: error for i, error in batch.unreadable.items() if i not in self._errors}
        self._errors |= new
        if len(self._errors) > self._allowed:
            raise SourceError(
                f"source.max_corrupt_fraction: more than {self._allowed} of {self._size} images "
                f"cannot be used, one is {next(iter(self._errors.values()))}; repair the source or "
                "raise the limit"
            )
        return [f"left out: {error}" for error in new.values()]


def open_training_set(config: Config) -> tuple[TrainingSet, FaceSet]:
    """(everybody to train on, held-out people of the main source) of a config."""
    batches = config.batches
    main: FaceSource
    further: list[FaceSource]
    if batches.num_workers:
        main, heldout = _on_disk(config.source)
        further = [open_source(mixed.source) for mixed in batches.mix]
    else:
        main, heldout = training_faces(config.source)
        further = [
            read_faces(open_source(mixed.source), mixed.source.max_corrupt_fraction)
            for mixed in batches.mix
        ]
    parts = [WeightedSource(main, batches.domain, 1.0, same_people=True)]
    for mixed, faces in zip(batches.mix, further, strict=True):
        shared = shared_names(mixed.source, main.names) if mixed.same_people else None
        parts.append(WeightedSource(faces, mixed.domain, mixed.weight, mixed.same_people, shared))
    return TrainingSet(parts, batches.min_images), heldout


def _on_disk(config: SourceConfig) -> tuple[FaceSource, FaceSet]:
    """(training, held-out) faces as `training_faces`, of which only the held-out are read."""
    source = open_source(config)
    num_people = len(source.names)
    first = first_heldout(config.num_heldout(num_people), num_people)
    if rank() or (first == num_people and not config.heldout):
        heldout = FaceSet.nobody()  # rank 0 alone measures
    elif config.heldout:
        heldout = read_faces(open_source(config.other), config.max_corrupt_fraction)
    else:
        heldout = read_faces(subset(source, first, num_people), config.max_corrupt_fraction)
    return subset(source, 0, num_people if config.heldout else first), heldout


def oversample_sha256(path: str) -> str:
    """Digest of the keys in batches.oversample, in whatever order; raises ConfigError."""
    return hashlib.sha256("\n".join(sorted(_listed(path))).encode()).hexdigest()


def _listed(path: str) -> set[str]:
    """The keys in batches.oversample; raises ConfigError where it cannot be read as text."""
    wanted = "image keys, one a line, in UTF-8"
    return {key for _, key in UserFile("batches.oversample", path, wanted, ConfigError).lines()}


def _unchanged(batch: Any) -> Any:
    return batch
