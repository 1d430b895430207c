"""jobs.attack on a sealed release, and where there is none."""

from __future__ import annotations

import json

import pytest

from factory.config import load
from factory.errors import IntegrityError
from factory.evaluation.metrics.attack import Attack
from factory.evaluation.metrics.json_form import from_json
from factory.report.attacked_release import attacked_release
from factory.shards import layout
from factory.shards.verify import verify
from factory.store import LocalStore
from jobs._arguments import parse
from jobs._catalog import find
from tests.conftest import PEOPLE, tiny_dotlist


def answer_of(card: str) -> str:
    """The line of the evidence on attacks."""
    (line,) = (line for line in card.splitlines() if "made to give people away?" in line)
    return line


@pytest.fixture
def settings(people, weights, tmp_path):
    """Of a tiny release, with two members and two people held out."""
    return [
        *tiny_dotlist(people, weights, tmp_path / "store"),
        "source.holdout_identities=2",
        "attack.num_draws=1",
        "attack.num_free_draws=4",
        "attack.num_noises=1",
        f"attack.out={tmp_path / 'found'}",
    ]


@pytest.fixture
def run(settings, tmp_path):
    """Function of a job and changes."""
    (tmp_path / "c.yaml").write_text("{}\n")

    def run(job: str, *changes: str) -> None:
        find(job).run(parse(find(job), [str(tmp_path / "c.yaml"), *settings, *changes]))

    return run


def test_an_attack_lands_in_the_release_and_its_card(run, settings, tmp_path, capsys):
    release = LocalStore(tmp_path / "store").below(layout.release_prefix("tiny", "0.1.0"))
    run("release")
    sums, card = release.get(layout.SUMS), release.get(layout.CARD)
    run("attack", "--dry-run")
    assert not release.exists("metrics/attack.json")
    run("attack")
    body = json.loads(release.get("metrics/attack.json"))
    found = from_json(Attack, body)
    assert (found.members.people, found.heldout.people) == (2, 2)
    assert [drawn.condition for drawn in found.free_draws] == ["nobody", "virtual people"]
    text = release.get(layout.CARD).decode()
    section = "## What an attack on the generator found\n"
    assert "Not measured: `python -m jobs.attack" in card.decode().split(section)[1]
    assert "| brightness | nothing |" in text.split(section)[1]
    before, after = card.decode().split(section)[0], text.split(section)[0]
    (asked,) = (line for line in after.splitlines() if line not in before.splitlines())
    assert asked.startswith("| GDPR recital 26 | Can the generator be made to give people away? |")
    assert "is what the config says, not what its records tell. Undecided" in asked
    assert after.replace(asked, "") == before.replace(answer_of(before), "")
    assert release.get(layout.SUMS) == sums
    assert "  metrics/attack.json\n" in release.get(layout.EXTRA_SUMS).decode()
    assert verify(release) == []
    assert capsys.readouterr().out.splitlines()[-1].endswith("0.1.0/metrics/attack.json")
    for person in range(PEOPLE):
        assert f"person_{person}" not in json.dumps(body) + text
    with pytest.raises(IntegrityError, match=r"generator\.checkpoint: has sha256 ffff.* was drawn"):
        attacked_release(load(tmp_path / "c.yaml", settings), "f" * 64)


def test_an_attack_without_a_release_is_written_beside(run, tmp_path, capsys):
    run("attack")
    assert from_json(Attack, json.loads((tmp_path / "found/attack.json").read_text()))
    assert not (tmp_path / "store").exists()
    assert "cannot be resolved with 2 people held out" in capsys.readouterr().out
