"""Terms of the report are marked up with what they mean, and nothing else is."""

from __future__ import annotations

from factory.inspection.terms import TERMS as OF_INSPECTION
from factory.report.terms import TERMS, explained, used_in


def test_a_label_keeps_its_words_and_its_terms_are_marked_up():
    marked = explained("AUC of 3 < 4")
    assert marked == f'<abbr tabindex="0" data-tip="{TERMS["AUC"]}">AUC</abbr> of 3 &lt; 4'


def test_the_longest_term_counts_and_parts_of_words_do_not():
    assert explained("FMR1000").count("<abbr") == 1
    assert TERMS["FMR1000"] in explained("FMR1000")
    inside = {"false match": "A.", "false match rate": "B."}
    assert explained("false match rate", inside).count('data-tip="B."') == 1
    for word in ("limits", "delimit"):
        assert "<abbr" not in explained(word)  # limit


def test_a_page_lists_the_terms_that_it_uses_once_each():
    page = explained("ROC") + explained("AUC") + explained("AUC")
    assert used_in(page) == [("AUC", TERMS["AUC"]), ("ROC", TERMS["ROC"])]


def test_another_page_has_meanings_of_its_own():
    own = {"AUC": "Mine.", "cosine of two": "Other."}
    marked = explained("AUC, cosine of two, ROC", own)
    assert 'data-tip="Mine."' in marked
    assert "ROC</abbr>" not in marked
    assert used_in(marked, own) == [("AUC", "Mine."), ("cosine of two", "Other.")]


def test_every_term_is_explained_in_a_sentence():
    for term, meaning in [*TERMS.items(), *OF_INSPECTION.items()]:
        assert meaning.endswith("."), term
        assert meaning[0].isupper() or meaning[0].isdigit(), term
