"""Check that no identity is too similar to another or to a real person.

    python -m jobs.audit configs/demo.yaml

Recomputes every identity's nearest real and nearest other cosine exactly, from the release's
vectors, the recognizer and the source, and compares them with roster.parquet and with the gate.
Then embeds the kept faces again, where fleet.runner says, and looks for real people among them by
the judge; judge.checkpoint=dlib gives a second opinion. Labels of the source that name one person
twice are listed by their images, here and nowhere else.
"""

from __future__ import annotations

from factory.config import Config
from jobs._job import Job
from jobs._sections import SEALED


def audit_release(config: Config, dry_run: bool) -> None:
    from factory.evaluation.evaluate import audit_faces
    from factory.evaluation.leakage import refuse_leaks
    from factory.evaluation.separability import audit, gate_lines
    from factory.evaluation.verdict import audit_lines, within_limit
    from factory.planning.preflight import check_weights
    from factory.provenance.lineage import read_lineage
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
    print(*gate_lines(plan, roster, largest), sep="\n")
    sealed, run_units = manifest.sealed_manifest(store, plan), runner_of(config)
    faces = audit_faces(config, source, store, sealed, roster, run_units)
    lineage, spared = read_lineage(store), plan.request.spared
    print(*audit_lines(config, source, faces, lineage, spared), sep="\n")
    if faces:
        refuse_leaks(faces.metrics)
        print(within_limit(config, faces.metrics))


JOB = Job(__doc__, audit_release, reads=(*SEALED, "fleet", "compute", "store"))

if __name__ == "__main__":
    JOB.main()
