"""Marks say what an image is in IPTC's terms, to parsers that are not ours, and to ours."""

from __future__ import annotations

import io
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image, PngImagePlugin

from factory import __version__
from factory.config import EditingConfig
from factory.shards.marks import DRAWN, Mark, read_mark
from factory.shards.writer import Encoding
from factory.shots.request import SourceRelease, edit_request
from tests.planned import REQUEST

IMAGE = np.random.default_rng(0).integers(0, 255, (8, 8, 3), dtype=np.uint8)
VIRTUAL = SourceRelease("people", "0.1.0", "5" * 64, False, "s" * 64)
REAL = replace(VIRTUAL, holds_real_identities=True)
PROMPT = 'photo of a "sks" <person> & a tree'


def edits_by(method, release=None, **weights):
    return replace(
        REQUEST,
        edits=edit_request(EditingConfig(method=method), None, None),
        source=replace(REQUEST.source, release=release),
        weights={"recognizer": "1" * 64, **{name: value * 64 for name, value in weights.items()}},
    )


def with_format(request, image_format):
    return replace(request, shards=replace(request.shards, image_format=image_format))


def properties(packet):
    """Properties of a packet by an independent parser, each under its whole name."""
    (description,) = ElementTree.fromstring(packet).iter(
        "{http://www.w3.org/1999/02/22-rdf-syntax-ns#}Description"
    )
    return {
        name.removeprefix("{http://iptc.org/std/Iptc4xmpExt/2008-02-29/}"): value
        for name, value in description.attrib.items()
        if not name.endswith("}about")
    }


def test_a_jpeg_carries_the_ai_fields_of_iptc():
    image = Image.open(io.BytesIO(Encoding.of(REQUEST).encode(IMAGE)))
    wanted = {
        "DigitalSourceType": "http://cv.iptc.org/newscodes/digitalsourcetype/"
        "trainedAlgorithmicMedia",
        "AISystemUsed": "Face Factory, generator 222222222222",
        "AISystemVersionUsed": __version__,
        "AIPromptInformation": "no prompt; an embedding",
    }
    assert properties(image.info["xmp"]) == wanted
    assert b"http://ns.adobe.com/xap/1.0/\0" in Encoding.of(REQUEST).encode(IMAGE)[:64], "in APP1"


def test_a_png_carries_the_prompt_of_its_shot_and_every_bit():
    request = with_format(edits_by("controlnet", editor="3", base="4"), "png")
    image = Image.open(io.BytesIO(Encoding.of(request).encode(IMAGE, PROMPT)))
    assert (np.asarray(image) == IMAGE).all()
    said = properties(image.info["XML:com.adobe.xmp"])
    assert said["DigitalSourceType"].endswith("/compositeWithTrainedAlgorithmicMedia")
    assert said["AIPromptInformation"] == PROMPT
    assert said["AISystemUsed"] == "Face Factory, editor 333333333333, base 444444444444"


@pytest.mark.parametrize(
    ("request_", "source_type", "system"),
    [
        (REQUEST, "trainedAlgorithmicMedia", "Face Factory, generator 222222222222"),
        (
            replace(REQUEST, weights={"base": "4" * 64, "loras": "6" * 64}),
            "trainedAlgorithmicMedia",
            "Face Factory, base 444444444444, loras 666666666666",
        ),
        (
            edits_by("uvit", editor="3"),
            "compositeWithTrainedAlgorithmicMedia",
            "Face Factory, editor 333333333333",
        ),
        (edits_by("drawn"), "composite", ""),
        (edits_by("classic"), "algorithmicallyEnhanced", ""),
        (edits_by("drawn", VIRTUAL), "compositeSynthetic", "Face Factory, release 555555555555"),
        (edits_by("classic", VIRTUAL), DRAWN, "Face Factory, release 555555555555"),
        (edits_by("classic", REAL), "algorithmicallyEnhanced", "Face Factory, release 5555555555"),
    ],
    ids=["drawn", "lora", "uvit", "painted", "classic", "of drawn", "classic of drawn", "of real"],
)
def test_an_edit_is_not_called_drawn_and_a_drawn_face_stays_one(request_, source_type, system):
    """Terms of IPTC's vocabulary as of 2024-09: what is in the image, not what was done last."""
    mark = Mark.of(request_)
    assert mark.source_type == source_type
    assert mark.system.startswith(system)
    assert bool(mark.system) == bool(system) == bool(mark.version)


@pytest.mark.parametrize("image_format", ["jpeg", "png"])
def test_a_mark_is_read_back_and_its_absence_is_noticed(image_format):
    encoding = Encoding.of(with_format(REQUEST, image_format))
    encoded = encoding.encode(IMAGE, PROMPT)
    assert encoded == encoding.encode(IMAGE, PROMPT)
    assert read_mark(encoded) == encoding.mark.with_prompt(PROMPT)
    stripped = io.BytesIO()
    with Image.open(io.BytesIO(encoded)) as image:
        Image.fromarray(np.asarray(image)).save(stripped, image_format)
    assert read_mark(stripped.getvalue()) is None
    assert read_mark(encoded[:20]) is None


def test_properties_are_read_as_elements_too():
    packet = Mark(system="A").packet().replace('Iptc4xmpExt:AISystemUsed="A"/>', ">", 1)
    packet = packet.replace(
        "</rdf:RDF>",
        "<Iptc4xmpExt:AISystemUsed>A</Iptc4xmpExt:AISystemUsed></rdf:Description></rdf:RDF>",
    )
    assert read_mark(png_with(packet)) == Mark(system="A")


@pytest.mark.parametrize("packet", ["<a", "<!DOCTYPE a [<!ENTITY b 'c'>]><a>&b;</a>", "", "<a/>"])
def test_packets_of_others_are_no_marks(packet):
    assert read_mark(png_with(packet)) is None


def test_a_packet_that_grows_by_its_entities_is_not_read():
    packet = Mark(system="of others").packet().replace("of others", "&a;&a;")
    assert read_mark(png_with(f'<!DOCTYPE x [<!ENTITY a "lol">]>{packet}')) is None


def test_a_long_prompt_and_characters_that_xml_has_not_still_fit():
    encoded = Encoding("jpeg", 90).encode(IMAGE, "a\0\n" + "\U0001f642" * 70_000)
    mark = read_mark(encoded)
    assert mark is not None
    assert mark.prompt == "a\n" + "\U0001f642" * 1997


def png_with(packet):
    info, buffer = PngImagePlugin.PngInfo(), io.BytesIO()
    info.add_itxt("XML:com.adobe.xmp", packet)
    Image.fromarray(IMAGE).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()
