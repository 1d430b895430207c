"""Check that no identity is too similar to another or to a real person.

    python -m jobs.audit configs/demo.yaml

Recomputes every identity's nearest real and nearest other cosine exactly, from the release's
vectors, the recognizer and the source, and compares them with roster.parquet and with the gate.
Then embeds the kept faces again, where fleet.runner says, and looks for real people among them by
the judge; judge.checkpoint=dlib gives a second opinion.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import SEALED


def audit_release(config: Config, dry_run: bool) -> None:
    from factory.evaluation.evaluate import NO_JUDGE, audit_faces
    from factory.evaluation.leakage import refuse_leaks, summary_lines
    from factory.evaluation.separability import audit
    from factory.planning.preflight import check_weights
    from factory.shards import layout, manifest
    from factory.shards.plan_files import open_plan
    from factory.sources import open_source
    from factory.store import open_store
    from jobs._runners import runner_of

    check_weights(config)
    dataset = open_store(config.store).below(config.release.dataset)
    store = layout.release_store(config)
    plan, roster = manifest.sealed_plan(store), open_plan(store, config)[1]
    source = open_source(config.source)
    if dry_run:
        print("checked; nothing is written")
        return
    largest = audit(config, plan, roster, source, dataset)
    if any(identity.kind == "virtual" for identity in roster.identities):
        print(f"{len(roster.identities)} identities, gate {plan.request.max_cosine}")
        print(f"largest cosine to a real person {largest.real:.6f}")
        print(f"largest cosine to another       {largest.other:.6f}")
        print("certified")
    else:
        print(f"{len(roster.identities)} identities of the source; nobody passed a gate")
    sealed, run_units = manifest.sealed_manifest(store, plan), runner_of(config)
    faces = audit_faces(config, source, store, sealed, roster, run_units)
    if not faces:
        print(NO_JUDGE)
        return
    print(*summary_lines(faces.metrics), sep="\n")
    for i, j, cosine in faces.lookalikes[:3]:
        print(f"nearest in the source: {source.keys[i]} and {source.keys[j]}, {cosine:.3f}")
    refuse_leaks(faces.metrics)
    print("no more leaks than audit.max_leak_fraction allows")


JOB = Job(__doc__, audit_release, reads=(*SEALED, "fleet", "compute", "store"))

if __name__ == "__main__":
    JOB.main()
