"""Colours of the picture: equally light for each size class, so that none stands out."""

import math


def _channel(x):
    x = min(max(x, 0), 1)
    return round(255 * (12.92 * x if x <= 0.0031308 else 1.055 * x ** (1 / 2.4) - 0.055))


def oklch(lightness, chroma, hue_degrees):
    """The colour of B. Ottosson's OKLCH as #rrggbb, cut to what sRGB can show."""
    a = chroma * math.cos(math.radians(hue_degrees))
    b = chroma * math.sin(math.radians(hue_degrees))
    l = (lightness + 0.3963377774 * a + 0.2158037573 * b) ** 3
    m = (lightness - 0.1055613458 * a - 0.0638541728 * b) ** 3
    s = (lightness - 0.0894841775 * a - 1.2914855480 * b) ** 3
    return "#%02x%02x%02x" % (
        _channel(4.0767416621 * l - 3.3077115913 * m + 0.2309699292 * s),
        _channel(-1.2684380046 * l + 2.6097574011 * m - 0.3413193965 * s),
        _channel(-0.0041960863 * l - 0.7034186147 * m + 1.7076147010 * s))


def of_class(size_class, count):
    """From blue for the smallest blocks by way of green and yellow to red."""
    share = (size_class - 1) / max(count - 1, 1)
    return oklch(0.64 + 0.10 * math.sin(math.pi * share), 0.145, 262 - 240 * share)


LARGE, HUGE = "#8b5f9e", "#5d5a88"
