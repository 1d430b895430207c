"""What a person should repair or know before a dataset is used, in plain words."""

from __future__ import annotations

from collections.abc import Iterator

from factory.inspection.findings import Contents, CopyFindings, Faces, Inspection, NotRead, Values

FEW_PEOPLE, FEW_IMAGES = 100, 5
MOSTLY = 0.5
SMALL_EYES_PX = 20.0
"""Distance of the eyes below which an aligned face of 112 px is enlarged from less than 64."""
LITTLE = 0.01
BLUR = 20.0
"""Variance of the Laplacian at 112 px below which a face has no detail."""
DARK, BRIGHT = 40.0, 215.0
TO_CHECK = "; check that"
"""What a remark of a reader says where records and what lies beside them disagree."""


def warnings_of(found: Inspection) -> list[str]:
    """Warnings, the ones on what is there first."""
    lines = [
        *_of_contents(found.contents),
        *_of_what_is_missing(found.left_out, found.corrupt, found.contents),
        *_of_faces(found.faces, found.contents.looked_at_images),
        *_of_looks(found.looks),
        *_of_copies(found.copies),
        *_of_labels(found),
        *_of_overlap(found),
    ]
    return lines


def notes_of(found: Inspection) -> list[str]:
    """How the source was read and what was not compared, which is no fault of it."""
    notes = [line for line in found.contents.remarks if TO_CHECK not in line]
    labels = found.labels
    if labels is None:
        notes.append(found.judge_note)
    elif labels.mislabeled_note and labels.mislabeled_found is None:
        notes.append(f"labels are not checked: {labels.mislabeled_note}")
    return [note for note in notes if note]


def _of_contents(contents: Contents) -> Iterator[str]:
    if contents.people < FEW_PEOPLE:
        yield (
            f"few people: {contents.people}; nothing trained on them alone generalizes to others, "
            "so begin with weights that exist"
        )
    each = contents.images / max(contents.people, 1)
    if each < FEW_IMAGES:
        yield f"few images a person: {each:.1f} on average; how one person varies is hardly shown"
    single = sum(people for images, people in contents.people_by_num_images if images == 1)
    if single > MOSTLY * contents.people:
        yield f"{single} of {contents.people} people have a single image"
    if contents.gray_fraction > MOSTLY:
        yield f"mostly gray: {contents.gray_fraction:.0%} of the images have no color"
    yield from (line for line in contents.remarks if TO_CHECK in line)


def _of_what_is_missing(parts: list[NotRead], corrupt: int, contents: Contents) -> Iterator[str]:
    for part in parts:
        if part.reason != "system_file":
            yield f"{part.count} not read ({part.reason}), first {part.first[0]}"
    if corrupt:
        yield f"{corrupt} images cannot be read; a training refuses more than 1 % of them"


def _of_faces(faces: Faces, count: int) -> Iterator[str]:
    if count and faces.none > LITTLE * count:
        yield f"no face is found in {faces.none} of {count} images ({faces.none / count:.1%})"
    if count and faces.several > LITTLE * count:
        yield (
            f"several faces in {faces.several} of {count} images; the largest central one is taken"
        )
    if faces.beyond_fraction and faces.beyond_fraction > 0.05:
        what = (
            f"images are squares of {faces.aligned_px} px but not aligned to the ArcFace template"
            if faces.aligned_px
            else "faces do not fit the template"
        )
        yield (
            f"{what}: {faces.beyond_fraction:.0%} are more than {faces.max_residual_px:g} px off"
        )
    if faces.eye_px and faces.aligned_px is None and faces.eye_px.median < SMALL_EYES_PX:
        yield f"small faces: eyes are {faces.eye_px.median:.0f} px apart in the median image"


def _of_looks(looks: dict[str, Values | None]) -> Iterator[str]:
    sharp, bright = looks["sharpness"], looks["brightness"]
    if sharp and sharp.median < BLUR:
        yield f"blurred: the variance of the Laplacian is {sharp.median:.0f} in the median face"
    if bright and not DARK < bright.median < BRIGHT:
        yield f"{'dark' if bright.median < DARK else 'bright'}: median luma {bright.median:.0f}"


def _of_copies(copies: CopyFindings) -> Iterator[str]:
    if copies.across:
        yield f"{copies.across} pairs of images of different people are one picture"
    if copies.within:
        yield (
            f"{copies.within} pairs of images of one person are one picture; {copies.extra_images} "
            "images add nothing"
        )


def _of_labels(found: Inspection) -> Iterator[str]:
    labels = found.labels
    if labels is None:
        return
    if labels.num_doubles:
        yield f"{labels.num_doubles} pairs of names are likely one person each"
    if labels.mislabeled_estimate:
        yield (
            f"about {labels.mislabeled_estimate} images are likely of somebody else than their "
            f"name says; {labels.num_mislabeled} are doubted, the worst first"
        )
    if labels.mislabeled_note and labels.mislabeled_found is not None:
        yield f"labels are not checked: {labels.mislabeled_note}"


def _of_overlap(found: Inspection) -> Iterator[str]:
    if found.pairs and (found.pairs.num_same_names or found.pairs.num_same_images):
        yield (
            f"{found.pairs.num_same_names} people and {found.pairs.num_same_images} images of "
            f"{found.pairs.file} are in it: its accuracy there would say nothing"
        )
    other = found.against
    if other is None:
        return
    if other.num_same_images:
        yield f"{other.num_same_images} images are images of {other.other}"
    if other.num_same_people:
        yield f"{other.num_same_people} people are likely people of {other.other}"
    expected = (other.near_expected or 0) * found.contents.looked_at_images
    if other.near_images and other.near_images > 2 * expected:
        yield (
            f"{other.near_images} images are nearer to somebody of {other.other} than strangers "
            f"are ({expected:.0f} would be by chance)"
        )
