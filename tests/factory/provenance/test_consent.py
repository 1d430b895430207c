"""The ledger of consent: read with care, and checked before a release or a training begins."""

from __future__ import annotations

from datetime import date

import pytest

from factory.config import SourceConfig
from factory.errors import ConfigError, SourceError
from factory.planning.preflight import preflight
from factory.provenance.consent import Consent, check_consent, consent_facts, read_ledger
from factory.provenance.faces import source_record
from factory.provenance.lineage import Lineage
from factory.provenance.pseudonyms import KEY_VARIABLE, pseudonym
from factory.sources import open_source
from factory.store import LocalStore
from jobs._training import check_consents
from tests.withdrawals import write_version

TODAY, KEY = date(2026, 11, 26), "k" * 32
HEADER = "person,basis,until\n"


@pytest.fixture
def ledger(tmp_path):
    """Function of rows -> the path of a ledger with them."""

    def write(rows: str, header: str = HEADER, encoding: str = "utf-8") -> str:
        path = tmp_path / "consent.csv"
        path.write_bytes((header + rows).encode(encoding))
        return str(path)

    return write


def test_a_ledger_is_read(ledger):
    rows = 'anna,signed consent,2030-12-31\n"de Vries, Ben",signed consent,\n\nçem,contract,\n'
    read = read_ledger(ledger(rows, "\ufeffperson, basis ,until\n"))
    assert read.people == {
        "anna": Consent("signed consent", date(2030, 12, 31), 2),
        "de Vries, Ben": Consent("signed consent", None, 3),
        "çem": Consent("contract", None, 5),
    }
    assert read.covers("anna", date(2030, 12, 31))  # the last day counts
    assert not read.covers("anna", date(2031, 1, 1))
    assert read.covers("çem", date(2999, 1, 1))
    assert not read.covers("nobody", TODAY)


@pytest.mark.parametrize(
    ("rows", "header", "message"),
    [
        ("", "name,basis\n", r"consent\.csv:1: has the columns name,basis; want person,basis"),
        ("", "", r"consent\.csv is empty; want a CSV of person"),
        ("anna,signed\n", HEADER, r"consent\.csv line 2 column 3 \('until'\) is missing: 2 of 3"),
        ("anna,,\n", HEADER, r"consent\.csv:2: basis is empty"),
        (",signed,\n", HEADER, r"consent\.csv:2: person is empty"),
        ("a,s,\nb,s,\na,s,\n", HEADER, r"consent\.csv:4: is about the person of line 2"),
        ("a,s,31.12.2030\n", HEADER, r"consent\.csv:2: until is '31\.12\.2030'; want a day as"),
        ("a,s,2030-02-30\n", HEADER, r"consent\.csv:2: until is '2030-02-30'"),
        ('a,"s,\n', HEADER, r"consent\.csv line \d .*want a CSV of"),
        ("a,a | table,\n", HEADER, r"consent\.csv:2: basis is no short text; want at most 40"),
        ("a,under_score,\n", HEADER, r"consent\.csv:2: basis is no short text"),
        (f"a,s,\nb,{'x' * 41},\n", HEADER, r"consent\.csv:3: basis is no short text"),
    ],
)
def test_a_ledger_with_faults_is_refused_by_file_and_line(ledger, rows, header, message):
    with pytest.raises(ConfigError, match=message) as raised:
        read_ledger(ledger(rows, header))
    assert "\n" not in str(raised.value)


def test_a_basis_of_consent_is_a_short_text(ledger):
    bases = ["signed consent", "Art 6(1)(a)", "Einwilligung (mündlich) - 2", "x" * 40]
    rows = "".join(f"{number},{basis},\n" for number, basis in enumerate(bases))
    assert {one.basis for one in read_ledger(ledger(rows)).people.values()} == set(bases)


