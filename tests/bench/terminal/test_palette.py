"""The palette: one look a backend, told apart by everyone, on light and on dark."""

import itertools
import math

import pytest

from backends.registry import BUILT_IN
from bench.terminal.palette import BACKEND_COLOURS, MARKERS, OTHER_COLOURS, colour_of, look_of

LIGHT, DARK = "#ffffff", "#181c21"

# Source: Machado, Oliveira and Fernandes, IEEE Trans. Visualization and Computer Graphics 15 (2009) 6; severity 1.
COLOUR_BLINDNESS = {
    "protanopia": ((0.152, 1.053, -0.205), (0.115, 0.786, 0.099), (-0.004, -0.048, 1.052)),
    "deuteranopia": ((0.367, 0.861, -0.228), (0.280, 0.673, 0.047), (-0.012, 0.043, 0.969)),
    "tritanopia": ((1.256, -0.077, -0.179), (-0.078, 0.931, 0.148), (0.005, 0.691, 0.304)),
    "none": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
}


def linear(colour):
    """Return the linear red, green and blue of ``#rrggbb``."""
    values = [int(colour[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    return [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in values]


def contrast(first, second):
    """Return the contrast ratio of two colours ``#rrggbb``, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(first), luminance(second)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour):
    """Return the relative luminance of WCAG 2.2, 0 to 1."""
    return sum(share * value for share, value in zip((0.2126, 0.7152, 0.0722), linear(colour), strict=True))


def lab(rgb):
    """Return CIE L*a*b* of linear red, green and blue, for daylight."""
    r, g, b = (min(max(v, 0.0), 1.0) for v in rgb)
    xyz = (
        0.4124 * r + 0.3576 * g + 0.1805 * b,
        0.2126 * r + 0.7152 * g + 0.0722 * b,
        0.0193 * r + 0.1192 * g + 0.9505 * b,
    )
    x, y, z = (
        v ** (1 / 3) if v > 0.008856 else 7.787 * v + 16 / 116 for v in (xyz[0] / 0.9505, xyz[1], xyz[2] / 1.089)
    )
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def seen(colour, matrix):
    """Return L*a*b* of a colour as someone with that colour vision sees it."""
    rgb = linear(colour)
    return lab([sum(m * v for m, v in zip(row, rgb, strict=True)) for row in matrix])


def distance(one, other):
    """Return how far two colours of CIE L*a*b* lie apart, by CIE76: about 2 can just be told apart."""
    return math.dist(one, other)


@pytest.mark.parametrize("vision", COLOUR_BLINDNESS)
def test_palette_tells_built_in_backends_apart(vision):
    """Any two built-in backends differ clearly (more than 15 in CIE76) under each kind of colour vision."""
    colours = [seen(colour, COLOUR_BLINDNESS[vision]) for colour in BACKEND_COLOURS.values()]
    for one, other in itertools.combinations(colours, 2):
        assert distance(one, other) > 15


@pytest.mark.parametrize("page", [LIGHT, DARK])
@pytest.mark.parametrize(
    "colour", [*BACKEND_COLOURS.values(), *OTHER_COLOURS, *(colour_of(f"{name}-idiom") for name in BACKEND_COLOURS)]
)
def test_palette_stands_out_on_both_pages(colour, page):
    """Every colour has a contrast of 3:1 or more against the light page and the dark one."""
    assert contrast(colour, page) >= 3


def test_look_is_stable_for_any_name():
    """A stranger's backend has the look of its name, today and tomorrow: here are two, written down."""
    assert look_of("mine.module:Backend") == look_of("mine.module:Backend")
    assert colour_of("tensorflow") == "#8c6d4f"
    assert colour_of("keras") == "#a05acb"
    assert colour_of("") in OTHER_COLOURS


def test_look_of_an_idiom_recalls_its_backend():
    """An idiom keeps the marker of its backend, in a greyer colour, dashed, not filled."""
    best, idiom = look_of("torch"), look_of("torch-idiom")
    assert (idiom.marker, idiom.filled, best.filled) == (best.marker, False, True)
    assert idiom.colour != best.colour
    assert idiom.dash != best.dash
    assert best.marker in MARKERS


@pytest.mark.parametrize("vision", COLOUR_BLINDNESS)
@pytest.mark.parametrize("page", [LIGHT, DARK])
def test_palette_stands_off_the_page_for_everyone(vision, page):
    """Each built-in backend's colour is far (more than 30 in CIE76) from the page, light or dark, as it is seen."""
    for colour in BACKEND_COLOURS.values():
        assert distance(seen(colour, COLOUR_BLINDNESS[vision]), seen(page, COLOUR_BLINDNESS[vision])) > 30


@pytest.mark.parametrize("vision", COLOUR_BLINDNESS)
def test_looks_that_share_a_colour_differ_in_form(vision):
    """Of all backends, idioms and variants, any two that look alike in colour differ in marker, filling or dash."""
    looks = [look_of(entry.name) for entry in BUILT_IN]
    for one, other in itertools.combinations(looks, 2):
        apart = distance(seen(one.colour, COLOUR_BLINDNESS[vision]), seen(other.colour, COLOUR_BLINDNESS[vision])) > 15
        assert apart or one[1:] != other[1:]
