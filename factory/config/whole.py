"""The whole config: every section, in the order a release flows."""

from __future__ import annotations

from dataclasses import dataclass, field

from factory.config.editing import PersonalizationConfig, EditingConfig, InpaintingTrainingConfig, BaseTrainingConfig
from factory.config.evaluating import AuditConfig, FeaturesConfig, UtilityConfig
from factory.config.learning import (
    AutoencoderConfig,
    ComputeConfig,
    BatchesConfig,
    GeneratorConfig,
    JudgeConfig,
    RecognizerConfig,
    SourceConfig,
    TrainingConfig,
)
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
from factory.config.rules import check


@dataclass(frozen=True, kw_only=True)
class Config:
    """One release or one training: all sections in flow order."""

    source: SourceConfig = field(default_factory=SourceConfig)
    compute: ComputeConfig = field(default_factory=ComputeConfig)
    training: TrainingConfig = field(default_factory=TrainingConfig)
    feed: BatchesConfig = field(default_factory=BatchesConfig)
    recognizer: RecognizerConfig = field(default_factory=RecognizerConfig)
    judge: JudgeConfig = field(default_factory=JudgeConfig)
    autoencoder: AutoencoderConfig = field(default_factory=AutoencoderConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    text_to_image: BaseTrainingConfig = field(default_factory=BaseTrainingConfig)
    booth: PersonalizationConfig = field(default_factory=PersonalizationConfig)
    editor: InpaintingTrainingConfig = field(default_factory=InpaintingTrainingConfig)
    editing: EditingConfig = field(default_factory=EditingConfig)
    identities: IdentitiesConfig = field(default_factory=IdentitiesConfig)
    plan: PlanConfig = field(default_factory=PlanConfig)
    sampler: SamplerConfig = field(default_factory=SamplerConfig)
    filters: FiltersConfig = field(default_factory=FiltersConfig)
    shards: ShardsConfig = field(default_factory=ShardsConfig)
    audit: AuditConfig = field(default_factory=AuditConfig)
    features: FeaturesConfig = field(default_factory=FeaturesConfig)
    utility: UtilityConfig = field(default_factory=UtilityConfig)
    fleet: FleetConfig = field(default_factory=FleetConfig)
    store: StoreConfig = field(default_factory=StoreConfig)
    cluster: ClusterConfig = field(default_factory=ClusterConfig)
    prices: PricesConfig = field(default_factory=PricesConfig)
    release: ReleaseConfig = field(default_factory=ReleaseConfig)

    def __post_init__(self) -> None:
        check(self)