@pytest.mark.parametrize(
    "basis", ["signed by Anna Berg", "ANNA BERG", "Berg (Anna) signed", "by Anna-Berg"]
)
def test_a_basis_of_consent_with_a_name_is_refused_and_not_repeated(ledger, basis):
    rows = f"cem,signed,\ndora,{basis},\nAnna_Berg,signed,\n"
    with pytest.raises(ConfigError, match=r"consent\.csv:3: basis holds the name .* line 4;") as e:
        read_ledger(ledger(rows))
    assert "nna" not in str(e.value).replace("/", "").lower()
    others = "Anna_Berg,signed,\ndora,by Annabel Berger,\nart,Art 6,\n".replace("art,", "6,")
    assert len(read_ledger(ledger(others)).people) == 3  # whole words, and numbers are no names


def test_a_consent_file_that_is_not_there_or_not_text_is_refused(ledger, tmp_path):
    with pytest.raises(ConfigError, match=r"source\.consent: .* cannot be read \(Is a directory\)"):
        read_ledger(str(tmp_path))
    with pytest.raises(ConfigError, match=r"source\.consent: no file .*none\.csv"):
        read_ledger(str(tmp_path / "none.csv"))
    with pytest.raises(ConfigError, match=r"consent\.csv line 3 is no UTF-8, but may be cp1252"):
        read_ledger(ledger("anna,signed,\nçem,signed,\n", encoding="latin-1"))


def test_everybody_must_have_a_consent_that_holds(ledger):
    rows = "anna,signed,2026-11-25\nben,signed,2026-11-26\n"
    config = SourceConfig(kind="folder", path="x", consent=ledger(rows))
    check_consent(config, ["ben"], TODAY)
    with pytest.raises(SourceError) as raised:
        check_consent(config, ["anna", "ben", "cem"], TODAY)
    text = str(raised.value)
    assert text.startswith("source.consent: 2 of 3 people of the source have no consent on 2026-11")
    assert "first the one of line 2, whose consent ended on 2026-11-25; leave them out" in text
    assert "python -m jobs.forget" in text
    assert "anna" not in text  # nobody is named, for this may be a log
    with pytest.raises(SourceError, match=r"1 of 2 .*first the person at place 2 in the order"):
        check_consent(config, ["ben", "cem"], TODAY)
    check_consent(SourceConfig(kind="folder", path="x"), ["anna"], TODAY)  # no ledger is kept


def test_consent_of_people_who_are_called_by_pseudonyms_in_a_release(ledger, tmp_path, monkeypatch):
    """Virtual people of it need none."""
    monkeypatch.setenv(KEY_VARIABLE, KEY)
    called = tuple(pseudonym(KEY.encode(), name) for name in ("anna", "ben"))
    write_version(LocalStore(tmp_path), names=called)
    path = f"{tmp_path}/tiny/releases/0.1.0"

    def config(rows: str) -> SourceConfig:
        return SourceConfig(kind="webdataset", path=path, image_px=16, consent=ledger(rows))

    both = config("anna,signed,\nben,signed,\n")
    faces = open_source(both)
    check_consent(both, faces.names, TODAY)
    assert consent_facts(both, faces.names)[0] == {"signed": 2}
    with pytest.raises(SourceError, match="1 of 2 people"):
        check_consent(config("anna,signed,\n"), faces.names, TODAY)


def test_preflight_and_trainings_check_consent(release_config, people, ledger):
    rows = "".join(f"person_{i},signed,2026-11-26\n" for i in range(4))
    config = release_config(f"source.consent={ledger(rows)}")
    preflight(config, TODAY)
    check_consents(config.source, today=TODAY)
    later = date(2026, 11, 27)
    for check in (
        lambda: preflight(config, later),
        lambda: check_consents(config.source, today=later),
    ):
        with pytest.raises(SourceError, match=r"source\.consent: 4 of 4 people .* 2026-11-27"):
            check()


def test_lineages_hold_counts_of_consent_and_no_names(ledger, people):
    rows = "person_0,signed,\nperson_1,signed,\nperson_2,contract,\nperson_3,contract,\n"
    config = SourceConfig(kind="folder", path=str(people), image_px=32, consent=ledger(rows))
    record = source_record(config, open_source(config))
    assert record.consent == {"contract": 2, "signed": 2}
    assert record.consent_sha256 == read_ledger(config.consent).sha256
    spelled = Lineage((record,), ()).to_json()
    assert b"person_" not in spelled
    assert Lineage.from_json(spelled).sources == (record,)
