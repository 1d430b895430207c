"""What is private of a release's real people: beside the release while it is made, then gone.

It lies below private/ of the dataset, in the store of the release and encrypted as that is, and no
machine keeps a copy on its disk. Later it is made anew, in memory, of the source, the recognizer
and the key of pseudonyms that the release was planned with.
"""

from __future__ import annotations

import hashlib
import io
from contextlib import suppress
from zipfile import BadZipFile

import numpy as np

from factory.config import Config
from factory.errors import IntegrityError
from factory.identities.private_people import PrivatePeople
from factory.identities.roster import Roster
from factory.identities.roster_building import open_recognizer, real_people_again
from factory.provenance.naming import naming_of
from factory.shards import layout
from factory.shots.plan import Plan, PrivateDigests, UnitPlan
from factory.sources import FaceSource
from factory.store import Store
from factory.training.distributed import kept_threads


def write_private(release: Store, roster: Roster) -> PrivateDigests | None:
    """Write what makers will need, and return its digests; None where nobody real is drawn.

    Raises Conflict where another roster's lies there.
    """
    private = roster.private
    if private is not None:
        layout.private_store(release).put_once(layout.PRIVATE_PEOPLE, private.to_bytes())
    return private_digests(roster)


def private_digests(roster: Roster) -> PrivateDigests | None:
    """Digests of what makers will need of real people; None where nobody real is drawn."""
    private = roster.private
    if private is None:
        return None
    return PrivateDigests(private.people_sha256, private.vectors_sha256)


def put_again(release: Store, plan: Plan, private: PrivatePeople) -> None:
    """Write what was made anew of a plan's people.

    Raises IntegrityError where vectors are not the planned ones to the bit, which the machine that
    embeds a source decides; a sealed release needs none of them, and nothing is written.
    """
    if plan.private == PrivateDigests(private.people_sha256, private.vectors_sha256):
        layout.private_store(release).put_once(layout.PRIVATE_PEOPLE, private.to_bytes())
    elif not release.exists(layout.SUMS):
        raise IntegrityError(
            f"{layout.private_url(release.url)}/{layout.PRIVATE_PEOPLE}: is gone, and this machine "
            "embeds the people of the source otherwise than the one that planned the release; run "
            "on a machine like that one, restore the file, or choose another release.version"
        )


def read_private(release: Store, plan: UnitPlan) -> PrivatePeople | None:
    """What was written for a plan; None where it is gone.

    Raises IntegrityError for another plan's.
    """
    try:
        data = layout.private_store(release).get(layout.PRIVATE_PEOPLE)
    except FileNotFoundError:
        return None
    private, found = None, None
    with suppress(ValueError, KeyError, EOFError, BadZipFile):  # of bytes that nobody wrote so
        private = PrivatePeople.from_bytes(data)
        found = PrivateDigests(private.people_sha256, private.vectors_sha256)
    if private is None or (plan.private is not None and found != plan.private):
        raise IntegrityError(
            f"{layout.private_url(release.url)}/{layout.PRIVATE_PEOPLE}: is not the one the plan "
            "was made with; delete it, and the command of the release makes it anew"
        )
    return private


def write_spared(release: Store, unit_GD: np.ndarray) -> None:
    """Write the judge's vectors of the real people whom makers spare, float32 [G, D].

    Raises Conflict where others lie there.
    """
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(unit_GD, "<f4"), allow_pickle=False)
    layout.private_store(release).put_once(layout.SPARED_PEOPLE, buffer.getvalue())


def spared_sha256(unit_GD: np.ndarray) -> str:
    """Digest of vectors, as a plan has it."""
    return hashlib.sha256(np.ascontiguousarray(unit_GD, "<f4").tobytes()).hexdigest()


def read_spared(release: Store, plan: Plan) -> np.ndarray:
    """What was written for a plan; raises IntegrityError where it is gone, or another plan's."""
    spared = plan.request.spared
    assert spared is not None, "the plan spares nobody"
    unit_GD: np.ndarray | None = None
    with suppress(FileNotFoundError, ValueError, EOFError):  # also of bytes that nobody wrote so
        data = layout.private_store(release).get(layout.SPARED_PEOPLE)
        unit_GD = np.load(io.BytesIO(data), allow_pickle=False)
    if unit_GD is None or spared_sha256(unit_GD) != spared.vectors_sha256:
        raise IntegrityError(
            f"{layout.private_url(release.url)}/{layout.SPARED_PEOPLE}: is gone or not the one the "
            "plan was made with; delete it, and the command of the release makes it anew"
        )
    return unit_GD


def put_spared_again(release: Store, plan: Plan, unit_GD: np.ndarray) -> None:
    """Write vectors that were made anew; nothing for a sealed release, which needs none.

    Raises IntegrityError where they are not the planned ones to the bit.
    """
    spared = plan.request.spared
    if spared is None or release.exists(layout.SUMS):
        return
    if spared_sha256(unit_GD) != spared.vectors_sha256:
        raise IntegrityError(
            f"{layout.private_url(release.url)}/{layout.SPARED_PEOPLE}: is gone, and this machine "
            "embeds the people of the source otherwise than the one that planned the release; run "
            "on a machine like that one, restore the file, or choose another release.version"
        )
    write_spared(release, unit_GD)


def make_again(config: Config, plan: UnitPlan, roster: Roster, source: FaceSource) -> PrivatePeople:
    """What is private of the real people of a roster, whose file is gone.

    `source` and recognizer of the config must be the planned ones. Raises ConfigError where the
    environment lacks the key of their pseudonyms, IntegrityError where it is another.
    """
    naming = naming_of(plan.request.pseudonyms)
    with kept_threads():
        again = real_people_again(
            config.release.method,
            roster.real_people,
            open_recognizer(config),
            source,
            naming,
            config.source.max_corrupt_fraction,
        )
    _check_originals(roster, again)
    planned = plan.private
    exact = config.release.method == "diffusion"  # rows of a checkpoint, not computed here
    if planned and again.people_sha256 != planned.people:
        raise IntegrityError(
            "source.path: its people are not those that the release was planned with; use that "
            "source and that recognizer"
        )
    if planned and exact and again.vectors_sha256 != planned.vectors:
        raise IntegrityError(
            "recognizer.checkpoint: its prototypes are not those that the release was planned "
            "with; use that one"
        )
    return again


def _check_originals(roster: Roster, again: PrivatePeople) -> None:
    """Raise IntegrityError where a source has more or fewer images of somebody than were edited."""
    wanted = [len(person.originals) for person in roster.real_people if again.originals]
    for had, own in zip(wanted, again.originals, strict=True):
        if had != len(own):
            raise IntegrityError(
                f"source.path: has {len(own)} images of somebody of whom the release was planned "
                f"with {had}; use that source"
            )
