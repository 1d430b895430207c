"""The whole config: every section, in the order a release flows."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from factory.config.acceptance import AcceptanceConfig
from factory.config.attack import AttackConfig
from factory.config.benchmark import BenchmarkConfig
from factory.config.cluster import EstimateConfig, FleetConfig
from factory.config.data import BatchesConfig, SourceConfig
from factory.config.distillation import DistillationConfig
from factory.config.editing import ComparisonConfig, EditingConfig, InpaintingTrainingConfig
from factory.config.evaluation import AuditConfig, FeaturesConfig, UtilityConfig
from factory.config.identification import IdentificationConfig
from factory.config.models import (
    AutoencoderConfig,
    CheckpointConfig,
    GeneratorConfig,
    JudgeConfig,
    RecognizerConfig,
    TurnsConfig,
)
from factory.config.pairs import PairsConfig
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
from factory.config.rules import check
from factory.config.text_to_image import BaseModelConfig, BaseTrainingConfig, PersonalizationConfig
from factory.config.training import ComputeConfig, TrainingConfig
from factory.config.verification import QualityConfig, VerificationConfig


@dataclass(frozen=True, kw_only=True)
class Config:
    """One release or one training: all sections in flow order."""

    source: SourceConfig = field(default_factory=SourceConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    batches: BatchesConfig = field(default_factory=BatchesConfig)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    checkpoint: CheckpointConfig = field(default_factory=CheckpointConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    turns: TurnsConfig = field(default_factory=TurnsConfig)
    distillation: DistillationConfig = field(default_factory=DistillationConfig)
    acceptance: AcceptanceConfig = field(default_factory=AcceptanceConfig)
    base_model: BaseModelConfig = field(default_factory=BaseModelConfig)
    base_training: BaseTrainingConfig = field(default_factory=BaseTrainingConfig)
    personalization: PersonalizationConfig = field(default_factory=PersonalizationConfig)
    inpainting_training: InpaintingTrainingConfig = field(default_factory=InpaintingTrainingConfig)
    editing: EditingConfig = field(default_factory=EditingConfig)
    comparison: ComparisonConfig = field(default_factory=ComparisonConfig)
    rendering: RenderingConfig = field(default_factory=RenderingConfig)
    identities: IdentitiesConfig = field(default_factory=IdentitiesConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    pairs: PairsConfig = field(default_factory=PairsConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    utility: UtilityConfig = field(default_factory=UtilityConfig)
    identification: IdentificationConfig = field(default_factory=IdentificationConfig)
    attack: AttackConfig = field(default_factory=AttackConfig)
    quality: QualityConfig = field(default_factory=QualityConfig)
    verification: VerificationConfig = field(default_factory=VerificationConfig)
    benchmark: BenchmarkConfig = field(default_factory=BenchmarkConfig)
    fleet: FleetConfig = field(default_factory=FleetConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    estimate: EstimateConfig = field(default_factory=EstimateConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)

    def __post_init__(self) -> None:
        self._reach_sources()
        check(self)

    def _reach_sources(self) -> None:
        """Give sources the settings of sections store and rendering, which readers never see."""

        def reached(source: SourceConfig, *others: str | None) -> SourceConfig:
            return source.reached_by(self.store, *others).rendered_as(self.rendering)

        mix = [replace(mixed, source=reached(mixed.source)) for mixed in self.batches.mix]
        benchmarks = [reached(source) for source in self.utility.benchmarks]
        reference_sets = [reached(source) for source in self.features.reference_sets]
        values = {
            "source": reached(self.source, self.identities.inquiry, self.identification.gallery),
            "batches": replace(self.batches, mix=mix),
            "utility": replace(self.utility, benchmarks=benchmarks),
            "features": replace(self.features, reference_sets=reference_sets),
        }
        for name, value in values.items():
            object.__setattr__(self, name, value)  # because the config is frozen for all others
