"""Small charts as inline SVG: no script, no network, sharp in print."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

from shoploom.evaluation.numbers import words

WIDTH, HEIGHT = 360, 190
WIDE, _ROW = 720, 17
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 30

Curve = Sequence[float | None]
Box = tuple[float, float, float, float]
"""Left, top, right and bottom in pixels."""
_LETTER = 5.6
"""Width of a letter of a name in the chart, on average."""


@dataclass(frozen=True)
class Axis:
    """A linear axis from ``low`` to ``high`` drawn over ``start`` to ``stop`` pixels."""

    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        """Where a value lies, in pixels."""
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)

    def ticks(self, count: int = 4) -> list[float]:
        """About ``count`` round values within the axis.

        Example:
            >>> Axis(0.0, 1.0, 0, 100).ticks()
            [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
        """
        raw = (self.high - self.low) / count
        power = 10.0 ** math.floor(math.log10(raw))
        step = min((factor * power for factor in (1, 2, 5, 10)), key=lambda one: abs(one - raw))
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(i * step, 12) for i in range(first, last + 1)]


def spread(values: Sequence[float], *, pad: float = 0.06) -> tuple[float, float]:
    """The range of the finite values with some air, never empty.

    Example:
        >>> spread([1.0, 2.0], pad=0.5)
        (0.5, 2.5)
        >>> spread([])
        (0.0, 1.0)
    """
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return 0.0, 1.0
    low, high = min(finite), max(finite)
    air = (high - low) * pad or abs(high) * pad or pad
    return low - air, high + air


def lines(curves: Mapping[str, Curve], *, label: str) -> Markup:
    """One line per named curve over 1, 2, 3...; the classes ``line-0``, ``line-1`` give colours.

    Args:
        curves: Name to values; None and NaN are gaps at the end or between.
        label: What the picture shows, for those who cannot see it.
    """
    known = [value for curve in curves.values() for value in curve if value is not None]
    length = max((len(curve) for curve in curves.values()), default=0)
    if not known or length < 1:
        return Markup("")
    y = Axis(*spread(known), HEIGHT - _BOTTOM, _TOP)
    x = Axis(1.0, float(max(length, 2)), _LEFT, WIDTH - _RIGHT)
    parts = [_grid(y), _steps(x, length)]
    for i, (name, curve) in enumerate(curves.items()):
        points = [(x.place(k + 1.0), y.place(v)) for k, v in enumerate(curve) if v is not None and math.isfinite(v)]
        path = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
        parts.append(f'<polyline class="line-{i}" points="{path}"><title>{escape(name)}</title></polyline>')
        if points:
            a, b = points[-1]
            parts.append(f'<circle class="dot-{i}" cx="{a:.1f}" cy="{b:.1f}" r="3"/>')
    return _svg(parts, label)


def calibration(predicted: Curve, observed: Curve, count: Sequence[float], *, label: str) -> Markup:
    """Observed over predicted per bin beside the diagonal; the area of a dot is the number of cases."""
    points = [
        (p, o, n)
        for p, o, n in zip(predicted, observed, count, strict=True)
        if p is not None and o is not None and math.isfinite(p + o) and n > 0
    ]
    if not points:
        return Markup("")
    low, high = spread([value for p, o, _ in points for value in (p, o)])
    if min(min(p, o) for p, o, _ in points) >= 0:
        low = max(low, 0.0)
    x, y = Axis(low, high, _LEFT, WIDTH - _RIGHT), Axis(low, high, HEIGHT - _BOTTOM, _TOP)
    ends = f'x1="{x.start}" y1="{y.start}" x2="{x.stop}" y2="{y.stop}"'
    parts = [_grid(y), _columns(x), f'<line class="ideal" {ends}/>']
    most = max(n for _, _, n in points)
    path = " ".join(f"{x.place(p):.1f},{y.place(o):.1f}" for p, o, _ in points)
    parts.append(f'<polyline class="line-1" points="{path}"/>')
    for p, o, n in points:
        title = f"<title>predicted {p:.3g}, observed {o:.3g}, {n:,.0f} cases</title>"
        radius = 2.5 + 4.5 * math.sqrt(n / most)
        parts.append(
            f'<circle class="dot-1" cx="{x.place(p):.1f}" cy="{y.place(o):.1f}" r="{radius:.1f}">{title}</circle>'
        )
    return _svg(parts, label)


def bars(values: Mapping[str, tuple[float, float | None]], *, label: str) -> Markup:
    """A horizontal bar per name, each with a mark to be compared with, in the order given.

    Args:
        values: Name to value and mark; bars of negative values go to the left.
        label: What the picture shows, for those who cannot see it.
    """
    if not values:
        return Markup("")
    names = {name: words(name) for name in values}
    left = 14 + _LETTER * max(len(one) for one in names.values())
    height = _TOP + _ROW * len(values) + _BOTTOM
    numbers = [0.0, *(one for pair in values.values() for one in pair if one is not None)]
    x = Axis(*spread(numbers), left, WIDE - _RIGHT)
    parts = [_rules(x, height), _columns(x, height)]
    for row, (name, (value, mark)) in enumerate(values.items()):
        top, start, end = _TOP + _ROW * row, x.place(min(value, 0.0)), x.place(max(value, 0.0))
        told = f"{names[name]}: {value:.4g}" + ("" if mark is None else f" beside {mark:.4g}")
        at = f'x="{left - 6:.1f}" y="{top + 11:.1f}" text-anchor="end"'
        parts.append(f'<text class="name" {at}>{escape(names[name])}</text>')
        size = f'x="{start:.1f}" y="{top + 3:.1f}" width="{max(end - start, 0.5):.1f}" height="{_ROW - 6}"'
        parts.append(f'<rect class="dot-1" {size}><title>{escape(told)}</title></rect>')
        if mark is not None:
            place = f'x="{x.place(mark) - 1:.1f}" y="{top + 1:.1f}" width="2.5" height="{_ROW - 2}"'
            parts.append(f'<rect class="mark" {place}/>')
    return _svg(parts, label, WIDE, height)


def curves(points: Mapping[str, tuple[Curve, Curve]], *, label: str, ideal: Box | None = None) -> Markup:
    """One line per name through its (x, y) points, both axes from 0 to 1.

    Args:
        points: Name to x and y values.
        label: What the picture shows, for those who cannot see it.
        ideal: Ends of a dashed line to be compared with: x, y, x, y.
    """
    if not any(len(x) for x, _ in points.values()):
        return Markup("")
    x, y = Axis(0.0, 1.0, _LEFT, WIDTH - _RIGHT), Axis(0.0, 1.0, HEIGHT - _BOTTOM, _TOP)
    parts = [_grid(y), _columns(x)]
    if ideal is not None:
        ends = (x.place(ideal[0]), y.place(ideal[1]), x.place(ideal[2]), y.place(ideal[3]))
        parts.append('<line class="ideal" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>'.format(*ends))
    for i, (name, (a, b)) in enumerate(points.items()):
        known = [(p, q) for p, q in zip(a, b, strict=True) if p is not None and q is not None]
        path = " ".join(f"{x.place(p):.1f},{y.place(q):.1f}" for p, q in known)
        parts.append(f'<polyline class="line-{i}" points="{path}"><title>{escape(name)}</title></polyline>')
    return _svg(parts, label)


def scatter(points: Mapping[str, tuple[float, float]], *, strong: Collection[str], label: str) -> Markup:
    """Named points, each with its name beside it; some stand out.

    Args:
        points: Name to x and y.
        strong: Names of those that stand out.
        label: What the picture shows, for those who cannot see it.
    """
    if not points:
        return Markup("")
    x = Axis(*spread([one for one, _ in points.values()]), _LEFT, WIDTH - _RIGHT)
    y = Axis(*spread([one for _, one in points.values()], pad=0.15), HEIGHT - _BOTTOM, _TOP)
    placed = {name: (x.place(one), y.place(two)) for name, (one, two) in points.items()}
    parts = [_grid(y), _columns(x)]
    for name, (a, b) in placed.items():
        title = f"<title>{escape(words(name))}: {points[name][1]:.4g} at {points[name][0]:.4g}</title>"
        kind = 1 if name in strong else 0
        parts.append(f'<circle class="dot-{kind}" cx="{a:.1f}" cy="{b:.1f}" r="4">{title}</circle>')
    taken = [(a - 6, b - 6, a + 6, b + 6) for a, b in placed.values()]
    for name, (a, b) in sorted(placed.items(), key=lambda one: one[0] not in strong):
        box, anchor = _beside(a, b, _LETTER * len(name), taken)
        taken.append(box)
        at = {"start": box[0], "middle": (box[0] + box[2]) / 2, "end": box[2]}[anchor]
        if box[0] <= a <= box[2]:  # above or below, where it could be taken for a neighbour's
            ends = (b - 5, box[3]) if box[3] < b else (b + 5, box[1] + 1)
            parts.append(f'<line class="ideal" x1="{a:.1f}" x2="{a:.1f}" y1="{ends[0]:.1f}" y2="{ends[1]:.1f}"/>')
        heavy = " strong" if name in strong else ""
        text = f'<text class="name{heavy}" x="{at:.1f}" y="{box[3] - 3:.1f}" text-anchor="{anchor}">'
        parts.append(f"{text}{escape(words(name))}</text>")
    return _svg(parts, label)


def _beside(a: float, b: float, width: float, taken: Sequence[Box]) -> tuple[Box, str]:
    """Where a name fits best beside its point, covering the least of what is there: right, left, above, below."""
    places = [(a + 7, b - 6.5, "start"), (a - 7 - width, b - 6.5, "end")]
    for lift in (-21.0, 8.0, -33.0, 20.0, -45.0, 32.0, 44.0):
        places += [(a - width / 2, b + lift, "middle"), (a, b + lift, "start"), (a - width, b + lift, "end")]
    boxes = [((left, top, left + width, top + 13), anchor) for left, top, anchor in places]
    frame = (_LEFT, 0.0, WIDTH, HEIGHT - _BOTTOM + 2.0)

    def covered(one: tuple[Box, str]) -> float:
        return sum(_shared(one[0], other) for other in taken) + 13 * width - _shared(one[0], frame)

    return min(boxes, key=covered)


def _shared(one: Box, other: Box) -> float:
    """The area that two boxes have in common."""
    wide = min(one[2], other[2]) - max(one[0], other[0])
    high = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, wide) * max(0.0, high)


def _svg(parts: Sequence[str], label: str, width: float = WIDTH, height: float = HEIGHT) -> Markup:
    kind = "chart" if width == WIDTH else "chart wide"
    head = f'<svg class="{kind}" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # names are escaped, the rest are numbers


def _grid(y: Axis) -> str:
    marks = []
    for tick in y.ticks():
        at = y.place(tick)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        marks.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{tick:,.6g}</text>')
    return "".join(marks)


def _rules(x: Axis, height: float) -> str:
    """Lines from top to bottom at the ticks of a horizontal axis."""
    ends = f'y1="{_TOP}" y2="{height - _BOTTOM:.1f}"'
    places = [x.place(tick) for tick in x.ticks()]
    return "".join(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" {ends}/>' for at in places)


def _columns(x: Axis, height: float = HEIGHT) -> str:
    at = f"{height - _BOTTOM + 16:g}"
    return "".join(
        f'<text class="tick" x="{x.place(tick):.1f}" y="{at}" text-anchor="middle">{tick:,.6g}</text>'
        for tick in x.ticks()
    )


def _steps(x: Axis, length: int) -> str:
    stride: Final = max(1, math.ceil(length / 8))
    at = HEIGHT - _BOTTOM + 16
    return "".join(
        f'<text class="tick" x="{x.place(float(step)):.1f}" y="{at}" text-anchor="middle">{step}</text>'
        for step in range(1, length + 1, stride)
    )
