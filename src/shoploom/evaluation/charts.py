"""Small charts as inline SVG: no script, no network, sharp in print."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from markupsafe import Markup, escape

WIDTH, HEIGHT = 360, 190
_LEFT, _RIGHT, _TOP, _BOTTOM = 44, 10, 10, 30

Curve = Sequence[float | None]


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


def _svg(parts: Sequence[str], label: str) -> Markup:
    head = f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(label)}">'
    return Markup(head + "".join(parts) + "</svg>")  # names are escaped, the rest are numbers


def _grid(y: Axis) -> str:
    marks = []
    for tick in y.ticks():
        at = y.place(tick)
        marks.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        marks.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{tick:,.6g}</text>')
    return "".join(marks)


def _columns(x: Axis) -> str:
    at = HEIGHT - _BOTTOM + 16
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
