"""The inside of a mouth: darker inward, whole, and yellower with age."""

from __future__ import annotations

import numpy as np

from factory.rendering.head.head import head_model
from factory.rendering.parts import Label, MeshPart
from factory.rendering.skin.mouth import mouth_colors, mouth_parts
from factory.rendering.skin.skin_atlas import inside_faces
from tests.factory.rendering.skins import person

MODEL = head_model()
NEUTRAL = MODEL.shaped((0.0,) * 100, ())
OPEN = MODEL.shaped((0.0,) * 100, (("jawOpen", 0.6),))


def parts(somebody=None, head=NEUTRAL) -> dict[str, MeshPart]:
    found = mouth_parts(MODEL, head, somebody or person())
    return {part.name: part for part in found if isinstance(part, MeshPart)}


def test_teeth_gums_and_lining_are_the_mouth_and_sockets_are_skin() -> None:
    found = parts()
    labels = {name: part.label for name, part in found.items()}
    assert labels == {
        "teeth": Label.MOUTH,
        "gums": Label.MOUTH,
        "lining": Label.MOUTH,
        "sockets": Label.SKIN,
    }
    lining = len(found["lining"].faces_F3) + len(found["sockets"].faces_F3)
    assert lining == inside_faces(MODEL).sum()
    assert np.abs(found["sockets"].vertices_V3[:, 0]).min() > 1
    assert found["lining"].vertices_V3[:, 1].max() < 0


def test_colors_fall_inward() -> None:
    for name in ("teeth", "gums", "lining"):
        part = parts()[name]
        assert part.colors_V3 is not None
        depth = part.vertices_V3[:, 2]
        front, back = part.colors_V3[depth > 9.8].mean(), part.colors_V3[depth < 6.3].mean()
        assert back < 0.6 * front
        order = np.argsort(depth)
        assert (np.diff(part.colors_V3[order, 0]) > -1e-6).all()


def test_nothing_bright_lies_in_a_mouth_but_teeth() -> None:
    for name, part in parts().items():
        assert part.colors_V3 is not None
        assert part.colors_V3.min() >= 0
        assert part.colors_V3.max() <= 1
        if name != "teeth":
            assert part.colors_V3.mean(1).max() < 0.4


def test_the_mouth_moves_with_the_jaw_and_keeps_its_colors() -> None:
    shut, opened = parts(), parts(head=OPEN)
    for name in ("teeth", "gums", "lining"):
        assert not np.allclose(shut[name].vertices_V3, opened[name].vertices_V3, atol=0.1)
        assert shut[name].colors_V3 is opened[name].colors_V3


def test_teeth_yellow_with_age() -> None:
    young, old = (mouth_colors(MODEL, person(age=age))["teeth"].max(0) for age in (18, 80))
    assert old[2] / old[0] < young[2] / young[0] - 0.05


def test_people_have_other_teeth_by_their_seed() -> None:
    one, other = (mouth_colors(MODEL, person(seed=seed))["teeth"] for seed in (1, 2))
    assert not np.allclose(one, other)
