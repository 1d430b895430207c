"""What card and croissant say of a release in words, from what was measured: one text for both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from factory.config import FiltersConfig, as_dict
from factory.evaluation.metrics.release import Balance, KeptCounts, Metrics, RecognizerTraining
from factory.evaluation.metrics.separability import Separability
from factory.evaluation.metrics.values import NotMeasured
from factory.report.learned import learned
from factory.report.privacy import banner, privacy
from factory.report.tables import about
from factory.shards.derived import made_of
from factory.shards.manifest import NEVER_TRAIN
from factory.shards.masks import mask_suffix
from factory.shots.plan import Plan
from factory.shots.request import EditRequest, PlanRequest, SourceFacts

RENDERED_LIMITS = (
    "Pose, expression, light, hair, what is worn, background and camera vary by rules "
    "(section rendering of plan.json) and not as photographs do; skin, hair and eyes are "
    "procedural, and a recognizer can tell them from photographs. Labels have no errors. See "
    "metrics/ for how alike its people are to a recognizer."
)
RENDERED_LABELS = (
    "The label is the person that was rendered, and all that metadata/ tells of an image was put "
    "into it and not annotated: its points, head pose, expression, light, background, group, age, "
    "hair, beard, glasses, what is worn or held before the face, and which fraction of the face "
    "that hides."
)


@dataclass(frozen=True)
class Statements:
    """Sentences about a release, without markup."""

    first: str
    """What a reader must know first: whether real people are in it."""
    collection: str
    privacy: str
    uses: str
    limits: str
    biases: str
    filtering: str
    labels: str
    maintenance: str


def statements(plan: Plan, metrics: Metrics) -> Statements:
    """All sentences of a release; without a lineage they say that it is not recorded."""
    request = plan.request
    origin = (
        edited_collection(request.source, request.edits)
        if request.edits
        else collection(request, metrics.recognizer_training)
    )
    return Statements(
        first=banner(plan, metrics).text + (f" {NEVER_TRAIN}" if request.pairs else ""),
        collection=f"{made_of_versions(plan)}{origin} {learned(metrics.lineage)}",
        privacy=privacy(request, metrics),
        uses=(
            f"{'Testing' if request.pairs else 'Training and testing'} face recognition, and "
            "research on synthetic data. Not for identifying or impersonating anybody, and not as "
            "evidence that a recognizer is fair: test on real people of the groups that it will "
            "meet."
        ),
        limits=limits(metrics.separability, request),
        biases=biases(metrics.balance, is_rendered=request.rendering is not None),
        filtering=(
            "Faces were kept where they passed "
            + (_filters(request.filters) or "no filter")
            + "; rejects/ lists every other one with its reason."
            + few_kept(metrics.counts)
        ),
        labels=labels(plan),
        maintenance="A version is never edited; corrections appear under a new one.",
    )


def few_kept(counts: KeptCounts) -> str:
    """That too few were kept to publish a release; empty where enough were."""
    if not counts.too_few:
        return ""
    return (
        f" Of all drawn faces {counts.kept_fraction:.1%} were kept, fewer than the "
        f"{counts.min_kept_fraction:.0%} that a published release has at least "
        "(filters.min_kept_fraction): it is sealed and not published."
    )


def made_of_versions(plan: Plan) -> str:
    """Of which versions a release is made; empty where its faces were drawn for it."""
    if plan.derived is None:
        return ""
    newest = "" if len(plan.derived.of) == 1 else " What follows is said of the newest of them."
    return (
        f"This release is {made_of(plan.derived)}; their plans say how each image was made."
        f"{newest} "
    )


def limits(measured: Separability, request: PlanRequest) -> str:
    """What its images lack, and how far its identities can be told apart."""
    if request.rendering:
        return RENDERED_LIMITS
    text = (
        "Pose, light, age and accessories are those of the images that it edits, but for what the "
        "edits change, and errors of their labels are its own. "
        if request.edits
        else "Pose, light, age and accessories vary no more than where the generator learned them; "
        "images of an identity are alike by a recognizer's measure, not by a person's record; "
        "errors of that recognizer are errors of the labels. "
    )
    text += "See metrics/ for how far the images are from their source."
    matches = measured.false_matches
    if matches is None or not matches.num_others:
        return text
    return (
        f"{text} Were its {matches.num_others + 1} people real strangers whom nobody kept apart, "
        f"the recognizer would mistake each of them for {about(matches.per_person)} of the others "
        f"at the limit between identities (cosine {measured.max_cosine:.3f}): the larger that "
        "number, the harder neighbors in this release are to tell apart."
    )


def labels(plan: Plan) -> str:
    """What a label is, and where labels begin."""
    request = plan.request
    if request.edits:
        return "The label is that of the image that was edited."
    if request.rendering:
        return RENDERED_LABELS + _masks(request.rendering.rendering.masks)
    text = "The label is the identity that an image was drawn for; nobody annotated anything."
    if not plan.first_identity:
        return text
    return (
        f"{text} Labels begin with {plan.first_identity}, because this version goes on after "
        f"{request.identities.extends}: no key, label or name of a tar occurs in both, so they may "
        "be read together."
    )


def collection(request: PlanRequest, training: RecognizerTraining | NotMeasured) -> str:
    """How the images were drawn, and which images the networks learned from."""
    learned = "images of people"
    if not isinstance(training, NotMeasured):
        learned = f"{training.images} images of {training.identities} people"
    source = f"{request.source.num_images} images of {request.source.num_identities} people"
    if request.rendering:
        return (
            "No image was collected for it: every one was rendered by path tracing, from its own "
            f"number and that of its person. The dataset was measured against {source}, which are "
            "not part of it."
        )
    if request.release.method == "lora":
        return (
            "No image was collected for it: every one was drawn by a text-to-image model with a "
            f"LoRA of its person. The people are those of its source, {source}, which are not part "
            f"of it themselves. The recognizer that measured the faces learned from {learned}."
        )
    return (
        "No image was collected for it: every one was drawn by a diffusion model from an "
        f"embedding. The recognizer of these embeddings learned from {learned}. The dataset was "
        f"planned with and compared to {source}, which are not part of it."
    )


def edited_collection(source: SourceFacts, edits: EditRequest) -> str:
    """Of which images these are edits, and how they were made."""
    origin, method = source.release, edits.editing.method
    originals = f"the {source.num_images} images of {source.num_identities} people of its source"
    if origin:
        originals += f" (release {origin.dataset} {origin.version})"
    how = {
        "classic": "turned, mirrored, cropped and made noisy as a whole",
        "drawn": "with an occluder painted over a region",
    }.get(method, "with a region redrawn by a diffusion model")
    region = "" if method == "classic" else " and the region, outside of which it stays"
    return (
        f"Every image is an edit of one of {originals}, {how}; "
        f"metadata/ names the original{region}."
    )


def biases(balance: Balance | NotMeasured, *, is_rendered: bool = False) -> str:
    """Fractions of groups, where attributes tell them apart."""
    if isinstance(balance, NotMeasured):
        return (
            "Groups were not told apart (identities.attributes was not given): the balance of the "
            "source is carried over, unmeasured."
        )
    groups = balance.groups.items()
    fractions = ", ".join(f"{name} {group.fraction:.1%}" for name, group in groups)
    how = "as they were drawn (rendering.groups)" if is_rendered else "read off embeddings"
    return f"Fractions of virtual identities by group, {how}: {fractions}."


def _masks(names: Sequence[str]) -> str:
    """Which masks lie beside an image; empty where none do."""
    if not names:
        return ""
    listed = ", ".join(f"`{mask_suffix(name)}`" for name in names)
    return f" Beside each image lie {listed}: which pixels show what."


def _filters(filters: FiltersConfig) -> str:
    limits = as_dict(filters).items()
    return ", ".join(
        f"{name} {limit:g}"
        for name, limit in limits
        if limit is not None and name != "min_kept_fraction"
    )
