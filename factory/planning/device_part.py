"""What of a plan only a device can tell: its kind, its software, the micro-batch, the canary."""

from __future__ import annotations

from dataclasses import replace

import torch

from factory.config import Config
from factory.identities.roster import Roster
from factory.shards.plan_files import open_roster
from factory.shots.environment import environment
from factory.shots.plan import Plan
from factory.store import Store, open_store
from factory.synthesis.loading import load_planned
from factory.synthesis.maker import ShardMaker
from factory.synthesis.tuning import tuned_micro_batch
from factory.training.distributed import kept_threads, pick_device


def complete(config: Config, prefix: str, plan: Plan) -> Plan:
    """A plan whose roster lies below `prefix`, with the part of the machine this is called on.

    Raises as `completed` does.
    """
    store = open_store(config.store).below(prefix)
    return completed(config, store, plan, open_roster(store, plan))


def completed(config: Config, store: Store, plan: Plan, roster: Roster) -> Plan:
    """A plan of a roster, with the part of the machine this is called on; writes nothing.

    Raises ConfigError where the device that `config` asks for is not there, IntegrityError where
    the weights are not those of the request, and DeviceError where one shot does not fit.
    """
    request = plan.request
    device = pick_device(config.compute)
    compute = replace(request.compute, device=device.type)
    request = replace(request, compute=compute, environment=environment())
    if request.plan.micro_batch is None:
        request = request.with_micro_batch(tuned_micro_batch(config))
    plan = replace(plan, request=request)
    with kept_threads():
        release = load_planned(config, plan, roster)
        maker = ShardMaker.at(release, store, config.fleet.max_queued_bytes)
        plan = replace(plan, canary=maker.canary())
        maker.close()
    if device.type == "cuda":
        del release, maker
        torch.cuda.empty_cache()  # because an actor will want this GPU
    return plan
