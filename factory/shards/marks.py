"""Marks in images: an XMP packet that says what an image is and which network made it.

IPTC Photo Metadata Standard 2025.1: Digital Source Type, AI System Used, AI System Version Used, AI
Prompt Information, all in the namespace Iptc4xmpExt and plain text. AI Prompt Writer Name is left
out: prompts are filled in by a program, and no name of a person belongs into an image. A packet
holds no time, host or path, and is the same for the same plan.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass, replace
from xml.etree import ElementTree
from xml.sax.saxutils import quoteattr

from factory import __version__
from factory.shots.request import PlanRequest

NAMESPACE = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
RDF = "http://www.w3.org/1999/02/22-rdf-syntax-ns#"
VOCABULARY = "http://cv.iptc.org/newscodes/digitalsourcetype/"
FACTORY = "Face Factory"
PNG_KEYWORD = "XML:com.adobe.xmp"
DRAWN = "trainedAlgorithmicMedia"
EDITED = "compositeWithTrainedAlgorithmicMedia"
"""IPTC: edited by a generative model, "such as with inpainting"."""
SOURCE_TYPES = {
    "": DRAWN,
    "uvit": EDITED,
    "controlnet": EDITED,
    "drawn": "composite",
    "classic": "algorithmicallyEnhanced",
}
"""IPTC's term for an image, by editing.method; "" where a person is drawn."""
OF_DRAWN_FACES = {"drawn": "compositeSynthetic", "classic": DRAWN}
"""Other terms where a generator made the original: what is in the image stays drawn by it."""
NETWORKS = ("generator", "editor", "base", "loras")
"""Weights of a plan that make pixels, in the order in which a mark names them."""
NO_PROMPT = {"": "no prompt; an embedding", "uvit": "no prompt; a masked face"}
"""What a generator without text is given instead, by editing.method."""
FIELDS = {
    "source_type": "DigitalSourceType",
    "system": "AISystemUsed",
    "version": "AISystemVersionUsed",
    "prompt": "AIPromptInformation",
}
MAX_PROMPT = 2000
"""Characters of a prompt that are written: more than text encoders read, less than a JPEG holds."""
NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


@dataclass(frozen=True)
class Mark:
    """What an image says of itself; "" is not said."""

    source_type: str = DRAWN
    """A term of IPTC's vocabulary of digital source types."""
    system: str = ""
    version: str = ""
    prompt: str = ""

    @classmethod
    def of(cls, request: PlanRequest) -> Mark:
        """The mark that a plan asks for; a shot's prompt comes later, by `with_prompt`."""
        method = request.edits.editing.method if request.edits else ""
        origin = request.source.release
        source_type = SOURCE_TYPES[method]
        if origin and not origin.holds_real_identities:
            source_type = OF_DRAWN_FACES.get(method, source_type)
        makers = [f"{n} {request.weights[n][:12]}" for n in NETWORKS if n in request.weights]
        if method in OF_DRAWN_FACES:  # no network of this plan makes pixels
            makers = [f"release {origin.plan_hash[:12]}"] if origin else []
        if not makers:
            return cls(source_type)
        system = ", ".join((FACTORY, *makers))
        return cls(source_type, system, __version__, NO_PROMPT.get(method, ""))

    def with_prompt(self, prompt: str) -> Mark:
        """The mark of a shot that was asked for in words; the same where it was not."""
        return replace(self, prompt=prompt[:MAX_PROMPT]) if prompt else self

    def packet(self) -> str:
        """The XMP packet; what XML cannot hold is left out."""
        said = {name: getattr(self, field) for field, name in FIELDS.items()}
        said["DigitalSourceType"] = VOCABULARY + self.source_type
        attributes = "".join(
            f" Iptc4xmpExt:{name}={quoteattr(NOT_XML.sub('', value))}"
            for name, value in said.items()
            if value
        )
        return (
            f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="{RDF}">'
            f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{NAMESPACE}"{attributes}/>'
            "</rdf:RDF></x:xmpmeta>"
        )

    def __str__(self) -> str:
        """What it says, for a person."""
        version = f" {self.version}" if self.version else ""
        made_by = f", made by {self.system}{version}" if self.system else ""
        return f"marked {self.source_type or 'without a source type'}{made_by}"


def read_mark(encoded: bytes) -> Mark | None:
    """The mark in a JPEG, PNG or WebP, or None where there is none that can be read.

    No pixel is decoded. A packet with a document type is not read, because entities may grow.
    """
    from PIL import Image

    try:
        with Image.open(io.BytesIO(encoded), formats=["JPEG", "PNG", "WEBP"]) as image:
            packet = image.info.get("xmp") or image.info.get(PNG_KEYWORD) or b""
    except Exception:  # because Pillow's readers raise nearly anything on bad bytes
        return None
    text = packet.decode(errors="replace") if isinstance(packet, bytes) else str(packet)
    if "<!" in text:
        return None
    try:
        root = ElementTree.fromstring(text.strip("\0 \n\r\t"))
    except ElementTree.ParseError:
        return None
    said = {field: _said(root, f"{{{NAMESPACE}}}{name}") for field, name in FIELDS.items()}
    said["source_type"] = said["source_type"].removeprefix(VOCABULARY)
    return Mark(**said) if any(said.values()) else None


def _said(root: ElementTree.Element, name: str) -> str:
    """A property of a packet, which XMP may write as an attribute or as an element."""
    for element in root.iter(f"{{{RDF}}}Description"):
        if found := element.get(name) or (element.findtext(name) or "").strip():
            return found
    return ""
