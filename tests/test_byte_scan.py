"""The byte scan finds what is planted in any of a release's kinds of files, and nothing else."""

from __future__ import annotations

import base64
import io
import json
import tarfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin
from safetensors.numpy import save

from tests.byte_scan import ByteScan

DIM = 128
NAME = "Zoë Quill"
RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(3, DIM))
CENTERS /= np.linalg.norm(CENTERS, axis=1, keepdims=True)
NEAR = 7.0 * (CENTERS[1] + 0.07 * RNG.normal(size=DIM))
"""Cosine .78 to a center, of another length."""


def npy(values):
    buffer = io.BytesIO()
    np.save(buffer, values)
    return buffer.getvalue()


def npz(values):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, vector=values)
    return buffer.getvalue()


def parquet(**columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, compression="zstd")
    return buffer.getvalue()


def tar(name, data):
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        archive.addfile(member, io.BytesIO(data))
    return buffer.getvalue()


def png(text):
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("who", text, zip=True)
    Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


TEMPLATES = {
    "npy of float32": npy(NEAR.astype(np.float32)),
    "npy of float16": npy(NEAR.astype(np.float16)),
    "npy of float64": npy(NEAR),
    "float32 at an odd byte": b"abc" + NEAR.astype(np.float32).tobytes(),
    "float16 at an odd byte": b"a" + NEAR.astype(np.float16).tobytes(),
    "npz": npz(NEAR),
    "safetensors": save({"v": NEAR.astype(np.float32)[None]}),
    "list in a parquet": parquet(v=[NEAR.tolist()]),
    "column of a parquet": parquet(v=NEAR.astype(np.float32)),
    "json in a tar": tar("1.json", json.dumps({"v": NEAR.tolist()}, indent=1).encode()),
    "parquet in a tar": tar("a.parquet", parquet(v=[NEAR.tolist()])),
    "npz in a page": b'src="data:a/b;base64,' + base64.b64encode(npz(NEAR)) + b'"',
}
NAMES = {
    "text": f"by {NAME}".encode(),
    "json": json.dumps({"name": NAME}).encode(),
    "json in a tar": tar("1.json", json.dumps({"name": NAME}).encode()),
    "name of a member": tar(f"{NAME}/1.jpg", b""),
    "address": b"/faces/Zo%C3%AB%20Quill/1.jpg",
    "parquet": parquet(key=[f"{NAME}/{i}.png" for i in range(50)]),
    "list in a parquet": parquet(keys=[[NAME], []]),
    "picture": png(NAME),
    "picture in a page": b'"data:image/png;base64,' + base64.b64encode(png(NAME)) + b'"',
}


@pytest.fixture
def scan():
    return ByteScan([NAME], CENTERS)


@pytest.mark.parametrize("kind", TEMPLATES)
def test_a_planted_template_is_found(kind, scan):
    found = scan.data("file", TEMPLATES[kind])
    assert found
    assert all("template of 1 " in one.what for one in found)


@pytest.mark.parametrize("kind", NAMES)
def test_a_planted_name_is_found(kind, scan):
    assert {one.what for one in scan.data("file", NAMES[kind])} == {f"name {NAME}"}


def test_nothing_is_found_in_noise_pictures_and_vectors_of_others(scan):
    rng = np.random.default_rng(1)
    others = rng.normal(size=(200, DIM)).astype(np.float32)
    noise, buffer = rng.bytes(20000), io.BytesIO()
    Image.fromarray(rng.integers(0, 255, (64, 64, 3), np.uint8)).save(buffer, "JPEG")
    for data in (noise, npy(others), parquet(v=others.ravel()), buffer.getvalue(), bytes(9000)):
        assert scan.data("file", data) == []


def test_template_at_the_limit_of_the_cosine():
    """One of .52 is found, one of .48 is not."""
    across = RNG.normal(size=DIM)
    across -= across @ CENTERS[0] * CENTERS[0]
    across /= np.linalg.norm(across)
    scan = ByteScan([], CENTERS[:1])
    for cosine in (0.52, 0.48):
        vector = cosine * CENTERS[0] + (1 - cosine**2) ** 0.5 * across
        assert bool(scan.data("file", npy(vector.astype(np.float32)))) is (cosine > 0.5)


def test_a_folder_tells_which_of_its_files(scan, tmp_path):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.npy").write_bytes(TEMPLATES["npz"])
    (tmp_path / f"{NAME}.txt").write_bytes(b"nothing")
    places = {one.place.partition("!")[0] for one in scan.folder(tmp_path)}
    assert places == {"data/a.npy", f"{NAME}.txt"}
