"""Color of skin from its two pigments: melanin over a dermis that holds blood.

A filter of melanin (the epidermis, crossed twice) on a deep scattering layer whose absorption is
that of blood. Optics of Jacques 1998, "Skin optics summary" (melanin, baseline, scattering);
haemoglobin of Prahl 1999, "Tabulated molar extinction coefficient for hemoglobin in water";
diffuse reflectance of Jensen et al. 2001, "A practical model for subsurface light transport",
section 2.4; color matching of Wyman et al. 2013, "Simple analytic approximations to the CIE XYZ
color matching functions".
"""

from __future__ import annotations

from functools import cache

import numpy as np

WAVELENGTHS = np.arange(400, 701, 10.0)
"""Nanometers."""
OXYGENATED = np.array(
    [266232, 466840, 480360, 246072, 102580, 62816, 44480, 33209, 26629, 23684, 20933, 20036,
     24202, 39957, 53236, 43016, 32613, 44496, 50104, 14401, 3200, 1506, 942, 610, 442, 368, 320,
     294, 278, 276, 290]
)  # fmt: skip
DEOXYGENATED = np.array(
    [223296, 303956, 407560, 528600, 413280, 103292, 23389, 16156, 14550, 16684, 20862, 25774,
     31590, 39036, 46592, 53412, 53788, 45072, 37020, 28325, 14677, 9444, 6510, 5149, 4345, 3750,
     3227, 2795, 2408, 2052, 1794]
)  # fmt: skip
"""Molar extinction of haemoglobin, 1/cm/M."""
BLOOD = 2.303 * 150 / 64500
"""From molar extinction to absorption of whole blood, 1/cm: 150 g/l, 64,500 g/mol."""
SATURATION = 0.65
"""Oxygenated fraction of the skin's blood."""
CAP_CM = 0.002
"""Melanosomes lie in caps over the nuclei of cells, about 20 micrometers across: what is behind
in a cap is in the shadow of what is in front, so that the spectrum of much melanin is flatter."""
MELANIN = 0.006, 0.5
"""Volume fraction of melanosomes in the epidermis of the lightest and darkest people."""
EVEN = 2.2
"""Makes equal steps of melanin about equal steps of lightness."""
BLOOD_FRACTION = 0.002, 0.032
"""Volume fraction of blood in the dermis where there is least and most."""
EPIDERMIS_CM = 0.006
PATH = 3.0
"""How many thicknesses light takes through the epidermis there and back, being diffuse."""
SCATTERING = 60.0
"""Reduced scattering at 500 nm, 1/cm, between dermis (45) and epidermis (69): Jacques 2013,
"Optical properties of biological tissues: a review", table 1."""
HAZE = 0.008
"""What the epidermis scatters back before any pigment."""
CAROTENE = 0.03
"""What fat and carotene under the dermis take of blue light."""
INTERNAL = (1 + 0.53) / (1 - 0.53)
"""Jensen's A of an index of refraction of 1.4, whose inner diffuse reflectance is .53."""
TO_SRGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
D65 = np.array([0.9505, 1.0, 1.089])
RANGE = (1.25, 2.5)
"""Largest amount of melanin and haemoglobin in the table; 1 is the most of a whole face."""
STEPS = (51, 51)


def reflectance(melanin: float, haemoglobin: float) -> np.ndarray:
    """Diffuse reflectance at WAVELENGTHS; amounts in [0, 1], a little more in marks."""
    melanosomes = MELANIN[0] + (MELANIN[1] - MELANIN[0]) * melanin**EVEN
    blood = BLOOD_FRACTION[0] + (BLOOD_FRACTION[1] - BLOOD_FRACTION[0]) * haemoglobin
    baseline = 0.244 + 85.3 * np.exp(-(WAVELENGTHS - 154) / 66.2)
    caps = (1 - np.exp(-CAP_CM * 6.6e11 * WAVELENGTHS**-3.33)) / CAP_CM
    epidermis = melanosomes * caps + (1 - melanosomes) * baseline
    extinction = SATURATION * OXYGENATED + (1 - SATURATION) * DEOXYGENATED
    absorption = blood * BLOOD * extinction + (1 - blood) * baseline
    scattering = SCATTERING * (WAVELENGTHS / 500) ** -1.3
    filtered = np.exp(-PATH * EPIDERMIS_CM * epidermis)
    yellow = 1 - CAROTENE * np.clip((530 - WAVELENGTHS) / 60, 0, 1)
    below = _diffuse(scattering / (scattering + absorption))
    return np.asarray(HAZE + (1 - HAZE) * filtered * yellow * below)


def _diffuse(albedo: np.ndarray) -> np.ndarray:
    """What a deep layer of a reduced albedo gives back (Jensen et al. 2001)."""
    root = np.sqrt(3 * (1 - albedo))
    return np.asarray(albedo / 2 * (1 + np.exp(-4 / 3 * INTERNAL * root)) * np.exp(-root))


def linear_rgb(spectrum: np.ndarray) -> np.ndarray:
    """Linear sRGB [3] of a reflectance at WAVELENGTHS under white light, clipped to [0, 1]."""
    matching = _color_matching()
    xyz = matching @ spectrum / matching.sum(1) * D65
    return np.asarray(np.clip(TO_SRGB @ xyz, 0, 1))


def _color_matching() -> np.ndarray:
    """The CIE 1931 observer [3, wavelengths], by Wyman's lobes."""

    def lobe(center: float, below: float, above: float) -> np.ndarray:
        width = np.where(WAVELENGTHS < center, below, above)
        return np.asarray(np.exp(-0.5 * ((WAVELENGTHS - center) * width) ** 2))

    x = 0.362 * lobe(442.0, 0.0624, 0.0374) + 1.056 * lobe(599.8, 0.0264, 0.0323)
    x = x - 0.065 * lobe(501.1, 0.0490, 0.0382)
    y = 0.821 * lobe(568.8, 0.0213, 0.0247) + 0.286 * lobe(530.9, 0.0613, 0.0322)
    z = 1.217 * lobe(437.0, 0.0845, 0.0278) + 0.681 * lobe(459.0, 0.0385, 0.0725)
    return np.stack([x, y, z])


@cache
def _table() -> np.ndarray:
    """Colors [melanin, haemoglobin, 3] over RANGE."""
    amounts = [np.linspace(0, top, steps) for top, steps in zip(RANGE, STEPS, strict=True)]
    rows = [[linear_rgb(reflectance(m, h)) for h in amounts[1]] for m in amounts[0]]
    return np.array(rows, np.float32)


def skin_color(melanin_N: np.ndarray, haemoglobin_N: np.ndarray) -> np.ndarray:
    """Linear RGB float32 [N, 3] of amounts of pigment; 1 is the most of a whole face."""
    table, places = _table(), []
    for amount, top, steps in zip((melanin_N, haemoglobin_N), RANGE, STEPS, strict=True):
        places.append(np.clip(np.asarray(amount, np.float32) / top, 0, 1) * (steps - 1))
    row, column = (np.minimum(p.astype(int), s - 2) for p, s in zip(places, STEPS, strict=True))
    u, v = (places[0] - row)[..., None], (places[1] - column)[..., None]
    low = table[row, column] * (1 - v) + table[row, column + 1] * v
    high = table[row + 1, column] * (1 - v) + table[row + 1, column + 1] * v
    return np.asarray((low * (1 - u) + high * u).astype(np.float32))
