"""Galleries of real people too large or too slow for one process: each actor searches a part.

The parts are ranges of rows of files that every node sees; answers are exact in each part, so they
are those of one gallery, whatever the number of actors.
"""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import ray
from ray.exceptions import GetTimeoutError, RayError

from cluster.runtime import actor_class, connect
from factory.config import Config
from factory.errors import FactoryError, PlanError
from factory.identities.gallery import FixedGallery, MappedGallery
from factory.identities.gallery_files import gallery_files, open_here


class GalleryActor:
    """Rows first..stop-1 of some files, searched in a process of their own."""

    def __init__(self, ranges: list[tuple[str, int, int]]) -> None:
        self._ranges = ranges
        self._parts: list[MappedGallery] = []

    def open(self, num_bytes: dict[str, int]) -> None:
        """Map the files; raises PlanError for one that is not as on the driver's node."""
        for file, expected in num_bytes.items():
            actual = Path(file).stat().st_size if Path(file).is_file() else None
            if actual != expected:
                raise PlanError(
                    f"identities.gallery: {file} has {actual} bytes on this node and {expected} on "
                    "the driver's; put it where all nodes see it"
                )
        self._parts = [MappedGallery(*one) for one in self._ranges]

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> tuple[np.ndarray, int]:
        """(answers [M], inner products so far)."""
        near_M = np.zeros(len(unit_MD), bool)
        for part in self._parts:
            open_M = np.flatnonzero(~near_M)
            near_M[open_M] = part.too_near(unit_MD[open_M], max_cosine)
        return near_M, self._num_products()

    def nearest(self, unit_MD: np.ndarray) -> tuple[np.ndarray, int]:
        """(largest cosines [M], inner products so far)."""
        cosines = [part.nearest(unit_MD) for part in self._parts]
        return np.max(cosines, axis=0), self._num_products()

    def _num_products(self) -> int:
        return sum(part.num_products for part in self._parts)


class ShardedGallery:
    """A FixedGallery over actors."""

    def __init__(self, actors: list[Any], num_rows: int) -> None:
        self._actors, self._num_rows = actors, num_rows
        self.num_products = 0

    def __len__(self) -> int:
        return self._num_rows

    def too_near(self, unit_MD: np.ndarray, max_cosine: float) -> np.ndarray:
        return np.asarray(np.any(self._ask("too_near", unit_MD, max_cosine), axis=0))

    def nearest(self, unit_MD: np.ndarray) -> np.ndarray:
        return np.asarray(np.max(self._ask("nearest", unit_MD), axis=0))

    def _ask(self, question: str, unit_MD: np.ndarray, *arguments: float) -> list[np.ndarray]:
        queries = ray.put(unit_MD)
        calls = [getattr(actor, question).remote(queries, *arguments) for actor in self._actors]
        results, products = zip(*answers(calls, None), strict=True)
        self.num_products = sum(products)
        return list(results)


def open_galleries(config: Config) -> list[FixedGallery]:
    """What identities.gallery names, searched by fleet.gallery_actors actors.

    At most as many as the cluster has CPUs for; in this process for 0. Raises PlanError when a node
    does not see the files, FactoryError when an actor dies.
    """
    files = [file.absolute() for file in gallery_files(config)]
    sizes = [len(MappedGallery(str(file))) for file in files]
    if not sum(sizes) or not config.fleet.gallery_actors:
        return open_here(config)
    connect(config.fleet)
    cpus = config.fleet.cpus_per_actor
    possible = int(ray.cluster_resources().get("CPU", 1) / cpus) if cpus else sum(sizes)
    wanted = min(config.fleet.gallery_actors, max(possible, 1))
    ranges = [cut for cut in cut_rows([str(file) for file in files], sizes, wanted) if cut]
    remote_class = actor_class(GalleryActor, num_cpus=cpus)
    actors = [remote_class.remote(part) for part in ranges]
    num_bytes = {str(file): file.stat().st_size for file in files}
    answers([actor.open.remote(num_bytes) for actor in actors], config.fleet.deadline_s)
    return [ShardedGallery(actors, sum(sizes))]


def answers(calls: list[Any], timeout_s: float | None) -> list[Any]:
    """Results of calls of gallery actors; raises the error of one that is meant for the user."""
    try:
        return list(ray.get(calls, timeout=timeout_s))
    except (RayError, GetTimeoutError) as error:
        cause = getattr(error, "cause", None)
        if isinstance(cause, FactoryError):
            raise cause from None
        reason = str(error).strip().splitlines()[0]
        raise FactoryError(
            f"fleet.gallery_actors: an actor died or did not start ({reason}); run again, with "
            "fewer actors or fleet.gallery_actors=0"
        ) from None


def cut_rows(
    files: list[str], sizes: list[int], num_parts: int
) -> list[list[tuple[str, int, int]]]:
    """All rows in equal parts, each as (file, first row, row after the last) of files."""
    edges = np.linspace(0, sum(sizes), num_parts + 1).astype(int).tolist()
    starts = [0, *np.cumsum(sizes).tolist()]
    parts = []
    for low, high in itertools.pairwise(edges):
        part = []
        for file, (start, stop) in zip(files, itertools.pairwise(starts), strict=True):
            first, last = max(low, start), min(high, stop)
            if first < last:
                part.append((file, first - start, last - start))
        parts.append(part)
    return parts
