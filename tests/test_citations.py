"""What the documents cite exists: files, names, constants, defaults, sections and links."""

from __future__ import annotations

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from factory.config import Config

ROOT = Path(__file__).parent.parent
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "factory/METHODS.md", "factory/shards/PROTOCOL.md")
TOP = ("factory/", "cluster/", "jobs/", "tests/", "configs/")
FILE = re.compile(r"`([\w./-]+\.(?:py|yaml))(?::([\w.]+))?`")
CONSTANT = re.compile(r"`([\w./]+\.py):([\w.]+)`\s+=\s+(-?\d+(?:\.\d+)?(?:e-?\d+)?)")
DEFAULT = re.compile(r"`(\w+)\.(\w+)`\s*\|?\s*\(default\s+(-?[\d.]+)\b")
LINK = re.compile(r"\]\(([^)\s]+)\)")
METHODS_CITED = re.compile(r"METHODS\s+(\d(?:,\s+\d)*)")
PROTOCOL_CITED = re.compile(r"PROTOCOL, invariants? (\d)(?:-(\d))?")


def text_of(document: str) -> str:
    return (ROOT / document).read_text(encoding="utf-8")


def path_of(document: str, cited: str) -> Path:
    """METHODS and the protocol cite files below factory/."""
    below = "" if cited.startswith(TOP) or not document.startswith("factory/") else "factory/"
    return ROOT / (below + cited)


@cache
def values_of(path: Path) -> dict[str, ast.expr | None]:
    """Names defined in a file, those of classes as Class.name, and what is assigned to them."""
    return defined_in(ast.parse(path.read_text(encoding="utf-8")).body, "")


def defined_in(body: list[ast.stmt], prefix: str) -> dict[str, ast.expr | None]:
    names: dict[str, ast.expr | None] = {}
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names[prefix + node.name] = None
        if isinstance(node, ast.ClassDef):
            names |= defined_in(node.body, f"{prefix}{node.name}.")
        if isinstance(node, ast.AnnAssign):
            names[prefix + ast.unparse(node.target)] = node.value
        if isinstance(node, ast.Assign):
            for target in node.targets:
                if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                    pairs = zip(target.elts, node.value.elts, strict=True)
                    names |= {prefix + ast.unparse(name): value for name, value in pairs}
                else:
                    names[prefix + ast.unparse(target)] = node.value
    return names


@pytest.mark.parametrize("document", DOCUMENTS)
def test_cited_files_and_names_exist(document):
    cited = {c for c in FILE.findall(text_of(document)) if "/" in c[0] and "NAME" not in c[0]}
    missing = []
    for file, name in sorted(cited):
        path = path_of(document, file)
        if not path.is_file() or (name and name not in values_of(path)):
            missing.append(f"{file}:{name}" if name else file)
    assert cited
    assert missing == []


def test_cited_constants_have_the_values_given():
    checked = 0
    for document in DOCUMENTS:
        for file, name, value in CONSTANT.findall(text_of(document)):
            expression = values_of(path_of(document, file))[name]
            assert expression is not None, f"{file}:{name} has no value"
            assert ast.literal_eval(expression) == float(value), f"{file}:{name} is not {value}"
            checked += 1
    assert checked > 20


def test_cited_defaults_are_those_of_the_config():
    config, checked = Config(), 0
    for document in DOCUMENTS:
        for section, key, value in DEFAULT.findall(text_of(document)):
            default = getattr(getattr(config, section), key)
            assert float(default) == float(value), f"{document}: {section}.{key} is {default}"
            checked += 1
    assert checked > 25


def test_cited_keys_are_in_the_config():
    config = Config()
    sections = {name: getattr(config, name) for name in vars(config)}
    for document in DOCUMENTS:
        for section, key in re.findall(r"`(\w+)\.(\w+)(?:=[^`]*)?`", text_of(document)):
            if section in sections and key not in ("json", "parquet", "md", "py", "txt"):
                assert hasattr(sections[section], key), f"{document} names {section}.{key}"


def python_files() -> list[Path]:
    folders = ("factory", "cluster", "jobs", "tests")
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def test_sections_cited_in_docstrings_exist():
    methods, protocol = text_of("factory/METHODS.md"), text_of("factory/shards/PROTOCOL.md")
    sections = set(re.findall(r"^## (\d) ", methods, re.M))
    invariants = set(re.findall(r"^\*\*(\d)\. ", protocol, re.M))
    cited: set[str] = set()
    for file in python_files():
        text = file.read_text(encoding="utf-8")
        for numbers in METHODS_CITED.findall(text):
            cited |= set(re.split(r",\s+", numbers))
        for first, last in PROTOCOL_CITED.findall(text):
            assert {first, last or first} <= invariants, file
    assert cited <= sections
    assert len(cited) >= 9


def test_no_docstring_cites_a_document_that_is_not_in_the_repository():
    wrong = [
        str(file.relative_to(ROOT))
        for file in python_files()
        if re.search(r"\(RELEASE[,) ]", file.read_text(encoding="utf-8"))
    ]
    assert wrong == [], "cite PROTOCOL (factory/shards/PROTOCOL.md)"


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_links_lead_somewhere(document):
    for link in LINK.findall(text_of(document)):
        if "://" in link:
            continue
        file, _, anchor = link.partition("#")
        path = (ROOT / document).parent / file if file else ROOT / document
        assert path.exists(), f"{document} links to {link}"
        if anchor:
            assert anchor in anchors_of(path), f"{document} links to {link}"
