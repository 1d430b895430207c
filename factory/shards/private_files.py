"""What is private of a release's real people: beside the release while it is made, then gone.

It lies below private/ of the dataset, in the store of the release and encrypted as that is, and no
machine keeps a copy on its disk. Later it is made anew, in memory, of the source, the recognizer
and the key of pseudonyms that the release was planned with.
"""

from __future__ import annotations

from contextlib import suppress
from zipfile import BadZipFile

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
