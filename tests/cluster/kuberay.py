"""What KubeRay and Kubernetes say of a manifest, without either at hand.

Pods, jobs and policies go against the schemas that Kubernetes publishes (package
kubernetes-validate). Of KubeRay's own resources a schema is written here, after the published ones:
ray-operator/config/crd/bases/ray.io_rayclusters.yaml and ray.io_rayjobs.yaml (ray.io/v1) and their
types in ray-operator/apis/ray/v1 of github.com/ray-project/kuberay, at 1.5. It is stricter than a
cluster, which drops a field that it does not know without a word. `refusals` are the rules of
controllers/ray/utils/validation.go there, by which the operator refuses what the schema takes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.33"
TEXT, NUMBER, FLAG = {"type": "string"}, {"type": "number"}, {"type": "boolean"}
COUNT = {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
ANY: dict[str, Any] = {}
"""A pod template or a part of one; `pods` gives them to Kubernetes' own schema."""


def _object(required: str = "", **properties: Any) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": required.split(),
        "additionalProperties": False,
    }


def _one_of(*values: str) -> dict[str, Any]:
    return {"enum": list(values)}


REDIS_CREDENTIAL = _object(value=TEXT, valueFrom=ANY)
CLUSTER = _object(
    "headGroupSpec",
    suspend=FLAG,
    managedBy=_one_of("ray.io/kuberay-operator", "kueue.x-k8s.io/multikueue"),
    authOptions=_object(mode=_one_of("disabled", "token")),
    autoscalerOptions=_object(
        resources=ANY,
        image=TEXT,
        imagePullPolicy=TEXT,
        securityContext=ANY,
        idleTimeoutSeconds=COUNT,
        upscalingMode=_one_of("Default", "Aggressive", "Conservative"),
        version=_one_of("v1", "v2"),
        env=ANY,
        envFrom=ANY,
        volumeMounts=ANY,
    ),
    enableInTreeAutoscaling=FLAG,
    gcsFaultToleranceOptions=_object(
        "redisAddress",
        redisUsername=REDIS_CREDENTIAL,
        redisPassword=REDIS_CREDENTIAL,
        externalStorageNamespace=TEXT,
        redisAddress=TEXT,
    ),
    headServiceAnnotations=TEXTS,
    headGroupSpec=_object(
        "template",
        template=ANY,
        headService=ANY,
        enableIngress=FLAG,
        resources=TEXTS,
        labels=TEXTS,
        rayStartParams=TEXTS,
        serviceType=_one_of("ClusterIP", "NodePort", "LoadBalancer"),
    ),
    rayVersion=TEXT,
    workerGroupSpecs={
        "type": "array",
        "items": _object(
            "groupName maxReplicas minReplicas template",
            suspend=FLAG,
            groupName=TEXT,
            replicas=COUNT,
            minReplicas=COUNT,
            maxReplicas=COUNT,
            idleTimeoutSeconds=COUNT,
            resources=TEXTS,
            labels=TEXTS,
            rayStartParams=TEXTS,
            template=ANY,
            scaleStrategy=_object(workersToDelete={"type": "array", "items": TEXT}),
            numOfHosts=COUNT,
        ),
    },
)
JOB = _object(
    activeDeadlineSeconds=COUNT,
    backoffLimit=COUNT,
    rayClusterSpec=CLUSTER,
    submitterPodTemplate=ANY,
    metadata=TEXTS,
    clusterSelector=TEXTS,
    submitterConfig=_object(backoffLimit=COUNT),
    managedBy=TEXT,
    deletionStrategy=ANY,
    entrypoint=TEXT,
    runtimeEnvYAML=TEXT,
    jobId=TEXT,
    submissionMode=_one_of("K8sJobMode", "HTTPMode", "InteractiveMode", "SidecarMode"),
    entrypointResources=TEXT,
    entrypointNumCpus=NUMBER,
    entrypointNumGpus=NUMBER,
    ttlSecondsAfterFinished=COUNT,
    shutdownAfterJobFinishes=FLAG,
    suspend=FLAG,
)
SPECS = {"RayCluster": CLUSTER, "RayJob": JOB}


def check(manifest: dict[str, Any]) -> None:
    """Raise an error with the first thing that the API server or the operator would refuse."""
    if manifest["apiVersion"] != "ray.io/v1":
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        return
    metadata = {"type": "object", "required": ["name"]}
    shape = _object(
        "apiVersion kind metadata spec",
        apiVersion=TEXT,
        kind=TEXT,
        metadata=metadata,
        spec=SPECS[manifest["kind"]],
    )
    jsonschema.validate(manifest, shape)
    for pod in pods(manifest):
        kubernetes_validate.validate(pod, KUBERNETES, strict=True)
    for reason in refusals(manifest):
        raise ValueError(f"{manifest['metadata']['name']}: {reason}")


