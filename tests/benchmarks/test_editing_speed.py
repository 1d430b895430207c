"""Speed of edits as ratios of two things timed in one run; each prints a line of JSON.

python -m pytest tests/benchmarks/test_editing_speed.py -q -s
"""

from __future__ import annotations

import time

import cv2
import numpy as np
import pytest

from factory.config import load
from factory.editing.regions import NUM_DRAWS, OVAL_MIDDLE_Y, OVAL_RX, OVAL_RY, regions
from factory.sources.alignment import TEMPLATE_52
from tests.benchmarks.timing import fastest, report

pytestmark = pytest.mark.usefixtures("one_thread")
PX, COUNT = 112, 256
KINDS = ("mask", "sunglasses", "hat", "scarf")
"""Those that a few lines of OpenCV draw as we do."""


class Loop:
    """One mask at a time by OpenCV, with outlines as polygons and ellipses.

    The size is placed by bisection until the fraction of the face is met; the mask is then drawn
    once more at four times the size for a soft edge.
    """

    def __init__(self, points_52: np.ndarray, kind: str, u: np.ndarray) -> None:
        left, right, _, mouth = points_52[0], points_52[1], points_52[2], points_52[3:].mean(0)
        self.middle, across = (left + right) / 2, right - left
        self.eyes = float(np.linalg.norm(across))
        self.right = across / self.eyes
        self.down = np.array([-self.right[1], self.right[0]])
        self.tall = float((mouth - self.middle) @ self.down) / 1.154
        self.kind, self.u = kind, u

    def at(self, x: np.ndarray, y: np.ndarray, scale: int) -> np.ndarray:
        there = (
            self.middle + np.outer(x * self.eyes, self.right) + np.outer(y * self.tall, self.down)
        )
        return np.rint(there * scale).astype(np.int32)

    def ellipse(self, canvas: np.ndarray, x: float, y: float, rx: float, ry: float) -> None:
        scale = canvas.shape[0] // PX
        center = self.at(np.array([x]), np.array([y]), scale)[0]
        axes = (int(rx * self.eyes * scale), int(ry * self.tall * scale))
        angle = float(np.degrees(np.arctan2(self.right[1], self.right[0])))
        cv2.ellipse(canvas, center.tolist(), axes, angle, 0, 360, 255, -1)

    def face(self, scale: int = 1) -> np.ndarray:
        canvas = np.zeros((PX * scale, PX * scale), np.uint8)
        self.ellipse(canvas, 0, OVAL_MIDDLE_Y, OVAL_RX, OVAL_RY)
        return canvas

    def draw(self, size: float, scale: int) -> np.ndarray:
        """The mask at a size from 0 to 1."""
        canvas, u = np.zeros((PX * scale, PX * scale), np.uint8), self.u
        x = np.linspace(-1.6, 1.6, 33)
        if self.kind == "sunglasses":
            for side in (-0.5, 0.5):
                self.ellipse(canvas, side, 0.1 * u[3], size, 0.7 * size)
            ends = self.at(np.array([-1.15, 1.15]), np.array([-0.05, -0.05]), scale)
            width = max(1, int(0.2 * size * self.eyes * scale))
            cv2.line(canvas, ends[0].tolist(), ends[1].tolist(), 255, width)
            return canvas
        if self.kind == "hat":
            edge = -1.2 + 2 * size + (0.3 * u[0] - 0.1) * x**2
            outline = np.concatenate([self.at(x, edge, scale), self.at(x[::-1], 0 * x - 3, scale)])
            cv2.fillPoly(canvas, [outline], 255)
            dome = np.zeros_like(canvas)
            self.ellipse(dome, 0, 0, 1.3, 1.9)
            below = self.at(np.array([-1.3, 1.3, 1.3, -1.3]), np.array([0.0, 0, 3, 3]), scale)
            cv2.fillPoly(dome, [below], 255)
            return cv2.bitwise_and(canvas, dome)
        edge = 2 - 2 * size + (0.1 + 0.2 * u[0]) * x**2
        outline = np.concatenate([self.at(x, edge, scale), self.at(x[::-1], 0 * x + 3, scale)])
        cv2.fillPoly(canvas, [outline], 255)
        if self.kind == "mask":
            return cv2.bitwise_and(canvas, self.face(scale))
        return canvas

    def mask(self, fraction: float) -> np.ndarray:
        face = self.face()
        whole, low, high = cv2.countNonZero(face), 0.0, 1.0
        for _ in range(8):
            size = (low + high) / 2
            hidden = cv2.countNonZero(cv2.bitwise_and(self.draw(size, 1), face)) / whole
            low, high = (size, high) if hidden < fraction else (low, size)
        large = self.draw((low + high) / 2, 4)
        return cv2.resize(large, (PX, PX), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def test_regions_against_a_loop_of_opencv():
    """256 faces of four kinds, soft masks that hide a fifth: OpenCV's seconds over ours. Goal 3."""
    rng = np.random.default_rng(0)
    points = TEMPLATE_52 + rng.normal(0, 1.5, (COUNT, 5, 2))
    kinds, draws = [KINDS[i % 4] for i in range(COUNT)], rng.random((COUNT, NUM_DRAWS))

    def ours():
        return regions(points, kinds, [0.2] * COUNT, draws, PX)

    def loop():
        rows = zip(points, kinds, draws, strict=True)
        return np.stack([Loop(p, k, u).mask(0.2) for p, k, u in rows])

    placed, drawn = ours(), loop()
    face = np.stack([Loop(p, "mask", u).face() for p, u in zip(points, draws, strict=True)]) > 0
    fractions = (drawn * face).sum((1, 2)) / face.sum((1, 2))
    assert np.abs(fractions - 0.2).max() < 0.03  # it does the same
    assert np.abs(placed.fractions_N - 0.2).max() < 0.03
    seconds, loop_s = fastest(ours, loop)
    report(
        "regions_vs_opencv_loop",
        loop_s / seconds,
        2.0,
        ours_ms=round(1e3 * seconds / COUNT, 3),
        loop_ms=round(1e3 * loop_s / COUNT, 3),
    )


class Paired:
    """Runs the bare sampling loop of an editor on each first-round batch before it is edited."""

    def __init__(self, editor):
        self._editor = editor
        self.bare_s, self.bare_shots = 0.0, 0

    @property
    def remarks(self):
        return self._editor.remarks

    def generate(self, shots, batch_size):
        if shots[0].attempt == 0:
            inpainter = self._editor._inpaint
            noise, conditioning = inpainter.inputs(self._editor.edits(shots, batch_size))
            started = time.perf_counter()
            inpainter.sample(noise, conditioning, shots[0])
            self.bare_s += time.perf_counter() - started
            self.bare_shots += len(shots)
        return self._editor.generate(shots, batch_size)


@pytest.mark.timeout(900)
def test_edited_faces_against_the_bare_sampling_loop(tmp_path):
    """Faces/s of two units of configs/editing/starter.yaml over the bare sampling loop. Goal .85.

    The editor has the starter generator's size; time runs from the first shot to the last commit.
    """
    from factory import checkpoint
    from factory.diffusion.uvit import UViT
    from factory.editing.uvit_inpainting import CHANNELS, init_from, shape_of
    from factory.planning.plan_writer import write_plan
    from factory.planning.preflight import preflight
    from factory.shards import layout
    from factory.store import open_store
    from factory.synthesis.maker import ShardMaker

    start = checkpoint.load("starter:generator", "generator", "generator.checkpoint")
    shape = shape_of(start, PX)
    network = UViT(shape)
    init_from(network, start)
    settings = {key: start.config[key] for key in ("space", "prediction", "num_timesteps")}
    settings |= {"shape": vars(shape), "channels": list(CHANNELS)}
    lineage = start.lineage | {"generator": start.sha256}
    editor = checkpoint.Checkpoint("editor", network.state_dict(), settings, 0, {}, lineage, "")
    checkpoint.save(tmp_path / "editor", editor)
    items = [f"store.url={tmp_path}", f"editing.checkpoint={tmp_path / 'editor'}"]
    items += ["source.num_identities=8", "plan.identities_per_unit=4"]
    items += ["filters.min_original_cosine=null"]
    config = load("configs/editing/starter.yaml", items)
    prefix = layout.release_prefix(config.release.dataset, config.release.version)
    plan = write_plan(config, preflight(config), open_store(config.store).below(prefix))
    maker = ShardMaker.open(config, prefix)
    paired = maker._generator.generator = Paired(maker._generator.generator)
    started = time.perf_counter()
    shards = [shard for unit in plan.units for shard in maker.make(unit.index)] + maker.flush()
    made_s = time.perf_counter() - started - paired.bare_s
    maker.close()
    bare_rate = paired.bare_shots / paired.bare_s
    made_rate = sum(shard.counts.shots for shard in shards) / made_s
    report("edited_vs_bare", made_rate / bare_rate, 0.75, bare=bare_rate, made=made_rate)
