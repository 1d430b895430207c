"""The processes that make a release, and the figures that `jobs.plan` estimates with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from factory.config.field import file_path, knob


@dataclass(frozen=True, kw_only=True)
class FleetConfig:
    """The processes that make a release.

    Nothing here changes a byte of it.
    """

    runner: Literal["ray", "inline"] = "ray"
    """ray: actors; inline: the same plan in this process, for debugging."""
    num_workers: int | None = knob(None, low=1)
    """Actors at most; None: one per GPU, else one per cpus_per_actor, also of nodes that join."""
    min_workers: int = knob(1, low=1)
    """Actors that must find room when work starts; nodes may leave later."""
    join_timeout_s: float = knob(120.0, low=0.0)
    """How long the start waits on a cluster for nodes that give room for min_workers."""
    autoscale: bool = False
    """Ask for num_workers actors at once, whether there is room for them or not, so that the
    cluster's autoscaler adds nodes; where gpus_per_actor is not 0 they want GPUs."""
    gpus_per_actor: float = knob(1.0, low=0.0, high=8.0)
    """GPUs an actor is given where the cluster has GPUs (fractions share one)."""
    cpus_per_actor: float = knob(1.0, low=0.0)
    """CPUs an actor is given where it has no GPU."""
    units_in_flight: int = knob(2, low=1, high=2)
    """Units leased to an actor at once, so that it never waits for the driver."""
    max_unit_deaths: int = knob(5, low=1)
    """Deaths of actors with the same unit but no shot in hand before the release stops; deaths that
    a shot causes are bisected instead, and the shot is quarantined."""
    max_deaths_in_a_row: int = knob(25, low=1)
    """Deaths of actors without a commit in between before the release stops; bisecting one shot of
    a micro-batch of b costs about 4 + log2(b)."""
    max_bad_nodes_fraction: float = knob(0.5, low=0.0, high=1.0)
    """Fraction of the nodes that may fail alike, two errors of one kind each, before the release
    stops; until then a bad node only gets no more actors."""
    deadline_s: float = knob(900.0, low=1.0)
    """Silence of an actor that opens its networks or has work, after which it is killed and its
    units leased again."""
    max_queued_bytes: int = knob(256 << 20, low=1)
    """Images an actor may hold that are not committed yet; a slow store slows sampling down."""
    encoder_threads: int = knob(2, low=1, high=64)
    """Threads of an actor that make JPEG or PNG of images; one does about 8,000 JPEGs of 112 px a
    second on the CPU of an H100's host, where an actor draws about 1,100."""
    max_cost: float | None = knob(None, low=0.0)
    """What the actors may cost, by estimate.actor_hour; at this sum shards in hand are finished and
    the release stops. What earlier runs of the release have cost counts. None: no limit."""
    gallery_actors: int = knob(0, low=0)
    """Ray actors that search identities.gallery, each a part of it; 0: the driver alone."""
    events: str | None = file_path(only_local=True)
    """File of the driver's machine to which a line of JSON is added for whatever happens to a unit
    (leased, committed, lost, with worker, node and shots in hand); None: no such file."""
    address: str | None = None
    """Ray cluster; None: the one in RAY_ADDRESS, else a local Ray."""


@dataclass(frozen=True, kw_only=True)
class EstimateConfig:
    """The figures that `jobs.plan` estimates hours and cost with.

    The cluster need not exist, and nothing here changes what is made.
    """

    num_nodes: int | None = knob(None, low=1, high=100_000)
    """Nodes; None: the hours of one actor are estimated."""
    gpus_per_node: int = knob(1, low=1)
    """GPUs of a node, shared by actors of fleet.gpus_per_actor."""
    open_s: float = knob(30.0, low=0.0)
    """Seconds until a new actor has opened its networks."""
    node_start_s: float = knob(180.0, low=0.0)
    """Seconds until a preempted node is replaced."""
    preemptions_per_day: float = knob(0.0, low=0.0)
    """Times a day that a node is taken away, on average."""
    upload_bytes_per_s: float = knob(100e6, low=1.0)
    """Rate of a node to the store."""
    driver_s: float = knob(0.003, low=0.0)
    """Seconds of the driver for a unit; 3 ms were measured (tests/benchmarks/test_protocol)."""
    faces_per_s: float | None = knob(None, low=1e-6)
    """Shots an actor makes a second; None: as measured in the dataset's last release."""
    kept_fraction: float | None = knob(None, low=1e-6, high=1.0)
    """Fraction of shots that pass the filters; None: as measured in the dataset's last release."""
    face_bytes: int | None = knob(None, low=1)
    """Bytes of a stored face with its labels; None: as measured in the dataset's last release."""
    actor_hour: float | None = knob(None, low=0.0)
    """Price of an actor's hour, in any currency; None: no cost is estimated."""
    node_hour: float | None = knob(None, low=0.0)
    """Price of a node's hour, for estimate.num_nodes."""
    gb_month: float | None = knob(None, low=0.0)
    """Price of a stored gigabyte (1e9 bytes) a month, in the same currency."""
