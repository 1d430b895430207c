"""The first people of a release drawn and scored as it would draw them; nothing enters the store.

The plan is decided as for the release, in memory, or read where the release has begun: the images
have the bytes that it has, or will have.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from pathlib import Path

from factory.config import AcceptanceConfig, Config
from factory.config.addresses import in_bucket
from factory.diffusion.acceptance import shortcomings
from factory.errors import ConfigError
from factory.identities.roster import Roster
from factory.planning.budget import minutes
from factory.planning.device_part import completed
from factory.planning.plan_writer import decide, describe, refuse_other_plan
from factory.planning.preflight import Inputs, check_weights, preflight, to_be_accepted
from factory.records import Identity, Log, Scores, Shot
from factory.report.preview import render_preview
from factory.shards import layout
from factory.shards.manifest import read_plan
from factory.shards.plan_files import open_roster
from factory.shards.writer import Encoding
from factory.shots.plan import Plan, first_round_shots, members
from factory.store import Store
from factory.store.atomic import write_atomically
from factory.synthesis.canary import drawn_or_alone, refuse
from factory.synthesis.loading import load_planned
from factory.synthesis.maker import ShardMaker
from factory.training.distributed import kept_threads

MOST_IMAGES = 8
"""Images that are drawn of a person at most."""
NOT_DRAWN = "could_not_be_drawn"
UNLIMITED = AcceptanceConfig(
    min_psnr_db=None,
    min_identity_cosine=None,
    max_denoising_ratio=None,
    min_found_ratio=None,
    min_own_auc=None,
    min_diversity=None,
)
"""A preview shows what networks draw that a release refuses."""


@dataclass(frozen=True)
class PreviewFace:
    """A face as the release would have it; without image and scores where it cannot be drawn."""

    shot: Shot
    encoded: bytes | None
    scores: Scores | None
    reason: str
    """Why it is dropped; empty where it is kept."""


@dataclass(frozen=True)
class Preview:
    """Faces of the first people of a plan."""

    plan: Plan
    people: list[Identity]
    faces: list[PreviewFace]
    seconds_a_face: float
    """Seconds of a batch over the faces that the release draws in it."""

    @property
    def num_kept(self) -> int:
        return sum(not face.reason for face in self.faces)

    @property
    def kept_fraction(self) -> float:
        return self.num_kept / max(1, len(self.faces))

    def lines(self, num_workers: int) -> list[str]:
        """What was drawn and kept, and what the whole release would take, in words."""
        plan = self.plan.request.plan
        shots = expected_shots(self.plan.num_shots, self.kept_fraction, plan.max_rounds)
        seconds = shots * self.seconds_a_face
        return [
            f"kept         {self.num_kept} of {len(self.faces)} faces of {len(self.people)} people "
            f"({self.kept_fraction:.0%}) in the first round",
            f"speed        {self.seconds_a_face:.2f} s a face, one process on this machine",
            f"release      {self.plan.num_shots} planned faces, about {shots:.0f} drawn with "
            f"top-ups: {minutes(seconds)} of one process, {minutes(seconds / num_workers)} with "
            f"{num_workers} (fleet.num_workers)",
        ]


def preview(
    config: Config, num_people: int, out: Path, *, dry_run: bool = False, log: Log = print
) -> Preview | None:
    """Draw the first people of a release and write index.html into `out`; raises FactoryError.

    A dry run checks the config and draws nothing.
    """
    page = out / "index.html"
    _check_outside(config, out)
    if num_people < 1:
        raise ConfigError(f"--preview: got {num_people}; want at least 1 person")
    inputs = preflight(replace(config, acceptance=UNLIMITED))
    for line in shortcomings(config.acceptance, to_be_accepted(config, check_weights(config))):
        log(f"the release would refuse: {line}")
    if dry_run:
        log(f"checked; {describe(config, inputs)} would be previewed")
        return None
    store = layout.release_store(config)
    with kept_threads():
        existing = read_plan(store)
        if existing is None:
            plan, roster = _decided(config, inputs, store)
        else:
            refuse_other_plan(existing, inputs, store)
            plan, roster = existing, open_roster(store, existing, config)
        made = draw(config, store, plan, roster, num_people)
    lines = made.lines(config.fleet.num_workers or 1)
    write_atomically(page, render_preview(config.release.title, made.people, made.faces, lines))
    for line in [*lines, f"sheet        {page}"]:
        log(line)
    return made


def _check_outside(config: Config, out: Path) -> None:
    """Raise ConfigError for a folder in the store, where what a preview shows must not be."""
    store = config.store.url
    if not in_bucket(store):
        dataset = Path(store).resolve() / config.release.dataset
        if out.resolve().is_relative_to(dataset):
            raise ConfigError(f"--out: got {out}, which is below {dataset}; want a folder outside")


def _decided(config: Config, inputs: Inputs, store: Store) -> tuple[Plan, Roster]:
    """The plan that the release would write, and its roster as makers read it."""
    plan, roster, contents = decide(config, inputs)
    private = roster.private
    read = Roster.read(contents[layout.ROSTER], contents[layout.EMBEDDINGS])
    roster = read if private is None else read.with_private(private)
    return completed(config, store, plan, roster), roster


def draw(config: Config, store: Store, plan: Plan, roster: Roster, num_people: int) -> Preview:
    """Images of the first people of a plan, from their planned slots, with verdicts."""
    people, batches, num_planned = _first_batches(plan, roster, num_people)
    loaded = load_planned(config, plan, roster)
    refuse(loaded.difference)
    maker = ShardMaker.at(loaded, store, max_queued_bytes=0)  # nothing will be committed
    encoding, faces, seconds = Encoding.of(plan.request), list[PreviewFace](), list[float]()
    for shots in batches:
        started = time.perf_counter()
        drawn = {shot: (image, scores) for shot, image, scores in drawn_or_alone(shots, maker.draw)}
        seconds.append(time.perf_counter() - started)
        for shot in shots:
            if shot not in drawn:
                faces.append(PreviewFace(shot, None, None, NOT_DRAWN))
                continue
            image, scores = drawn[shot]
            encoded = encoding.encode(image, shot.prompt)
            faces.append(PreviewFace(shot, encoded, scores, maker.verdict(scores).reason))
    maker.close()
    warm = seconds[1:] or seconds  # because the first batch pays for what is set up once
    slots = num_planned[1:] or num_planned
    return Preview(plan, people, faces, sum(warm) / max(1, sum(slots)))


def _first_batches(
    plan: Plan, roster: Roster, num_people: int
) -> tuple[list[Identity], list[list[Shot]], list[int]]:
    """(first people, their shots by batch, faces that the release draws in each batch)."""
    people: list[Identity] = []
    batches: list[list[Shot]] = []
    num_planned: list[int] = []
    for unit in plan.units:
        drawn = [person for person in members(unit, roster) if person.num_shots]
        chosen = drawn[: num_people - len(people)]
        if not chosen:
            continue
        people += chosen
        shown = {person.index for person in chosen}
        shots = first_round_shots(plan.request, unit, roster)
        for batch in range(shots[-1].batch + 1):
            together = [shot for shot in shots if shot.batch == batch]
            wanted = [s for s in together if s.identity in shown and s.image < MOST_IMAGES]
            if wanted:
                batches.append(wanted)
                num_planned.append(len(together))
        if len(people) == num_people:
            break
    return people, batches, num_planned


def expected_shots(planned: int, kept: float, rounds: int) -> float:
    """Faces drawn in all rounds that each keep a fraction: planned * sum_r (1 - kept)^r."""
    return planned * sum((1 - kept) ** r for r in range(rounds))
