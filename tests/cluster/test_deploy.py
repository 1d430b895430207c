"""What is deployed, checked as far as can be without a cluster: shapes, names, references."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
import ray
import yaml

from factory.config import load

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "cluster/deploy"


def read(name: str) -> dict:
    return yaml.safe_load((DEPLOY / name).read_text())


def groups(cluster: dict) -> list[dict]:
    return [cluster["spec"]["headGroupSpec"], *cluster["spec"]["workerGroupSpecs"]]


def test_the_cluster_is_of_the_ray_that_is_tested():
    cluster = read("raycluster.yaml")
    assert (cluster["apiVersion"], cluster["kind"]) == ("ray.io/v1", "RayCluster")
    pinned = re.search(r"^ray==(\d+\.\d+)", (ROOT / "constraints.txt").read_text(), re.M)[1]
    assert cluster["spec"]["rayVersion"].startswith(pinned)
    assert ray.__version__.startswith(pinned)


def test_every_container_is_unprivileged_and_its_root_is_read_only():
    for group in groups(read("raycluster.yaml")):
        pod = group["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"] is True
        (container,) = pod["containers"]
        locked = container["securityContext"]
        assert locked["readOnlyRootFilesystem"] is True
        assert locked["allowPrivilegeEscalation"] is False
        assert locked["capabilities"] == {"drop": ["ALL"]}
        mounted = {mount["name"] for mount in container["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}
        assert container["resources"]["requests"] == container["resources"]["limits"]


def test_secrets_are_only_referred_to():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    for group in groups(cluster):
        (container,) = group["template"]["spec"]["containers"]
        assert container["envFrom"] == [{"secretRef": {"name": "face-factory-store"}}]
        assert "env" not in container
    for file in DEPLOY.iterdir():
        assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE KEY", file.read_text())


def test_who_plans_is_like_who_makes():
    images = {
        g["template"]["spec"]["containers"][0]["image"] for g in groups(read("raycluster.yaml"))
    }
    assert len(images) == 1
    assert read("rayjob.yaml")["spec"]["entrypointNumGpus"] == 1


def test_workers_have_gpus_on_spot_nodes_that_come_and_go():
    cluster = read("raycluster.yaml")
    assert cluster["spec"]["enableInTreeAutoscaling"] is True
    (gpu,) = cluster["spec"]["workerGroupSpecs"]
    assert gpu["minReplicas"] == 0 < gpu["maxReplicas"]
    spec = gpu["template"]["spec"]
    assert spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == "1"
    assert {"nvidia.com/gpu", "cloud.google.com/gke-spot"} <= {
        t["key"] for t in spec["tolerations"]
    }
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_the_job_is_one_that_this_tree_can_run(monkeypatch):
    monkeypatch.chdir(ROOT)
    job = read("rayjob.yaml")
    assert (
        job["spec"]["clusterSelector"]["ray.io/cluster"]
        == read("raycluster.yaml")["metadata"]["name"]
    )
    python, dash_m, module, config, *dotlist = job["spec"]["entrypoint"].split()
    assert (python, dash_m) == ("python", "-m")
    assert (ROOT / (module.replace(".", "/") + ".py")).is_file()
    request = load(config, dotlist)
    assert request.fleet.autoscale
    largest = read("raycluster.yaml")["spec"]["workerGroupSpecs"][0]["maxReplicas"]
    assert request.fleet.num_workers <= largest


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
