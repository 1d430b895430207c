"""Make trainings, release and measurements in order, each once.

    python -m jobs.pipeline configs/photographs.yaml source.path=people source.license=CC-BY-4.0
    python -m jobs.pipeline configs/pipeline/mini.yaml [store.url=s3://faces/made]
    python -m jobs.submit --job pipeline configs/pipeline/mini.yaml store.url=s3://faces/made

Stages that are finished are skipped. Each stage is recorded in the store when it is whole, with the
digest of its result; the same command goes on after a failure, and on another machine fetches the
weights that it needs. section.key=value goes to every stage that reads the section. With --budget,
the first steps of each training are timed, and it gets as many as fit.
"""

from __future__ import annotations

from factory.config import PipelineConfig, load, load_pipeline
from jobs._arguments import option
from jobs._job import Job


def pipeline(config: PipelineConfig, dry_run: bool, budget: str | None) -> None:
    from factory.pipeline import check_releases, run
    from factory.planning.budget import Budget, seconds_of
    from factory.planning.pipeline_checks import check_stage, warnings_for
    from factory.planning.step_decisions import StepDecisions
    from jobs._stages import RUNNERS, TRAININGS

    loaded = [(stage.job, load(stage.config, stage.set)) for stage in config.stages]
    for job, stage_config in loaded:
        check_stage(job, stage_config)
        for line in warnings_for(job, stage_config):
            print(line)
    check_releases(config)
    shares = {stage.name: stage.share for stage in config.stages}
    total_s = seconds_of(budget) if budget else None
    limit = Budget(total_s, shares) if total_s else None
    if dry_run:
        print(f"checked the configs of {len(config.stages)} stages")
        return
    decide = StepDecisions(limit, list(shares), TRAININGS, print)
    run(config, RUNNERS, decide_steps=decide)


BUDGET = option(
    "--budget", "time for all stages, such as 30m: trainings get the steps that fit", "TIME"
)
JOB = Job(__doc__, pipeline, load=load_pipeline, options=(BUDGET,))


if __name__ == "__main__":
    JOB.main()
