"""What the report's terms mean, shown where one points at them or touches them.

Definitions are the field's: verification rates as in ISO/IEC 19795-1, class consistency as in the
papers that METHODS 6 names.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache

from markupsafe import Markup, escape

TERMS = {
    "AUC": "Area under the ROC curve: how often a pair of one person is more alike than a pair of "
    "two. 1 is perfect, .5 is chance.",
    "EER": "Equal error rate: the rate at the threshold where false matches and false non-matches "
    "are equally frequent.",
    "FMR100": "Fraction of same-person pairs missed at the threshold that lets 1 in 100 pairs of "
    "strangers through.",
    "FMR1000": "Fraction of same-person pairs missed at the threshold that lets 1 in 1000 pairs of "
    "strangers through.",
    "FDR": "Fisher discriminant ratio: squared distance of the two mean cosines over the sum of "
    "their variances. Higher is better apart.",
    "TPR": "True positive rate: fraction of members that are recognized as members.",
    "ROC": "True accept rate over false accept rate, for every threshold.",
    "genuine": "Cosine of two images of one person, mean and standard deviation.",
    "impostor": "Cosine of images of two people, mean and standard deviation.",
    "cosine": "Similarity of two embeddings: 1 is the same direction, 0 is unrelated.",
    "to the own center (CCS)": "Class-center similarity: mean cosine of an image to the mean of "
    "its person's images.",
    "to the nearest other (NNCCS)": "Mean cosine of an image to the nearest other person's center.",
    "pairs within a class (C_k)": "Mean cosine of all pairs of images of one person.",
    "difference": "CCS less NNCCS: how much nearer an image is to its own person than to anybody "
    "else.",
    "FID": "Fréchet distance of two sets' features, as if each were normally distributed. 0 is the "
    "same.",
    "CMMD": "Maximum mean discrepancy of two sets' features with a Gaussian kernel. 0 is the same.",
    "precision": "Fraction of made images that lie among the real ones in feature space.",
    "recall": "Fraction of real images that lie among the made ones in feature space.",
    "overlap of genuine": "Intersection over union of the two histograms of genuine cosines.",
    "of impostor cosines": "Intersection over union of the two histograms of impostor cosines.",
    "CR-FIQA": "Face image quality as the recognizer predicts it: about the cosine to the person's "
    "center.",
    "deviation within an identity (D_k)": "Standard deviation of a score over one person's images, "
    "averaged over people.",
    "over all images": "Standard deviation of the score over all images.",
    "sharpness": "Variance of the Laplacian of the gray image.",
    "brightness": "Mean gray level, 0 to 255.",
    "contrast": "Standard deviation of the gray level.",
    "limit": "Similarity above which a made face counts as a leak. It is chosen on the source's "
    "own people, each against the others.",
    "of its strangers": "The same count for images of the source against its other people: "
    "what is found where nobody leaks.",
    "leaks": "Made faces that are as near to a real person as hardly any stranger is.",
    "99 % are below": "99th percentile of the cosines to the nearest real person.",
    "identities": "People, each a label of the dataset.",
    "people": "Different people, each a label of the dataset.",
    "shots": "Attempts to draw an image, those for rejected ones included.",
    "kept": "Images that passed every filter and are in the dataset.",
    "rejected": "Images that a filter dropped; why is in rejects/.",
    "quarantined": "Attempts that ended in an error, set aside so that the rest goes on.",
    "top-ups": "Further attempts for images that have no kept face yet.",
    "shards": "Tar files that hold the images, one for a range of people.",
    "roster": "The list of who is in the dataset.",
    "outcome": "Kept, or why not.",
    "learned from": "What a recognizer was trained on before it was tested on the benchmarks.",
    "gap": "Accuracy by real images less that by made ones.",
    "drawn again": "How often a candidate was refused, because it was too near to somebody.",
    "quota": "Fraction of people that the config asks for.",
    "group": "People with one attribute, read off their embeddings.",
    "nearest real person": "The real person whose center is most similar.",
    "nearest other identity": "The other person of this dataset who is most similar.",
    "largest cosine allowed": "No two people of the dataset, and none of it and a real one, are "
    "more similar than this.",
    "mistaken": "Expected false matches of a person among strangers whom nobody keeps apart.",
    "packing": "People placed in the embedding space so that the nearest two are as far apart as "
    "can be.",
    "random directions": "Embeddings drawn without any rule, for comparison.",
    "edit and fraction to hide": "What was redrawn, and which fraction of the face it should hide.",
    "fraction hidden": "Fraction of the face's area that the edit covers.",
    "to what stays visible": "Cosine to the original with the covered area gray.",
    "score": "What is compared between people that the generator learned from and others.",
    "asks": "What an attacker needs: the generator, its pictures, or nothing at all.",
    "95 % interval": "Range that would hold the true value in 95 of 100 repetitions.",
    "chance": "How often shuffled labels give a value as extreme.",
    "busy": "Time in which a process drew, filtered or wrote images.",
    "sampling": "Running the diffusion network.",
    "processes at work": "Mean number of processes that were drawing.",
    "seconds": "Wall-clock time.",
    "faces a second": "Kept faces over the whole time.",
    "license": "Under which terms its images or weights may be used.",
    "sha256": "Digest of all bytes: equal digests are equal files.",
    "weights": "A trained network, by the digest of its file.",
    "plan": "Digest of all that decides the bytes of the dataset.",
    "source": "The images that were learned from or that people are kept away from.",
    "network": "A trained network that had a part in the making.",
}
"""Term -> one or two sentences."""


@cache
def _pattern(terms: frozenset[str]) -> re.Pattern[str]:
    longest_first = sorted(terms, key=lambda term: (-len(term), term))
    return re.compile(r"(?<!\w)(" + "|".join(map(re.escape, longest_first)) + r")(?!\w)")


def explained(text: object, terms: Mapping[str, str] = TERMS) -> Markup:
    """A label as HTML, its terms marked up so that pointing or touching shows what they mean."""
    parts = _pattern(frozenset(terms)).split(str(text))
    return Markup("").join(
        Markup('<abbr tabindex="0" data-tip="{}">{}</abbr>').format(terms[part], part)
        if number % 2
        else escape(part)
        for number, part in enumerate(parts)
    )


def used_in(html: str, terms: Mapping[str, str] = TERMS) -> list[tuple[str, str]]:
    """The terms that a page marks up, in order of the alphabet, with what they mean."""
    marked = set(re.findall(r'<abbr tabindex="0"[^>]*>([^<]*)</abbr>', html))
    return sorted(((t, terms[t]) for t in marked if t in terms), key=lambda term: term[0].lower())
