"""Certify a release again: who exists is apart from real people and from each other.

    python -m jobs.audit configs/demo.yaml

Recomputes every identity's nearest real and nearest other cosine exactly, from the release's
vectors, the recognizer and the source, and compares them with roster.parquet and with the gate.
Then looks for real people in the kept faces, in the judge's space. For a second opinion:

    python -m jobs.audit configs/demo.yaml judge.checkpoint=dlib
"""

from __future__ import annotations

from factory.config import Config
from factory.errors import PlanError
from jobs.command import run


def audit_release(config: Config, dry_run: bool) -> None:
    from factory.evaluation.leakage import refuse_leaks
    from factory.evaluation.measure import audit_faces
    from factory.evaluation.separability import audit
    from factory.identities.files import open_here
    from factory.shards import layout, manifest
    from factory.sources import open_source
    from factory.store import open_store
    from factory.synthesis.opening import earlier_vectors, open_plan

    prefix = layout.prefix(config.release.dataset, config.release.version)
    store = open_store(config.store).below(prefix)
    dataset = open_store(config.store).below(config.release.dataset)
    if manifest.plan_of(store) is None:
        raise PlanError(f"release.version: {store.url} has no plan; run jobs.release first")
    plan, roster = open_plan(store)
    source = open_source(config.source)
    if dry_run:
        return
    earlier_ED = earlier_vectors(dataset, config.identities.extends)
    further = open_here(config)
    largest = audit(config, plan, roster, source, further=further, unit_earlier_ED=earlier_ED)
    limit = plan.request["identities"]["max_cosine"]
    print(f"{len(roster.identities)} identities, gate at cosine {limit}")
    print(f"largest cosine to a real person {largest['real']:.6f}")
    print(f"largest cosine to another       {largest['other']:.6f}")
    print("certified")
    faces = audit_faces(config, source, store, manifest.collect(store, plan), roster)
    if faces:
        print(*faces.figures["summary"], sep="\n")
        for one, other, cosine in faces.lookalikes[:3]:
            print(f"{source.keys[one]} and {source.keys[other]} of the source: {cosine:.3f}")
        print("two names for one person there loosen the limit")
        refuse_leaks(faces.figures)
        print("no more leaks than audit.max_leak_fraction allows")


if __name__ == "__main__":
    run(__doc__ or "", audit_release)
