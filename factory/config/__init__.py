"""Every knob of the factory; `load` turns a file into one object.

One file is one release or one training. Values come from the dataclass defaults, then the YAML
file, then `section.key=value` arguments. Nothing heavy is imported here: a config is read and
refused before torch, ray or faiss are touched.
"""

from factory.config.knobs import (
    AugmentConfig,
    AutoencoderConfig,
    ComputeConfig,
    Config,
    FeedConfig,
    FiltersConfig,
    FleetConfig,
    GeneratorConfig,
    IdentitiesConfig,
    JudgeConfig,
    MixedSource,
    PlanConfig,
    PricesConfig,
    RecognizerConfig,
    ReleaseConfig,
    SamplerConfig,
    SourceConfig,
    StoreConfig,
    TrainingConfig,
)
from factory.config.loading import absolute, as_dict, load

__all__ = [
    "AugmentConfig",
    "AutoencoderConfig",
    "ComputeConfig",
    "Config",
    "FeedConfig",
    "FiltersConfig",
    "FleetConfig",
    "GeneratorConfig",
    "IdentitiesConfig",
    "JudgeConfig",
    "MixedSource",
    "PlanConfig",
    "PricesConfig",
    "RecognizerConfig",
    "ReleaseConfig",
    "SamplerConfig",
    "SourceConfig",
    "StoreConfig",
    "TrainingConfig",
    "absolute",
    "as_dict",
    "load",
]
