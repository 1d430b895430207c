"""The journey of photographs.sh: its parts always, the whole where it is asked for."""

from __future__ import annotations

import io
import os
import subprocess
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from factory.sources.decoding import decode_image
from tests.journeys.as_on_disk import write
from tests.journeys.figures import failures

HERE = Path(__file__).parent
LONDON = HERE.parents[2] / "shared/data/london/london400.tar"
ASKED = "FACE_FACTORY_JOURNEYS"


def test_photographs_are_written_as_they_lie_on_disks(tmp_path):
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        for person in ("001", "002"):
            for look, number in (("neutral_front", "03"), ("smiling_front", "08")):
                data = io.BytesIO()
                Image.new("RGB", (8, 8), "red").save(data, "JPEG")
                member = tarfile.TarInfo(f"{look}/{person}_{number}.jpg")
                member.size = data.tell()
                data.seek(0)
                archive.addfile(member, data)
    assert write(tmp_path / "a.tar", tmp_path / "people") == 4
    folders = {p.name for p in (tmp_path / "people").iterdir() if p.is_dir()}
    assert folders == {"001 Zoë (001)", "002 Zoë (002)", ".thumbnails", "__MACOSX"}
    own = tmp_path / "people" / "002 Zoë (002)"
    names = sorted(p.name for p in own.iterdir())
    assert names == ["002_03, neutral_front (copy).JPG", "002_08, smiling_front (copy).JPEG"]
    assert decode_image((own / names[0]).read_bytes(), "k", 100).shape == (8, 8, 3)


def test_each_figure_that_is_not_reached_is_a_line():
    def metrics(auc: float = 0.96, kept: float = 0.7, established: bool = True) -> dict:
        return {
            "similarity": {"judge": {"release": {"auc": auc}}},
            "counts": {"kept_fraction": kept},
            "audit": {"established": established, "reason": "no judge"},
        }

    assert failures(metrics(), 0.95, 0.6) == []
    assert failures(metrics(auc=0.94), 0.95, 0.6) == [
        "AUC between people by the judge: 0.940, want 0.95"
    ]
    assert failures(metrics(kept=0.5), 0.95, 0.6) == ["kept: 50% of the faces, want 60%"]
    unaudited = failures(metrics(established=False), 0.95, 0.6)
    assert unaudited == ["the audit establishes nothing: no judge"]


def test_the_script_is_one_that_bash_reads():
    subprocess.run(["bash", "-n", str(HERE / "photographs.sh")], check=True)


@pytest.mark.slow
@pytest.mark.timeout(3 * 3600)
@pytest.mark.skipif(ASKED not in os.environ, reason=f"45 minutes: set {ASKED}=1")
@pytest.mark.skipif(not LONDON.exists(), reason=f"no {LONDON.name} in ../shared/data/london")
def test_from_photographs_to_a_published_release(tmp_path):
    command = ["bash", str(HERE / "photographs.sh"), str(LONDON), str(tmp_path / "journey")]
    subprocess.run(command, check=True, env={**os.environ, "PYTHONPATH": str(HERE.parents[1])})
