"""Measure a network again, into its checkpoint.json.

    python -m jobs.measure_network autoencoder configs/demo.yaml \\
        autoencoder.checkpoint=runs/demo/autoencoder [section.key=value ...]
    python -m jobs.measure_network generator configs/demo.yaml \\
        generator.checkpoint=runs/demo/generator
    python -m jobs.measure_network recognizer configs/demo.yaml \\
        recognizer.checkpoint=runs/demo/recognizer

Of an autoencoder or a generator they are those that section acceptance has limits of, on the faces
of the source: those held out, where source.holdout_identities or source.heldout names some. Of a
recognizer it is the geometry of its prototypes, with the cosines of what the generator draws from
virtual ones to them. Trainings measure at their end; this is for networks of an older factory, for
other faces, and for what needs a generator. Weights stay as they are. Networks of the package
(starter:NAME) are not written to, and a generator is measured with those networks alone that it was
trained with.
"""

from __future__ import annotations

from factory.config import Config
from factory.store.json_text import json_text
from jobs._arguments import Argument
from jobs._job import Job


def measure_network(network: str, config: Config, dry_run: bool) -> None:
    from factory.diffusion.remeasure import add_figures, figures_of

    measured = figures_of(config, network, dry_run=dry_run)
    if dry_run:
        print("checked; nothing is written")
        return
    print(json_text(measured, indent=2))
    print("wrote", add_figures(config, network, measured))


NETWORK = Argument("network", "what to measure", choices=("autoencoder", "generator", "recognizer"))
JOB = Job(
    __doc__,
    measure_network,
    subjects=(NETWORK,),
    reads=("source", "recognizer", "autoencoder", "generator", "training", "compute", "store"),
)

if __name__ == "__main__":
    JOB.main()
