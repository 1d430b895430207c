"""The rules of the house that a machine can hold: import direction, light config, sizes."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FLOORS = [
    {"errors", "records", "config"},
    {"seeds", "images", "checkpoint", "store", "tables"},
    {"sources", "provenance", "training", "rendering"},
    {"recognition"},
    {"identities", "diffusion", "quality"},
    {"shots"},
    {"text_to_image"},
    {"editing"},
    {"shards"},
    {"execution"},
    {"synthesis"},
    {"evaluation"},
    {"report"},
    {"planning", "inspection"},
    {"release", "preview"},
    {"pipeline", "studies"},
]
"""Rooms of factory/ from the ground up; a room imports from its own floor and those below."""
CLUSTER_MAY_IMPORT = {"config", "errors", "records", "execution", "training", "identities", "store"}
HEAVY = ("ray", "torch", "diffusers", "deepspeed", "faiss", "boto3", "numpy", "pyarrow")


def imports(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def floor(room: str) -> int:
    return next(level for level, rooms in enumerate(FLOORS) if room in rooms)


def python_files(folder: str) -> list[Path]:
    return [f for f in sorted((ROOT / folder).rglob("*.py")) if f.name != "__init__.py"]


@pytest.mark.parametrize("file", python_files("factory"), ids=lambda f: str(f.relative_to(ROOT)))
def test_factory_imports_only_lower_rooms_and_never_ray_or_jobs(file):
    room = file.relative_to(ROOT / "factory").parts[0].removesuffix(".py")
    for name in imports(file):
        first, _, rest = name.partition(".")
        assert first not in {"ray", "jobs", "cluster"}, f"{file} imports {name}"
        target = rest.split(".")[0]
        if first == "factory" and any(target in rooms for rooms in FLOORS):
            assert floor(target) <= floor(room), f"{file} imports {name} from a room above"


@pytest.mark.parametrize("file", python_files("cluster"), ids=lambda f: f.name)
def test_cluster_knows_only_how_units_run(file):
    """Not what they make: a fleet works for any maker."""
    for name in imports(file):
        first, _, rest = name.partition(".")
        assert first != "jobs", f"{file} imports {name}"
        if first == "factory":
            assert rest.split(".")[0] in CLUSTER_MAY_IMPORT, f"{file} imports {name}"


def test_parquet_bytes_are_read_in_one_place():
    """Because pq.read_table leaves bytes to a thread, which aborts a process that ends."""
    for file in python_files("factory"):
        assert "pq.read_table(" not in file.read_text() or file.stem in ("export", "parquet"), file


def test_every_room_stands_on_a_floor():
    """A module outside the rooms is a story (release, pipeline) or a tool of every room."""
    rooms = {path.name.removesuffix(".py") for path in (ROOT / "factory").iterdir()}
    rooms -= {"__init__", "__pycache__", "starter", "METHODS.md"}
    assert rooms == set().union(*FLOORS)


def test_no_package_hides_a_module_behind_a_function_of_its_name():
    for package in (ROOT / "factory").rglob("__init__.py"):
        modules = {file.stem for file in package.parent.glob("*.py")}
        imported = {name.rsplit(".", 1)[-1] for name in imports(package)}
        assert not modules & imported, package


@pytest.mark.parametrize("file", python_files("jobs"), ids=lambda f: f.name)
def test_jobs_are_short_and_import_no_ray(file):
    limit = 140 if file.name.startswith("_") else 60  # what all jobs share is not a job
    assert len(file.read_text().splitlines()) <= limit
    assert not any(name.split(".")[0] == "ray" for name in imports(file))


def test_config_imports_nothing_heavy():
    code = f"import sys, factory.config; print([m for m in {HEAVY} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


@pytest.mark.parametrize("folder", ["factory", "cluster", "jobs"])
def test_files_and_functions_stay_small(folder):
    for file in python_files(folder):
        text = file.read_text()
        assert len(text.splitlines()) <= 500, file
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef):
                cap = 150 if node.name == "train" else 80
                assert node.end_lineno - node.lineno < cap, f"{file}: {node.name}"


def test_release_tells_the_story_on_one_page():
    assert len((ROOT / "factory/release.py").read_text().splitlines()) <= 120


@pytest.mark.parametrize("folder", ["benchmarks", "gpu", "journeys"])
def test_what_no_test_runs_imports_names_that_exist(folder):
    """Benchmarks and checks for a GPU are run rarely; a name that is gone must show at once."""
    for file in sorted((ROOT / "tests" / folder).rglob("*.py")):
        for name in imports(file):
            module, _, wanted = name.rpartition(".")
            if module.split(".")[0] not in {"factory", "cluster", "jobs"}:
                continue
            there = importlib.import_module(module)
            found = (
                hasattr(there, wanted) or (Path(there.__file__).parent / f"{wanted}.py").exists()
            )
            assert found, f"{file.relative_to(ROOT)}: {name}"
