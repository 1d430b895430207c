"""croissant.json: the dataset as machines read it (Croissant 1.1 and its responsible-AI part).

Its record set `faces` joins each JPEG with its label by key, straight from the tars. mlcroissant
1.1 keeps what it unpacks under the tar's name below the release, so that two releases are mistaken
for each other in one cache: give each its own CROISSANT_CACHE.
"""

from __future__ import annotations

import datetime
from typing import Any

from factory.config import ReleaseConfig
from factory.evaluation.metrics.lineage import FacesUsed, LineageMetrics, NetworkTraining
from factory.evaluation.metrics.release import Metrics
from factory.records import Manifest
from factory.report.learned import by_network, faces
from factory.report.rights import addresses, stated_license
from factory.report.statements import statements
from factory.shards import layout
from factory.shards.masks import mask_suffix
from factory.shards.writer import SUFFIXES
from factory.shots.plan import Plan
from factory.shots.request import PlanRequest
from factory.store.json_text import json_text

VERSION = "http://mlcommons.org/croissant/1.1"
TRUTH_FIELDS = (
    ("person", "int", "Number of the person"),
    ("yaw", "float", "Degrees, positive when the nose moves to the right in the image"),
    ("pitch", "float", "Degrees, positive when the face looks up"),
    ("roll", "float", "Degrees before alignment, positive when the head tilts clockwise"),
    ("expression", "str", "Name of the expression"),
    ("light", "str", "Kind of the light"),
    ("background", "str", "Kind of the background"),
    ("group", "str", "Group of the person (rendering.groups)"),
    ("age", "float", "Years, in this image"),
    ("hair", "str", "Style of the hair"),
    ("beard", "str", "Style of the beard; none where there is none"),
    ("glasses", "bool", "Whether the person's own glasses are worn"),
    ("sunglasses", "str", "Empty where none are worn"),
    ("hat", "str", "Empty where none is worn"),
    ("mask", "str", "Empty where none is worn"),
    ("scarf", "str", "Empty where none is worn"),
    ("hand", "str", "Empty where none is held before the face"),
    ("occluded", "float", "Fraction of the face that is hidden"),
)
"""What metadata/ tells of a rendered image, but for its points: name, type and meaning."""
POINTS = (
    ("landmarks_5", "5,2", "Eyes, nose tip, mouth corners: x and y in pixels"),
    ("landmarks_68", "68,2", "The points of iBUG 300-W: x and y in pixels"),
)
"""The points: name, shape and meaning."""
METADATA = "metadata"
"""Name of the set of metadata/*.parquet."""
MASK = "White where a pixel shows it; of labels, values of rendering/parts.py:Label"
KEY = r"^([^.]+)"
"""Key of a sample in the name of its file; applied twice it gives the same."""


def render_croissant(
    config: ReleaseConfig,
    plan: Plan,
    manifest: Manifest,
    metrics: Metrics,
) -> bytes:
    """croissant.json of a sealed release."""
    import mlcroissant as mlc

    context, stated = mlc.Context(conforms_to=VERSION), stated_license(config, metrics.lineage)
    sentences = statements(plan, metrics)
    finished_at = max(shard.timings.finished_at for shard in manifest.shards)
    metadata = mlc.Metadata(
        ctx=context,
        name=manifest.dataset,
        description=f"{config.title}. {sentences.collection}",
        version=manifest.version,
        license=[*addresses(stated)] or [stated],
        url=config.homepage,
        date_published=datetime.datetime.fromtimestamp(finished_at, datetime.UTC),
        cite_as=f"{manifest.dataset} {manifest.version}, plan {manifest.plan_hash}",
        keywords=["face recognition", "synthetic"],
        distribution=_distribution(mlc, context, plan, manifest),
        record_sets=_record_sets(mlc, context, plan.request),
        data_collection=sentences.collection,
        data_collection_type=["Synthetic"],
        data_annotation_protocol=[sentences.labels],
        data_manipulation_protocol=sentences.filtering,
        data_biases=[sentences.biases],
        data_use_cases=[sentences.uses],
        data_limitations=[sentences.limits],
        personal_sensitive_information=[sentences.first, sentences.privacy],
        data_release_maintenance_plan=sentences.maintenance,
    )
    body = metadata.to_json()
    if metrics.lineage:
        body["@context"]["prov"] = "http://www.w3.org/ns/prov#"
        body |= _rights(metrics.lineage) | _provenance(metrics.lineage)
    return (json_text(body, indent=1, default=str) + "\n").encode()


def _rights(lineage: LineageMetrics) -> dict[str, Any]:
    """What the license is that follows from all that it descends from, and who is credited."""
    return {
        "usageInfo": {
            "@type": "sc:CreativeWork",
            "name": lineage.effective_license,
            "description": "; ".join([lineage.effective_class, lineage.chain]).strip("; "),
            "url": layout.LICENSE,
        },
        "creditText": "; ".join(lineage.attributions),
    }


def _provenance(lineage: LineageMetrics) -> dict[str, Any]:
    """W3C PROV: faces that it was planned with, and the activity in which networks made it.

    Networks that only look, and faces that are stayed away from, belong to an activity of their
    own: nothing of them is in it.
    """
    avoided = [one for one in lineage.sources if one not in lineage.used]
    made: dict[str, Any] = {
        "@type": "prov:Activity",
        "prov:used": [_network(one) for one in lineage.drawing],
    }
    if lineage.looking or avoided:
        made["prov:wasInformedBy"] = {
            "@type": "prov:Activity",
            "prov:label": "networks that only look, and people who are stayed away from",
            "prov:used": [*map(_network, lineage.looking), *map(_set_of_faces, avoided)],
        }
    return {
        "prov:wasDerivedFrom": [_set_of_faces(one) for one in lineage.used],
        "prov:wasGeneratedBy": made,
    }


