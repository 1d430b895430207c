"""What is deployed, checked as far as can be without a cluster: shapes, names, references."""

from __future__ import annotations

import copy
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import ray
import yaml

from factory.config import load
from factory.errors import MAY_GO_AGAIN, REFUSED
from tests.cluster import kuberay

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "cluster/deploy"
WHOLE = ["raycluster.yaml", "rayjob.yaml", "submit.yaml", "access.yaml"]
"""Manifests that are applied as they are."""


def read_all(name: str) -> list[dict]:
    return list(yaml.safe_load_all((DEPLOY / name).read_text()))


def read(name: str) -> dict:
    (manifest,) = read_all(name)
    return manifest


def groups(cluster: dict) -> list[dict]:
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def merged(manifest: Any, patch: Any) -> Any:
    """A JSON merge patch (RFC 7386), as `kubectl patch --type merge` applies it."""
    if not isinstance(patch, dict):
        return patch
    whole = dict(manifest) if isinstance(manifest, dict) else {}
    for key, value in patch.items():
        if value is None:
            whole.pop(key, None)
        else:
            whole[key] = merged(whole.get(key), value)
    return whole


@pytest.mark.parametrize("name", WHOLE)
def test_manifests_are_as_kuberay_and_kubernetes_want_them(name):
    for manifest in read_all(name):
        kuberay.check(manifest)


def test_every_yaml_file_here_is_checked():
    files = {file.name for file in DEPLOY.glob("*.yaml")}
    assert files == {*WHOLE, "gcs-redis.yaml"}


@pytest.mark.parametrize(
    ("name", "path", "value", "error"),
    [
        ("rayjob.yaml", "spec.clusterSelector", {"ray.io/cluster": "x"}, "deletes the cluster"),
        ("rayjob.yaml", "spec.rayClusterSpec", None, "one of rayClusterSpec and clusterSelector"),
        ("rayjob.yaml", "spec.backofLimit", 3, "'backofLimit' was unexpected"),
        ("rayjob.yaml", "spec.shutdownAfterJobFinishes", False, "ttlSecondsAfterFinished needs"),
        ("rayjob.yaml", "spec.submissionMode", "SidecarMode", "takes no submitter"),
        ("rayjob.yaml", "spec.submitterPodTemplate.spec.restart", "Never", "'restart' was unexpec"),
        ("raycluster.yaml", "spec.rayVersion", "2.51.0", "tokens need rayVersion 2.52"),
        ("raycluster.yaml", "spec.headGroupSpec.rayStartParams.num-cpus", 0, "is not of type 'str"),
        ("raycluster.yaml", "spec.headGroupSpec.template.spec.affinty", {}, "'affinty' was unexp"),
        ("raycluster.yaml", "spec.headGroupSpec.template.spec.restartPolicy", "Always", "Never"),
        ("raycluster.yaml", "spec.headGroupSpec.template", None, "'template' is a required"),
        ("submit.yaml", "spec.podFailurePolicy.rules", [{"onExitCodes": {}}], "is a required"),
    ],
)
def test_a_manifest_that_would_be_refused_or_do_harm_is_seen(name, path, value, error):
    manifest: Any = copy.deepcopy(read(name))
    *parents, last = path.split(".")
    place = manifest
    for key in parents:
        place = place[key]
    place[last] = value
    if value is None:
        del place[last]
    with pytest.raises((jsonschema.ValidationError, ValueError)) as caught:
        kuberay.check(manifest)
    assert error in str(caught.value)


def test_a_release_is_begun_again_on_a_cluster_of_its_own_or_by_the_submitter():
    job, cluster = read("rayjob.yaml")["spec"], read("raycluster.yaml")
    assert job["rayClusterSpec"] == cluster["spec"]
    assert job["backoffLimit"] > 0
    assert "clusterSelector" not in job
    (final,) = read("submit.yaml")["spec"]["podFailurePolicy"]["rules"]
    codes = final["onExitCodes"]["values"]
    assert REFUSED in codes
    assert MAY_GO_AGAIN not in codes
    assert not [code for code in codes if code > 130]  # of signals: the pod's own death


def test_gcs_in_a_redis_outside_is_an_option():
    patched = merged(read("raycluster.yaml"), read("gcs-redis.yaml"))
    kuberay.check(patched)
    options = patched["spec"].pop("gcsFaultToleranceOptions")
    assert set(options["redisPassword"]) == {"valueFrom"}
    assert patched == read("raycluster.yaml")


def test_the_cluster_is_of_the_ray_that_is_tested():
    cluster = read("raycluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    pinned = re.search(r"^ray==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)[1]
    assert cluster["spec"]["rayVersion"].startswith(pinned)
    assert ray.__version__.startswith(pinned)


