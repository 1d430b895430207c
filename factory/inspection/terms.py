"""What the terms of an inspection's page mean, beside or in place of a report's."""

from __future__ import annotations

from functools import partial

from factory.report import terms

TERMS = terms.TERMS | {
    "5 %": "One value in twenty is smaller.",
    "95 %": "One value in twenty is larger.",
    "alignment residual": "How far aligning an aligned face again would move it, or how far the "
    "points of one that was aligned stay from the template: root mean square, pixels at 112.",
    "color modes": "How pixels are stored: RGB is color, L is gray, P a palette, A transparency.",
    "cosine to the others": "To the mean of those half of the person's images that are most alike.",
    "cosine": "Similarity of two embeddings: 1 is the same direction, 0 is unrelated.",
    "different people": "Two names of the source, whoever they are.",
    "eye distance": "From one eye to the other in the image as it is stored.",
    "pitch": "How far the head looks up, estimated from five points, degrees.",
    "quality": "CR-FIQA: about the cosine to the person's center; by features.quality.",
    "residual": "How far a face is from the template: root mean square, pixels at 112.",
    "resembles most": "The person whose images the judge finds nearest to it.",
    "roll": "How far the head leans to a side, degrees.",
    "same bytes": "Files that are equal to the last bit.",
    "score": "The detector's confidence that it is a face, 0 to 1.",
    "several": "Images with more than one face; the largest central one is taken.",
    "sizes": "Width x height in pixels, and how many images have it.",
    "source": "The dataset that was inspected.",
    "that add nothing": "All but one of each group of copies.",
    "without color": "Fraction of images whose red, green and blue hardly differ.",
    "yaw": "How far the head is turned to a side, estimated from five points, degrees.",
}
"""Term -> one or two sentences."""
explained = partial(terms.explained, terms=TERMS)
"""A label as HTML, its terms marked up."""