def _set_of_faces(used: FacesUsed) -> dict[str, Any]:
    return {
        "@type": "prov:Entity",
        "prov:type": used.role,
        "prov:label": faces(used),
        "sc:identifier": used.fingerprint,
        "sc:license": used.license,
    }


def _network(network: NetworkTraining) -> dict[str, Any]:
    return {
        "@type": "prov:Entity",
        "@id": f"urn:sha256:{network.sha256}",
        "prov:type": network.role,
        "prov:label": f"{network.role}: {by_network(network)}",
        "prov:wasDerivedFrom": [
            {"@id": f"urn:sha256:{sha256}"} for sha256 in network.trained_with.values()
        ],
        "sc:license": network.license or "as its sources",
    }


def _distribution(mlc: Any, context: Any, plan: Plan, manifest: Manifest) -> list[Any]:
    tars = []
    for shard in manifest.shards:
        tar = next(file for file in shard.files if file.name == layout.tar_name(shard.unit))
        tars.append(
            mlc.FileObject(
                ctx=context,
                id=tar.name,
                name=tar.name,
                content_url=tar.path,
                content_size=f"{tar.size} B",
                encoding_formats=["application/x-tar"],
                sha256=tar.sha256,
            )
        )
    inside = [tar.id for tar in tars]
    image_format, rendering = plan.request.shards.image_format, plan.request.rendering
    pattern = "*" + SUFFIXES[image_format]
    kinds = [("images", f"image/{image_format}", pattern), ("labels", "text/plain", "*.cls")]
    if rendering:  # whose masks are PNGs too, and whose keys end in a digit
        kinds[0] = ("images", f"image/{image_format}", f"*[0-9]{SUFFIXES[image_format]}")
        masks = rendering.rendering.masks
        kinds += [(_files_of(name), "image/png", f"*{mask_suffix(name)}") for name in masks]
    sets = [
        mlc.FileSet(
            ctx=context,
            id=name,
            name=name,
            contained_in=inside,
            encoding_formats=[encoding],
            includes=[pattern],
        )
        for name, encoding, pattern in kinds
    ]
    if rendering:
        sets.append(
            mlc.FileSet(
                ctx=context,
                id=METADATA,
                name=METADATA,
                encoding_formats=["application/x-parquet"],
                includes=["metadata/*.parquet"],
            )
        )
    return [*tars, *sets]


def _files_of(mask: str) -> str:
    """Name of the files of a mask."""
    return f"files_of_mask_{mask}"


def _record_sets(mlc: Any, context: Any, request: PlanRequest) -> list[Any]:
    """`identities`: key and label of each sample; `faces`: key, image and label.

    Of rendered people `truths` too: what is true of each image, and a set for each kind of mask.
    """

    def field(
        record: str,
        name: str,
        text: str,
        kind: Any,
        source: Any,
        refers: Any = None,
        shape: str | None = None,
    ) -> Any:
        array = {"is_array": True, "array_shape": shape} if shape else {}
        return mlc.Field(
            **array,
            ctx=context,
            id=f"{record}/{name}",
            name=name,
            description=text,
            data_types=[kind],
            source=source,
            references=refers,
        )

    def file(file_set: str, extracted: str) -> Any:
        only_key = [mlc.Transform(ctx=context, regex=KEY)] if extracted == "filename" else []
        extract = mlc.Extract(ctx=context, file_property=extracted)
        return mlc.Source(ctx=context, file_set=file_set, extract=extract, transforms=only_key)

    def other(name: str) -> Any:
        return mlc.Source(ctx=context, field=name)

    def column(name: str) -> Any:
        extract = mlc.Extract(ctx=context, column=name)
        return mlc.Source(ctx=context, file_set=METADATA, extract=extract)

    key, label = "IIIIII_JJJJ: identity and image", "The identity that was drawn"
    text, whole, picture = mlc.DataType.TEXT, mlc.DataType.INTEGER, mlc.DataType.IMAGE_OBJECT
    labels = [
        field("identities", "key", key, text, file("labels", "filename")),
        field("identities", "identity", label, whole, file("labels", "content")),
    ]
    faces = [
        field("faces", "key", key, text, file("images", "filename"), other("identities/key")),
        field(
            "faces",
            "image",
            "RGB, aligned to the ArcFace template",
            picture,
            file("images", "content"),
        ),
        field("faces", "identity", label, whole, other("identities/identity")),
    ]
    sets = {"identities": labels, "faces": faces}
    if request.rendering:
        kinds = {"float": mlc.DataType.FLOAT, "int": whole, "bool": mlc.DataType.BOOL, "str": text}
        sets["truths"] = [
            field("truths", "key", key, text, column("key")),
            *(field("truths", n, t, kinds[k], column(n)) for n, k, t in TRUTH_FIELDS),
            *(field("truths", n, t, kinds["float"], column(n), shape=s) for n, s, t in POINTS),
        ]
        for mask in request.rendering.rendering.masks:
            name, files = f"mask_{mask}", _files_of(mask)
            sets[name] = [
                field(name, "key", key, text, file(files, "filename"), other("identities/key")),
                field(name, "mask", MASK, picture, file(files, "content")),
            ]
    return [
        mlc.RecordSet(ctx=context, id=name, name=name, key=[f"{name}/key"], fields=fields)
        for name, fields in sets.items()
    ]