def test_every_container_is_unprivileged_and_its_root_is_read_only():
    templates = [group["template"] for group in groups(read("raycluster.yaml"))]
    templates.append(read("submit.yaml")["spec"]["template"])
    templates.append(read("rayjob.yaml")["spec"]["submitterPodTemplate"])
    for template in templates:
        pod = template["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        limits = container["resources"]["limits"]
        assert container["resources"]["requests"]["memory"] == limits["memory"]


def test_shared_memory_is_memory_and_holds_the_object_store():
    for group in groups(read("raycluster.yaml")):
        volumes = {volume["name"]: volume for volume in group["template"]["spec"]["volumes"]}
        assert volumes["shm"]["emptyDir"] == {"medium": "Memory", "sizeLimit": "8Gi"}
        assert int(group["rayStartParams"]["object-store-memory"]) < 8 << 30
        (container,) = group["template"]["spec"]["containers"]
        assert {"name": "shm", "mountPath": "/dev/shm"} in container["volumeMounts"]


def test_pods_have_an_identity_and_no_keys():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    accounts = {
        account["metadata"]["name"]: account.get("automountServiceAccountToken", True)
        for account in read_all("access.yaml")
        if account["kind"] == "ServiceAccount"
    }
    for group in groups(cluster):
        pod = group["template"]["spec"]
        assert pod["serviceAccountName"] in accounts
        (container,) = pod["containers"]
        token = {entry["name"]: entry["value"] for entry in container["env"]}
        mount = next(mount for mount in container["volumeMounts"] if mount["name"] == "identity")
        volume = next(volume for volume in pod["volumes"] if volume["name"] == "identity")
        (source,) = volume["projected"]["sources"]
        path = f"{mount['mountPath']}/{source['serviceAccountToken']['path']}"
        assert token == {"AWS_WEB_IDENTITY_TOKEN_FILE": path}
        assert mount["readOnly"] is True
        settings, keys = container["envFrom"]
        assert set(settings) == {"configMapRef"}
        assert keys["secretRef"]["optional"] is True  # of servers that know keys alone
    worker = groups(cluster)[1]["template"]["spec"]
    assert worker["automountServiceAccountToken"] is False  # it has no say over the cluster
    assert accounts[worker["serviceAccountName"]] is False
    assert accounts[groups(cluster)[0]["template"]["spec"]["serviceAccountName"]] is True
    for file in DEPLOY.iterdir():
        assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE KEY", file.read_text())


def test_the_dashboard_is_not_exposed():
    head, worker = groups(read("raycluster.yaml"))
    assert (head["serviceType"], head["enableIngress"]) == ("ClusterIP", False)
    policy = read_all("access.yaml")[-1]
    own = policy["spec"]["podSelector"]["matchLabels"]
    submitters = [read("submit.yaml")["spec"]["template"]]
    submitters.append(read("rayjob.yaml")["spec"]["submitterPodTemplate"])
    for template in (head["template"], worker["template"], *submitters):
        assert own.items() <= template["metadata"]["labels"].items()
    assert policy["spec"]["policyTypes"] == ["Ingress"]
    among, operator, scraped = policy["spec"]["ingress"]
    assert among == {"from": [{"podSelector": {"matchLabels": own}}]}
    assert [port["port"] for port in operator["ports"]] == [8265]
    assert [port["port"] for port in scraped["ports"]] == [8080]


def test_the_head_is_headless_of_gpus_and_stays_while_workers_are_on_spot():
    """All have one image, because a driver of other code would plan another release."""
    head, worker = groups(read("raycluster.yaml"))
    images = {group["template"]["spec"]["containers"][0]["image"] for group in (head, worker)}
    assert len(images) == 1
    assert (head["rayStartParams"]["num-cpus"], head["rayStartParams"]["num-gpus"]) == ("0", "0")
    (container,) = head["template"]["spec"]["containers"]
    assert "nvidia.com/gpu" not in container["resources"]["limits"]
    assert not {"entrypointNumGpus", "entrypointNumCpus"} & set(read("rayjob.yaml")["spec"])

    def terms(group: dict) -> list[list[dict]]:
        affinity = group["template"]["spec"]["affinity"]["nodeAffinity"]
        required = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
        return [term["matchExpressions"] for term in required["nodeSelectorTerms"]]

    (never,) = terms(head)  # all of it must hold
    assert {rule["operator"] for rule in never} == {"NotIn"}
    spot = [rule for (rule,) in terms(worker)]  # one of them must
    assert [rule | {"operator": "NotIn"} for rule in spot] == never
    assert "tolerations" not in head["template"]["spec"]


def test_workers_have_gpus_on_nodes_that_come_and_go():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    (gpu,) = cluster["spec"]["workerGroupSpecs"]
    assert gpu["minReplicas"] == 0 < gpu["maxReplicas"]
    spec = gpu["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot"} <= {
        t["key"] for t in spec["tolerations"]
    }


def test_a_worker_is_drained_before_it_goes_and_in_less_than_it_is_given():
    (gpu,) = read("raycluster.yaml")["spec"]["workerGroupSpecs"]
    pod = gpu["template"]["spec"]
    (container,) = pod["containers"]
    *command, seconds = container["lifecycle"]["preStop"]["exec"]["command"]
    assert command == ["python", "-m", "cluster.drain", "--seconds"]
    assert int(seconds) < pod["terminationGracePeriodSeconds"] == 120
    script = (DEPLOY / "slurm.sh").read_text()
    assert f"{' '.join(command)} {seconds}" in script
    assert int(seconds) < int(re.search(r"--signal=B:TERM@(\d+)", script)[1])


@pytest.mark.parametrize("name", ["rayjob.yaml", "submit.yaml"])
def test_the_job_is_one_that_this_tree_can_run(name, monkeypatch):
    monkeypatch.chdir(ROOT)
    if name == "rayjob.yaml":
        line = read(name)["spec"]["entrypoint"].split()
    else:
        (container,) = read(name)["spec"]["template"]["spec"]["containers"]
        line = [*container["command"], *container["args"]]
        assert line.pop() == "--address=http://face-factory-head-svc:8265"
        assert read("raycluster.yaml")["metadata"]["name"] == "face-factory"
    python, dash_m, module, config, *dotlist = line
    assert (python, dash_m) == ("python", "-m")
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
    settings = load(config, dotlist)
    assert settings.fleet.autoscale
    largest = read("raycluster.yaml")["spec"]["workerGroupSpecs"][0]["maxReplicas"]
    assert settings.fleet.num_workers <= largest


@pytest.mark.parametrize("name", ["Dockerfile", "Dockerfile.cuda"])
def test_images_install_the_tested_set_and_run_as_nobody(name):
    text = (DEPLOY / name).read_text()
    assert "-c constraints.txt" in text
    instructions = [line for line in text.splitlines() if line[:1].isupper()]
    assert instructions[0].startswith("FROM python:3.11")
    assert instructions[-2] == "USER 1000"
    assert "wget" in text  # KubeRay's probes call it
    for line in instructions:
        if line.startswith("COPY"):
            for source in line.split()[1:-1]:
                assert (ROOT / source).exists(), line


def test_the_slurm_script_is_clean_and_says_how_it_is_used():
    script = str(DEPLOY / "slurm.sh")
    shellcheck = str(Path(sys.executable).parent / "shellcheck")
    checked = subprocess.run([shellcheck, script], capture_output=True, text=True, timeout=60)
    assert checked.returncode == 0, checked.stdout
    bare = subprocess.run(["bash", script], capture_output=True, text=True, timeout=60)
    assert bare.returncode == 2
    assert bare.stderr.startswith("usage: sbatch")


FAKES = {
    "scontrol": "printf 'a\\nb\\n'",
    "srun": 'echo "srun $*" >> "$SAID"; case "$*" in *"ray start"*) exec sleep 600;; esac',
    "ray": "",
    "python": """trap 'exit 75' TERM
echo "driver $*" >> "$SAID"
while :; do sleep 0.05; done""",
}
"""What the script calls, as far as it asks; a driver that is told to end ends with 75."""


def test_exit_code_of_the_slurm_script_is_the_drivers_when_its_time_is_up(tmp_path):
    said = tmp_path / "said"
    for name, body in FAKES.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = os.environ | {"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)}
    environment |= {"SLURM_JOB_NODELIST": "a,b", "SLURM_JOB_ID": "1", "SLURM_JOB_NUM_NODES": "2"}
    script = subprocess.Popen(
        ["bash", str(DEPLOY / "slurm.sh"), "configs/demo.yaml"],
        env=environment | {"SAID": str(said)},
        start_new_session=True,
    )
    try:
        wait_for(lambda: said.is_file() and "driver -m jobs.release" in said.read_text())
        script.send_signal(signal.SIGTERM)
        assert script.wait(timeout=60) == MAY_GO_AGAIN
        drained = "srun --overlap --nodes=2 --ntasks=2 python -m cluster.drain --seconds 100"
        wait_for(lambda: drained in said.read_text())
    finally:
        os.killpg(script.pid, signal.SIGKILL)


def wait_for(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.05)
