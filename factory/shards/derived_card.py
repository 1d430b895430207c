"""The card of a union or of a compacted release, until it is measured."""

from __future__ import annotations

from factory.provenance.licenses import hub_id
from factory.provenance.lineage import UNKNOWN, read_lineage
from factory.records import Manifest
from factory.shards import layout
from factory.shards.derived import made_of
from factory.shots.plan import Plan
from factory.store import Store


def short_card(store: Store, plan: Plan, manifest: Manifest) -> bytes:
    """What a release is made of, how large it is, under which license, and how to measure it.

    The license is that of its lineage; unknown where an older factory kept none.
    """
    assert plan.derived is not None, "it is made of versions"
    lineage, counts = read_lineage(store), manifest.counts
    stated = (lineage.license if lineage else "") or UNKNOWN
    name = f"{manifest.dataset} {manifest.version}"
    source = (
        f"`{layout.LINEAGE}` lists all faces and networks that it descends from, with theirs."
        if lineage
        else "An older factory kept no lineage of it, so the license is not known."
    )
    real = "holds" if plan.request.holds_real_people else "does not hold"
    return f"""---
license: {hub_id(stated)}
---
# {name}

Made of other versions of {manifest.dataset}: {made_of(plan.derived)} (plan `{plan.hash}`). Class
labels, keys and bytes of every image are the same.

- {counts.kept} images in {len(manifest.shards)} shards. It {real} images of real people.
- License: {stated}. {source}
- Nothing is measured of it yet; the cards of {_versions(plan)} tell what was measured of those.
  `python -m jobs.evaluate RELEASE CONFIG` measures it where one config describes all of them, and
  then writes a full card, report and croissant.json.
""".encode()


def _versions(plan: Plan) -> str:
    assert plan.derived is not None, "it is made of versions"
    return ", ".join(one.version for one in plan.derived.of)
