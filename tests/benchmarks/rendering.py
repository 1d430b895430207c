"""Rendering against a bare loop of Mitsuba, with and without what is kept, and error for time.

    python -m tests.benchmarks.rendering [--images 6] [--strands 10000] [--study]

Prints lines of JSON: seconds of cores an image (process time: other work on the machine does not
count), as ratios to the bare loop that only traces scenes which are loaded, with the same samples.
--strands replaces everybody's hair by so many strands of 8 points. --study adds a table: error
against 512 samples, gray levels of 255, and seconds, by samples, filter and depth.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from factory.config.rendering import RenderingConfig
from factory.rendering import renderer as module
from factory.rendering.head.head import Head, HeadModel
from factory.rendering.numbers import mitsuba_version
from factory.rendering.parts import Label, Material, Part, StrandsPart
from factory.rendering.people.people import draw_person
from factory.rendering.renderer import Renderer
from factory.rendering.scene.frame import frame_of
from factory.rendering.traits import Person
from factory.rendering.view import HairState, View
from factory.rendering.views.images import draw_view

PX = 112
CONFIG = RenderingConfig(camera="clean")
STUDIED = [(8, True, 3), (4, True, 3), (12, True, 3), (18, True, 3), (32, True, 3), (8, True, 4),
           (8, True, 2), (8, False, 3), (24, False, 4), (32, False, 3)]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", type=int, default=6)
    parser.add_argument("--strands", type=int, default=0)
    parser.add_argument("--study", action="store_true")
    arguments = parser.parse_args()
    if arguments.strands:
        module.hair_parts = lambda *args: shell_of_strands(arguments.strands, *args)
    person = draw_person(CONFIG, 1)
    views = [draw_view(CONFIG, person, image) for image in range(arguments.images)]
    print(json.dumps(speeds(person, views)), flush=True)
    if arguments.study:
        study(person, views[:3])


def speeds(person: Person, views: list[View]) -> dict[str, object]:
    """Seconds of cores an image: bare, ours with the person's parts kept, and without."""
    kept = Renderer(CONFIG, PX)
    kept.render(person, views[0])
    scenes = [loaded(kept, person, view) for view in views]
    times: dict[str, list[float]] = {"bare": [], "kept": [], "fresh": []}
    started = time.perf_counter()
    for view, scene in zip(views, scenes, strict=True):
        times["bare"].append(
            seconds(lambda s=scene, v=view: kept._scenes._traced_halves(s, v.seed))
        )
        times["kept"].append(seconds(lambda v=view: kept.render(person, v)))
        fresh = Renderer(CONFIG, PX)
        times["fresh"].append(seconds(lambda r=fresh, v=view: r.render(person, v)))
    each = {name: float(np.median(values)) for name, values in times.items()}
    return {
        "benchmark": "rendering",
        "ratio": round(each["bare"] / each["kept"], 3),
        "floor": 0.85,
        "cached_over_fresh": round(each["fresh"] / each["kept"], 3),
        "images_per_s_two_cores": round(2 / each["kept"], 2),
        "strands": sum(len(p.points_SK3) for p in parts_of(kept, person, views[0])[1]
                       if isinstance(p, StrandsPart)),
        "wall_s": round(time.perf_counter() - started, 1),
        "cores": os.cpu_count(),
        **{f"{name}_s": round(value, 3) for name, value in each.items()},
        "mitsuba": mitsuba_version(),
    }  # fmt: skip


def study(person: Person, views: list[View]) -> None:
    """Error and seconds of settings, against the same views with many samples and depth 6."""
    truth = pictures(replace(CONFIG, samples=512, denoise=False, max_depth=6), person, views)[0]
    print("| samples | filter | depth | error | seconds |\n|---:|---|---:|---:|---:|")
    for samples, denoise, depth in STUDIED:
        config = replace(CONFIG, samples=samples, denoise=denoise, max_depth=depth)
        images, each = pictures(config, person, views)
        error = float(np.sqrt(np.square(images - truth).mean((1, 2, 3))).mean())
        print(f"| {samples} | {'yes' if denoise else 'no'} | {depth} | {error:.2f} | {each:.3f} |",
              flush=True)  # fmt: skip


def pictures(
    config: RenderingConfig, person: Person, views: list[View]
) -> tuple[np.ndarray, float]:
    """Developed images, and the median of their seconds."""
    renderer, images, times = Renderer(config, PX), [], []
    renderer.render(person, views[0])
    for view in views:
        times.append(seconds(lambda v=view: images.append(renderer.render(person, v).image_HWC)))
    return np.stack(images).astype(np.float64), float(np.median(times))


def seconds(run: Callable[[], object]) -> float:
    started = time.process_time()
    run()
    return time.process_time() - started


def parts_of(renderer: Renderer, person: Person, view: View) -> tuple[Head, list[Part]]:
    head = renderer._model.shaped(person.shape, view.expression)
    return head, renderer._parts(head, person, view)


def loaded(renderer: Renderer, person: Person, view: View) -> object:
    """The scene of an image as the renderer would load it."""
    from factory.rendering.scene.emitters import emitters_of

    head, parts = parts_of(renderer, person, view)
    frame, scenes = frame_of(head, view, PX), renderer._scenes
    lights = emitters_of(scenes._mi, view.light, frame)
    return scenes._scene(scenes._shapes(parts, frame), lights, frame)


def shell_of_strands(
    num: int, model: HeadModel, head: Head, person: Person, state: HairState
) -> list[Part]:
    """Strands of 6 cm that fall from above the brows around the head: a constant load."""
    rng = np.random.default_rng(person.seed)
    vertices, _ = model.region("M_Face", "M_BackHead")
    at, normals, eyes = head.vertices_V3[vertices], head.normals_V3[vertices], head.middle_3
    height = at[:, 1].max() - eyes[1]
    behind = (at[:, 2] < eyes[2] - 0.55 * height) & (at[:, 1] > eyes[1] - 0.25 * height)
    roots = np.flatnonzero((at[:, 1] > eyes[1] + 0.55 * height) | behind)
    chosen = rng.choice(roots, num)
    point = at[chosen] + 0.12 * rng.standard_normal((num, 3))
    direction = normals[chosen] + 0.15 * rng.standard_normal((num, 3))
    points, middle = [point], at[roots].mean(0)
    for _ in range(7):
        direction = direction - [0, 0.3, 0]
        direction /= np.linalg.norm(direction, axis=1, keepdims=True)
        point = point + direction * 6 / 7
        away = np.linalg.norm((point - middle) * [1, 0.9, 0.95], axis=1, keepdims=True)
        point = middle + (point - middle) * np.maximum(9.5 / away, 1)
        points.append(point)
    material = Material("hair", (0.05, 0.028, 0.016), roughness=0.3)
    strands = np.stack(points, 1)
    return [StrandsPart("hair", Label.HAIR, strands, 0.03, material, fixed=True)]


if __name__ == "__main__":
    main()
