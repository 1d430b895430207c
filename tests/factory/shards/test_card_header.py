"""A card keeps what its header says and gets what it lacks."""

from __future__ import annotations

import pytest
import yaml

from factory.shards.card_header import completed, header_of, split_card

WANTED = header_of("cc-by-4.0", "tiny 0.1.0", 12, "data/train-*.tar")
OWN = "---\nlicense: other\nlicense_name: ours\npretty_name: Ours\n---\n# Ours\n\n---\nmore\n"


def test_a_header_keeps_its_own_values_and_its_text():
    card = completed(OWN, WANTED)
    header, text, rest = split_card(card)
    assert header == WANTED | {"license": "other", "license_name": "ours", "pretty_name": "Ours"}
    assert text.startswith("license: other\nlicense_name: ours\npretty_name: Ours\n")
    assert text.count("license:") == 1, "a key that stands twice is no YAML to the hub"
    assert rest == "# Ours\n\n---\nmore\n"
    assert completed(card, WANTED) == card


@pytest.mark.parametrize(
    "card", ["# No header\n", "", "---\n: [\n---\n# Broken\n", "---\nno end\n"]
)
def test_a_card_without_a_header_gets_one_before_all_that_it_says(card):
    found = completed(card, WANTED)
    assert found.endswith(f"---\n{card}")
    assert yaml.safe_load(found.split("---\n")[1]) == WANTED
