"""Every setting of the factory; `load` turns a file into one object.

One file is one release or one training. Values come from the dataclass defaults, then the YAML
file, then `section.key=value` arguments. Nothing heavy is imported here: a config is read and
refused before torch, ray or faiss are touched.
"""

from factory.config.acceptance import AcceptanceConfig
from factory.config.attack import AttackConfig
from factory.config.benchmark import BenchmarkConfig
from factory.config.claims import ArmConfig, BoundConfig, ClaimConfig, load_claim
from factory.config.cluster import EstimateConfig, FleetConfig
from factory.config.data import AugmentConfig, BatchesConfig, MixedSource, SourceConfig
from factory.config.distillation import DistillationConfig
from factory.config.editing import ComparisonConfig, EditingConfig, InpaintingTrainingConfig
from factory.config.evaluation import AuditConfig, FeaturesConfig, UtilityConfig
from factory.config.identification import IdentificationConfig
from factory.config.loading import absolute, as_dict, as_yaml, load
from factory.config.mixing import MixConfig
from factory.config.models import (
    AutoencoderConfig,
    CheckpointConfig,
    GeneratorConfig,
    JudgeConfig,
    PrototypeStageConfig,
    RecognizerConfig,
    TurnsConfig,
)
from factory.config.pairs import PairsConfig
from factory.config.pipeline import PipelineConfig, StageConfig, load_pipeline
from factory.config.release import (
    FiltersConfig,
    IdentitiesConfig,
    PlanConfig,
    ReleaseConfig,
    SamplerConfig,
    ShardsConfig,
    StoreConfig,
)
from factory.config.rendering import RenderingConfig
from factory.config.schema import Config
from factory.config.text_to_image import BaseModelConfig, BaseTrainingConfig, PersonalizationConfig
from factory.config.training import ComputeConfig, TrainingConfig
from factory.config.verification import QualityConfig, VerificationConfig

__all__ = [
    "AcceptanceConfig",
    "ArmConfig",
    "AttackConfig",
    "AuditConfig",
    "AugmentConfig",
    "AutoencoderConfig",
    "BaseModelConfig",
    "BaseTrainingConfig",
    "BatchesConfig",
    "BenchmarkConfig",
    "BoundConfig",
    "CheckpointConfig",
    "ClaimConfig",
    "ComparisonConfig",
    "ComputeConfig",
    "Config",
    "DistillationConfig",
    "EditingConfig",
    "EstimateConfig",
    "FeaturesConfig",
    "FiltersConfig",
    "FleetConfig",
    "GeneratorConfig",
    "IdentificationConfig",
    "IdentitiesConfig",
    "InpaintingTrainingConfig",
    "JudgeConfig",
    "MixConfig",
    "MixedSource",
    "PairsConfig",
    "PersonalizationConfig",
    "PipelineConfig",
    "PlanConfig",
    "PrototypeStageConfig",
    "QualityConfig",
    "RecognizerConfig",
    "ReleaseConfig",
    "RenderingConfig",
    "SamplerConfig",
    "ShardsConfig",
    "SourceConfig",
    "StageConfig",
    "StoreConfig",
    "TrainingConfig",
    "TurnsConfig",
    "UtilityConfig",
    "VerificationConfig",
    "absolute",
    "as_dict",
    "as_yaml",
    "load",
    "load_claim",
    "load_pipeline",
]
