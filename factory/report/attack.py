"""What an attack on a generator found, as rows and sentences of report, card and terminal."""

from __future__ import annotations

from factory.evaluation.metrics.attack import Attack, AttackScore, FreeDraws
from factory.evaluation.metrics.values import Interval

HEADS = ["score", "asks", "AUC", "95 % interval", "chance", "TPR", "95 % interval"]
MEMBERSHIP = {
    "recorded": "the generator's records say that it learned from the members",
    "unrecorded": "the generator's records do not tell all that it learned from",
    "contradicted": "the generator's records do not hold all of the members",
}
CAVEATS = {
    "recorded": "",
    "unrecorded": (
        "That the generator learned from the members, and from nobody held out, is what the config "
        "says, not what its records tell."
    ),
    "contradicted": (
        "A control, not a finding about those the generator learned from, because by its records "
        "these are not all of the members."
    ),
}
"""What is said before a finding, by Attack.membership."""


def rows(found: Attack) -> list[list[str]]:
    """A row of HEADS for each score, those that ask the generator first."""
    return [
        [
            score.name,
            score.uses,
            f"{score.auc:.3f}",
            _span(score.interval),
            _chance(score),
            f"{score.at_few_false_alarms.tpr:.1%}",
            _percents(score.at_few_false_alarms.interval),
        ]
        for score in found.scores
    ]


def verdict(found: Attack) -> str:
    """Whether members can be told from people held out, and what has to be known to read that."""
    said = (CAVEATS[found.membership], _finding(found), _split(found))
    return " ".join(sentence for sentence in said if sentence)


def sentences(found: Attack) -> list[str]:
    """Who was compared, what the figures can tell, and what draws at nobody came near to."""
    return [
        _compared(found),
        _rate(found),
        _copies(found),
        *(_free(drawn) for drawn in found.free_draws),
    ]


def lines(found: Attack) -> list[str]:
    """All of it for the terminal."""
    table = [HEADS, *rows(found)]
    widths = [max(len(row[column]) for row in table) for column in range(len(HEADS))]
    padded = (
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in table
    )
    return [*padded, *sentences(found), verdict(found)]


def _finding(found: Attack) -> str:
    own = found.using("generator")
    if found.finding == "told_apart":
        best = _farthest([score for score in own if score.is_beyond_chance])
        return (
            f"Members can be told from held-out people: {best.name} does so with an AUC of "
            f"{best.auc:.3f} (95 % interval {_span(best.interval)}); shuffled sides come as far by "
            f"any score with a chance of {_chance(best)}."
        )
    if found.finding == "undecided":
        beyond = [score for score in own if score.is_beyond_own_interval]
        return (
            f"Undecided: {len(beyond)} of {len(own)} scores leave .5 out of their 95 % interval "
            f"({_farthest(beyond).name}, AUC {_farthest(beyond).auc:.3f}), but shuffled sides come "
            f"as far by some score with a chance of {_chance(_farthest(beyond))}; more people "
            "would decide it."
        )
    return (
        f"Members cannot be told from held-out people by any of {len(own)} scores: every 95 % "
        f"interval of the AUC holds .5. With {found.members.people} and {found.heldout.people} "
        f"people an AUC of {found.detectable_auc:.2f} or more would have been seen four times of "
        "five; a smaller one stays unseen."
    )


def _split(found: Attack) -> str:
    blind = [score for score in found.using("nothing") if score.is_beyond_chance]
    if not blind:
        return ""
    worst = _farthest(blind)
    return (
        f"The two sides differ without the generator too ({worst.name}, AUC {worst.auc:.3f}, "
        f"{_span(worst.interval)}), so only what is farther from .5 than that can be its doing."
    )


def _compared(found: Attack) -> str:
    members, heldout = found.members, found.heldout
    text = (
        f"{members.images} images of {members.people} members and {heldout.images} of "
        f"{heldout.people} people held out; {MEMBERSHIP[found.membership]}. Faces are compared by "
        f"the {found.space}"
    )
    if found.space == "recognizer":
        text += " that conditions the generator, because there is no judge"
    return f"{text}."


def _rate(found: Attack) -> str:
    alarms = found.false_alarms
    where = f"{alarms.allowed} false alarms of {found.heldout.people}"
    bound = f"a rate below {alarms.largest_rate:.1%} with 95 % confidence"
    if alarms.is_resolved:
        return f"TPR is at a false positive rate of {alarms.wanted:.0%} ({where}; {bound})."
    return (
        f"A false positive rate of {alarms.wanted:.0%} cannot be resolved with "
        f"{found.heldout.people} people held out: TPR is at {where}, {bound} (rule of three)."
    )


def _copies(found: Attack) -> str:
    sides = (("members", found.members), ("people held out", found.heldout))
    counts = ", ".join(f"{side.near_copies} of {side.draws} at {name}" for name, side in sides)
    return f"Draws that nearly copy an image of their person: {counts}."


def _free(drawn: FreeDraws) -> str:
    return (
        f"Of {drawn.draws} draws at {drawn.condition} {drawn.nearest_is_member} are nearest to a "
        f"member (95 % interval {drawn.interval.low:.0f} to {drawn.interval.high:.0f}), by chance "
        f"about {drawn.expected:.0f}; {drawn.near_copies} nearly copy a real image."
    )


def _farthest(scores: list[AttackScore]) -> AttackScore:
    return max(scores, key=lambda score: abs(score.auc - 0.5))


def _chance(score: AttackScore) -> str:
    """No smaller one than .001 is told, because the shuffles are some thousand."""
    return f"{max(score.chance, 0.001):.3f}"


def _span(bounds: Interval) -> str:
    return f"{bounds.low:.3f} to {bounds.high:.3f}"


def _percents(bounds: Interval) -> str:
    return f"{bounds.low:.1%} to {bounds.high:.1%}"