def clusters(manifest: dict[str, Any]) -> list[dict[str, Any]]:
    """Specs of the Ray clusters that a manifest makes."""
    spec = (
        manifest["spec"]
        if manifest["kind"] == "RayCluster"
        else manifest["spec"].get("rayClusterSpec")
    )
    return [spec] if spec else []


def pods(manifest: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The pods that a manifest of KubeRay makes, each as a Pod of Kubernetes."""
    templates = [manifest["spec"].get("submitterPodTemplate")]
    for cluster in clusters(manifest):
        groups = [cluster["headGroupSpec"], *cluster.get("workerGroupSpecs", [])]
        templates += [group["template"] for group in groups]
    for template in filter(None, templates):
        metadata = {"name": "pod", **template.get("metadata", {})}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}


def refusals(manifest: dict[str, Any]) -> Iterator[str]:
    """Why the operator would not carry a manifest out, or do harm."""
    name, spec = manifest["metadata"]["name"], manifest["spec"]
    if len(name) > 47 or not name.replace("-", "").isalnum() or name != name.lower():
        yield "its name is no DNS label"
    for cluster in clusters(manifest):
        yield from _cluster_refusals(cluster)
    if manifest["kind"] != "RayJob":
        return
    selector, mode = spec.get("clusterSelector"), spec.get("submissionMode", "K8sJobMode")
    if not selector and "rayClusterSpec" not in spec:
        yield "one of rayClusterSpec and clusterSelector must be there"
    if selector and not selector.get("ray.io/cluster"):
        yield "clusterSelector names no ray.io/cluster"
    if selector and spec.get("backoffLimit", 0) > 0:
        yield "backoffLimit with clusterSelector deletes the cluster (kuberay #4516), or is refused"
    if selector and (spec.get("suspend") or mode == "SidecarMode"):
        yield "clusterSelector takes neither suspend nor SidecarMode"
    if spec.get("suspend") and not spec.get("shutdownAfterJobFinishes"):
        yield "suspend needs shutdownAfterJobFinishes"
    if spec.get("ttlSecondsAfterFinished") and not spec.get("shutdownAfterJobFinishes"):
        yield "ttlSecondsAfterFinished needs shutdownAfterJobFinishes"
    if mode == "InteractiveMode" and spec.get("backoffLimit", 0) > 0:
        yield "InteractiveMode takes no backoffLimit"
    if mode == "SidecarMode" and (spec.get("submitterPodTemplate") or spec.get("submitterConfig")):
        yield "SidecarMode takes no submitter"
    if not isinstance(yaml.safe_load(spec.get("runtimeEnvYAML", "{}")), dict):
        yield "runtimeEnvYAML is no mapping"


def _cluster_refusals(cluster: dict[str, Any]) -> Iterator[str]:
    head = cluster["headGroupSpec"]
    started = json.dumps(head.get("rayStartParams", {}))
    env = {entry["name"] for entry in head["template"]["spec"]["containers"][0].get("env", [])}
    if "redis-username" in started or "REDIS_USERNAME" in env:
        yield "the user of Redis belongs into gcsFaultToleranceOptions"
    if "gcsFaultToleranceOptions" in cluster and ("redis-password" in started or env & _REDIS):
        yield "the address and password of Redis belong into gcsFaultToleranceOptions"
    if "gcsFaultToleranceOptions" not in cluster and "RAY_REDIS_ADDRESS" in env:
        yield "RAY_REDIS_ADDRESS needs gcsFaultToleranceOptions"
    version = tuple(int(part) for part in cluster.get("rayVersion", "0.0").split("."))
    if cluster.get("authOptions", {}).get("mode") == "token" and version < (2, 52):
        yield "tokens need rayVersion 2.52 or newer"
    for group in (head, *cluster.get("workerGroupSpecs", [])):
        params = group.get("rayStartParams", {})
        if "labels" in params:
            yield "labels stand beside rayStartParams"
        if group.get("resources") and {"num-cpus", "num-gpus", "memory", "resources"} & set(params):
            yield "resources stand in rayStartParams or beside them, not both"
        restart = group["template"]["spec"].get("restartPolicy", "Never")
        if cluster.get("enableInTreeAutoscaling") and restart != "Never":
            yield "the autoscaler wants restartPolicy Never"


_REDIS = {"RAY_REDIS_ADDRESS", "REDIS_PASSWORD"}
