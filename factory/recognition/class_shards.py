"""Which classes a rank holds, and their rows in memory and in files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from factory.errors import CheckpointError
from factory.seeds import torch_generator

INIT_ROWS = 4096
"""Rows drawn from one random stream, so that their values do not depend on the ranks."""
FIRST_SPREAD = 0.01
"""Standard deviation of the values that rows begin with."""
ROWS = ".safetensors"
"""How the names of files of rows end."""


@dataclass(frozen=True)
class RankRows:
    """The classes that a rank holds: real numbers, then virtual ones, counted from 0 again."""

    real: range
    virtual: range

    @classmethod
    def of(cls, num_real: int, num_virtual: int, rank: int, world: int) -> RankRows:
        """The part of a rank: equal numbers of real classes, and of virtual ones, for all ranks."""

        def cut(count: int) -> range:
            return range(count * rank // world, count * (rank + 1) // world)

        return cls(cut(num_real), cut(num_virtual))

    def __len__(self) -> int:
        return len(self.real) + len(self.virtual)

    def may_lie_in(self, file: str) -> bool:
        """Whether a rank with these rows reads a file of a state; others than of rows it reads."""
        kind, *numbers = Path(file).stem.split("-")
        if kind not in ("real", "virtual") or not file.endswith(ROWS):
            return True
        begin, end = (int(number) for number in numbers)
        rows = self.real if kind == "real" else self.virtual
        return max(begin, rows.start) < min(end, rows.stop)

    def row_of(self, labels_N: torch.Tensor, num_real: int) -> torch.Tensor:
        """Row of each class 0..n+k-1 on this rank, or -1."""
        virtual_N = labels_N - num_real
        in_real_N = (labels_N >= self.real.start) & (labels_N < self.real.stop)
        in_virtual_N = (virtual_N >= self.virtual.start) & (virtual_N < self.virtual.stop)
        row_N = torch.where(in_real_N, labels_N - self.real.start, -1)
        return torch.where(in_virtual_N, virtual_N - self.virtual.start + len(self.real), row_N)


def draw_rows(seed: int, kind: str, rows: range, out_RD: torch.Tensor) -> None:
    """Fill `out_RD` with small normal draws, the same for a row whichever rank holds it."""
    for block in range(rows.start // INIT_ROWS, -(-rows.stop // INIT_ROWS)):
        draw, begin = torch_generator(seed, kind, block), block * INIT_ROWS
        drawn = torch.randn(INIT_ROWS, out_RD.shape[1], generator=draw) * FIRST_SPREAD
        first, stop = max(rows.start, begin), min(rows.stop, begin + INIT_ROWS)
        if first < stop:
            out_RD[first - rows.start : stop - rows.start] = drawn[first - begin : stop - begin]


def write_rows(folder: Path, kind: str, rows: range, tensors: dict[str, torch.Tensor]) -> None:
    """Write tensors [len(rows), D] to a file that is named by its range; nothing for no rows."""
    from safetensors.torch import save_file

    if len(rows):
        save_file(
            {name: t.detach().cpu().contiguous() for name, t in tensors.items()},
            folder / f"{kind}-{rows.start:09d}-{rows.stop:09d}{ROWS}",
        )


def read_rows(folder: Path, kind: str, rows: range, name: str, target_RD: torch.Tensor) -> None:
    """Fill `target_RD` with the given rows of a kind, from the files whose ranges meet them.

    Raises CheckpointError when some row is in no file.
    """
    from safetensors import safe_open

    num_read = 0
    for file in sorted(folder.glob(f"{kind}-*{ROWS}")):
        begin, end = (int(part) for part in file.stem.split("-")[1:])
        first, stop = max(begin, rows.start), min(end, rows.stop)
        if first < stop:
            with safe_open(file, "pt") as opened:
                part = opened.get_slice(name)[first - begin : stop - begin]
            target_RD[first - rows.start : stop - rows.start] = part
            num_read += stop - first
    if num_read != len(rows):
        raise CheckpointError(
            f"training.out: {folder} holds {num_read} of {len(rows)} {kind} prototypes; want a "
            "folder that all nodes see, with the parts of all ranks"
        )
