"""A version is extended only where the gate sees its real people, whose templates are gone."""

from __future__ import annotations

import pytest

from factory.errors import PlanError
from factory.planning.preflight import refuse_unseen_people
from factory.shots.plan import Plan, PrivateDigests
from tests.planned import REQUEST, request_with

SOURCE = REQUEST.source.fingerprint
PRIVATE = PrivateDigests("a", "b")


def plan_of(method: str, private: PrivateDigests | None = PRIVATE) -> Plan:
    return Plan(request_with(release={"method": method}), {}, [], private=private)


def test_people_of_another_source_without_templates_are_refused():
    for method in ("lora", "edit"):
        with pytest.raises(
            PlanError, match=r"identities\.extends: version 0\.1\.0 holds real people"
        ):
            refuse_unseen_people([plan_of("diffusion"), plan_of(method)], "other", None)


def test_people_whom_the_gate_sees_are_not():
    refuse_unseen_people([plan_of("edit"), plan_of("lora")], SOURCE, None)
    refuse_unseen_people([plan_of("edit")], "other", "gallery.npy")
    refuse_unseen_people([plan_of("diffusion")], "other", None)
    refuse_unseen_people([plan_of("edit", None)], "other", None)
