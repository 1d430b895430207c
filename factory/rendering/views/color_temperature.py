"""The color of light from its temperature: lamps as black bodies, the sky as daylight.

Chromaticities of black bodies by the cubic splines of Kim et al. (US patent 7024034, 2002), good to
.001 from 1667 to 25000 kelvin; of daylight by the CIE's locus (Judd, MacAdam & Wyszecki 1964).
"""

from __future__ import annotations

import numpy as np

from factory.rendering.traits import Color

XYZ_TO_RGB = np.array(
    [[3.2406, -1.5372, -0.4986], [-0.9689, 1.8758, 0.0415], [0.0557, -0.2040, 1.0570]]
)
"""To linear sRGB (IEC 61966-2-1), in which daylight of 6504 kelvin is gray."""
LEAST_CHANNEL = 0.02
"""Of a luminance of 1: warm light below 1900 kelvin has less blue than sRGB can show."""


def blackbody_xy(kelvin: float) -> tuple[float, float]:
    """CIE 1931 chromaticity of a black body, 1667 to 25000 kelvin."""
    t = 1e3 / kelvin
    if kelvin <= 4000:
        x = float(np.polyval([-0.2661239, -0.2343589, 0.8776956, 0.179910], t))
    else:
        x = float(np.polyval([-3.0258469, 2.1070379, 0.2226347, 0.240390], t))
    if kelvin <= 2222:
        return x, float(np.polyval([-1.1063814, -1.34811020, 2.18555832, -0.20219683], x))
    if kelvin <= 4000:
        return x, float(np.polyval([-0.9549476, -1.37418593, 2.09137015, -0.16748867], x))
    return x, float(np.polyval([3.0817580, -5.87338670, 3.75112997, -0.37001483], x))


def daylight_xy(kelvin: float) -> tuple[float, float]:
    """CIE 1931 chromaticity of daylight, 4000 to 25000 kelvin."""
    t = 1e3 / kelvin
    if kelvin <= 7000:
        x = float(np.polyval([-4.6070, 2.9678, 0.09911, 0.244063], t))
    else:
        x = float(np.polyval([-2.0064, 1.9018, 0.24748, 0.237040], t))
    return x, -3.0 * x * x + 2.870 * x - 0.275


def lamp(kelvin: float) -> Color:
    """Linear RGB of luminance 1 of a lamp's light, a black body."""
    return _rgb(*blackbody_xy(kelvin))


def daylight(kelvin: float) -> Color:
    """Linear RGB of luminance 1 of daylight: about 5200 sun, 6500 overcast, 9000 blue sky."""
    return _rgb(*daylight_xy(kelvin))


def _rgb(x: float, y: float) -> Color:
    rgb = np.maximum(XYZ_TO_RGB @ np.array([x / y, 1.0, (1 - x - y) / y]), LEAST_CHANNEL)
    red, green, blue = (float(channel) for channel in rgb)
    return red, green, blue
