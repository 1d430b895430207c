"""The steps of a pipeline's trainings by a budget, decided once and kept.

A decision is a small file among the pipeline's records, for the settings, faces and networks that
it was made for. So the same command goes on with the same steps, a stage that is made stays made,
and the steps stand in the checkpoint.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from factory.config import Config, StageConfig
from factory.errors import ConfigError
from factory.planning.budget import Budget, Steps, minutes, steps_within
from factory.planning.pace import Pace, pace_of
from factory.records import Log, Train
from factory.store import Store
from factory.store.json_text import json_text
from factory.training.shared_out import store_of

DecideSteps = Callable[[StageConfig, Config, str, Store], StageConfig]
"""From a training's stage, its config, its fingerprint without the decision, and the pipeline's
records to the stage with its steps."""
FindPace = Callable[[Train, Config], Pace]
ANEW = "another name=..., out=... and release.version=..."
"""What makes a pipeline one of its own, beside what was begun."""


class StepDecisions:
    """Decides by a budget, or repeats what was decided.

    Without a budget nothing is decided; what a budget decided before is refused, because half of a
    training by one number of steps and half by another can be repeated by neither. For the same
    reason a training that was begun without one is refused with one. What earlier runs planned to
    spend is taken off the budget of those that go on.
    """

    def __init__(
        self,
        budget: Budget | None,
        names: Sequence[str],
        trains: Mapping[str, Train],
        log: Log,
        find_pace: FindPace = pace_of,
    ) -> None:
        """`names` are all stages in order; `trains` are the trainings by job."""
        self._budget, self._names, self._trains = budget, list(names), trains
        self._log, self._find_pace = log, find_pace
        self._is_told = False

    def __call__(
        self, stage: StageConfig, config: Config, fingerprint: str, records: Store
    ) -> StageConfig:
        """The stage with exactly its steps; raises ConfigError for another budget than before."""
        if stage.job not in self._trains:
            return stage
        name = f"{stage.name}.steps.json"
        kept = json.loads(records.get(name)) if records.exists(name) else {}
        total_s = self._budget.total_s if self._budget else None
        if kept.get("fingerprint") == fingerprint:
            if kept["budget_s"] != total_s:
                asked = f"got {minutes(total_s)}" if total_s else "nothing given"
                raise ConfigError(
                    f"--budget: {asked}, and stage {stage.name!r} was begun with "
                    f"{minutes(kept['budget_s'])}; want the same, or {ANEW}"
                )
            if self._budget and "left_s" in kept:
                self._budget.plan_left(kept["left_s"])
            return with_steps(stage, kept["steps"])
        if self._budget is None or not stage.share:
            return stage
        if not kept:
            _refuse_begun(stage, config)
        steps = self._decide(self._budget, stage, config)
        left_s = max(0.0, self._budget.left_s - steps.expected_s)
        body = {"fingerprint": fingerprint, "budget_s": total_s, "steps": steps.count}
        records.put(name, (json_text({**body, "left_s": left_s}, indent=1) + "\n").encode())
        return with_steps(stage, steps.count)

    def _decide(self, budget: Budget, stage: StageConfig, config: Config) -> Steps:
        """Time some steps and count those that fit; says what is expected.

        Stages before the first that is decided are made, or have their steps.
        """
        later = self._names[self._names.index(stage.name) + 1 :]
        budget.take_off_planned()
        if not self._is_told:
            self._log(budget.expected([stage.name, *later]))
            self._is_told = True
        allowed_s, before_s = budget.seconds_for(stage.name, later), budget.left_s
        self._log(f"{stage.name}: timing its first steps")
        pace = self._find_pace(self._trains[stage.job], config)
        spent_s = before_s - budget.left_s
        most = {"max_steps of the stage": stage.max_steps}
        most["training.max_steps"] = config.training.max_steps
        steps = steps_within(allowed_s, pace, stage.min_steps, most, spent_s)
        self._log(steps.line(stage.name, allowed_s, pace))
        return steps


def _refuse_begun(stage: StageConfig, config: Config) -> None:
    """Raise ConfigError where a training lies whose steps no budget decided."""
    out = store_of(config)
    if out.exists("checkpoint.json") or out.list("resume/"):
        raise ConfigError(
            f"--budget: stage {stage.name!r} was begun without one, in {out.url}; want the same "
            f"command without --budget, or {ANEW}"
        )


def with_steps(stage: StageConfig, count: int) -> StageConfig:
    """The stage with exactly so many steps, whatever its recipe says."""
    steps = (f"training.min_steps={count}", f"training.max_steps={count}")
    return replace(stage, set=(*stage.set, *steps))
