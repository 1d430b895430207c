"""Every knob of the factory; `load` turns a file into one object.

One file is one release or one training. Values come from the dataclass defaults, then the YAML
file, then `section.key=value` arguments. Nothing heavy is imported here: a config is read and
refused before torch, ray or faiss are touched.
"""

from factory.config.claims import ArmConfig, ClaimConfig, load_claim
from factory.config.editing import PersonalizationConfig, EditingConfig, InpaintingTrainingConfig, BaseTrainingConfig
from factory.config.evaluating import AuditConfig, FeaturesConfig, UtilityConfig
from factory.config.learning import (
    AugmentConfig,
    AutoencoderConfig,
    ComputeConfig,
    BatchesConfig,
    GeneratorConfig,
    JudgeConfig,
    MixedSource,
    RecognizerConfig,
    SourceConfig,
    TrainingConfig,
)
from factory.config.loading import absolute, as_dict, load
from factory.config.making import (
    ClusterConfig,
    FiltersConfig,
    FleetConfig,
    IdentitiesConfig,
    PlanConfig,
    PricesConfig,
    ReleaseConfig,
    SamplerConfig,
    ShardsConfig,
    StoreConfig,
)
from factory.config.pipeline import PipelineConfig, StageConfig, load_pipeline
from factory.config.whole import Config

__all__ = [
    "ArmConfig",
    "AuditConfig",
    "AugmentConfig",
    "AutoencoderConfig",
    "BoothConfig",
    "ClaimConfig",
    "ClusterConfig",
    "ComputeConfig",
    "Config",
    "EditingConfig",
    "EditorConfig",
    "FeaturesConfig",
    "FeedConfig",
    "FiltersConfig",
    "FleetConfig",
    "GeneratorConfig",
    "IdentitiesConfig",
    "JudgeConfig",
    "MixedSource",
    "PipelineConfig",
    "PlanConfig",
    "PricesConfig",
    "RecognizerConfig",
    "ReleaseConfig",
    "SamplerConfig",
    "ShardsConfig",
    "SourceConfig",
    "StageConfig",
    "StoreConfig",
    "TextToImageConfig",
    "TrainingConfig",
    "UtilityConfig",
    "absolute",
    "as_dict",
    "load",
    "load_claim",
    "load_pipeline",
]
