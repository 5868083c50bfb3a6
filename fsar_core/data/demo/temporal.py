"""Actions whose meaning is the order of their frames: 24 changes of state, each played forwards and backwards.

A pair is one drawing process; its second class plays a clip of the very same process backwards. So the two differ in
nothing but the order of the frames, which no order-blind model can see, while the things in the frame (a rail, a rope,
a container, a curtain) tell the pairs apart. Everything else is drawn afresh for every clip and says nothing about the
class: the object's shape, colours, pattern and size, the background, the place and tilt of the scene, the camera's
jitter, distractors, noise, and when, how fast and how evenly the change happens.

The splits hold different changes but a spread of the same kinds (carry, grow, hide, open, fill up, light), so that what
is learnt about order on the training pairs is of use on the others.

A clip may hold its change in a part of its frames alone (`during`): before and after it, what acts is not there, and the
background, the camera and the distractors go on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fsar_core.data.demo import canvas as art
from fsar_core.data.demo.canvas import (
    SHAPES,
    Array,
    Canvas,
    Ink,
    arc,
    box,
    ellipse,
    moved,
    polygon,
    union,
    without,
)

COMPACT = (
    "ball",
    "square",
    "triangle",
    "hexagon",
    "diamond",
    "star",
    "heart",
    "ring",
    "cross",
    "gear",
    "flower",
)
EACH = np.s_[:, None, None]  # `[frames]` against `[frames rows columns]`


class Stage:
    """What a drawing process works with: the canvas, the random numbers and the progress of the change.

    Stage coordinates are world coordinates (height 1, origin in the middle) before the random offset, size and tilt.

    Attributes:
        p: `[frames]`, from nearly 0 to nearly 1, never falling.
    """

    def __init__(
        self,
        rng: np.random.Generator,
        frames: int,
        height: int,
        width: int,
        zooms: bool = False,
        during: tuple[int, int] | None = None,
    ) -> None:
        """
        Args:
            zooms: the progress is the camera's magnification.
            during: first frame of the change and the first one behind it; None: all frames are of it.
        """
        start, end = during or (0, frames)
        self.rng = rng
        self.frames = frames
        self.p = np.pad(progress(rng, end - start), (start, frames - end), "edge")
        rows, columns = art.background_shape(height, width)
        background = art.texture(rng, rows, columns)
        self.behind = background.mean(axis=(1, 2))
        self.canvas = Canvas(
            background,
            frames,
            height,
            width,
            shift=art.jitter(rng, frames, rng.uniform(0.002, 0.018)),
            zoom=1 + rng.uniform(0.7, 1.0) * self.p if zooms else None,
            spot=(rng.uniform(-0.06, 0.06), rng.uniform(-0.05, 0.05)),
            size=rng.uniform(0.82, 1.08),
            roll=rng.normal(0, 0.05),
        )
        self.stamp = self.canvas.stamp

    @property
    def side(self) -> float:
        """Half the width of the frame."""
        return self.canvas.aspect / 2

    def between(self, low: float, high: float) -> float:
        return self.rng.uniform(low, high)

    def lerp(self, start, end) -> Array:
        """A quantity that goes from `start` to `end` with the progress."""
        return start + (end - start) * self.p

    def ink(self, **ranges) -> Ink:
        return art.random_ink(self.rng, self.behind, **ranges)

    def dull(self, pattern: str = "plain") -> Ink:
        """A grey or brown that scenery is made of."""
        first = art.apart_from(
            self.rng, self.behind, 0.35, saturation=(0.0, 0.35), value=(0.1, 0.95)
        )
        return Ink(first, first * 0.7, pattern, 0.4, self.between(0, np.pi), 0.4)

    def thing(self, radius: tuple[float, float] = (0.09, 0.15)) -> Callable[..., None]:
        """A random object: call it with what `Canvas.stamp` takes to paint it (`scale` multiplies its radius)."""
        shape, ink, size = SHAPES[str(self.rng.choice(COMPACT))], self.ink(), self.between(*radius)
        lean = self.between(-0.4, 0.4)

        def paint(scale=1.0, angle=0.0, reach=1.1, **where) -> None:
            self.stamp(
                shape,
                ink,
                scale=size * np.asarray(scale),
                angle=lean + np.asarray(angle),
                reach=reach,
                **where,
            )

        paint.size = size
        return paint


@dataclass(frozen=True)
class Pair:
    """A change and its reverse.

    Attributes:
        split: train, val or test.
        mirrored: whether a clip may be flipped left to right, which it may where left and right mean nothing.
        zooms: whether the progress is the camera's magnification.
    """

    forward: str
    backward: str
    split: str
    draw: Callable[[Stage], None]
    mirrored: bool = True
    zooms: bool = False


def interval(rng: np.random.Generator, frames: int) -> tuple[int, int]:
    """Where in a clip the action is: its first frame and the first one behind it. It takes 35-60 % of the frames, and a tenth of
    the clip or more is left before and after it."""
    length = rng.uniform(0.35, 0.6)
    start = rng.uniform(0.1, 0.9 - length)
    return round(start * frames), round((start + length) * frames)


def progress(rng: np.random.Generator, frames: int) -> Array:
    """How far the change has come in every frame, `[frames]`, nearly 0 to nearly 1 and never falling.

    It moves during 60-100 % of the clip and rests before and after; the speed is uneven, some clips pause half way.
    """
    moving = rng.uniform(0.6, 1.0)
    start = rng.uniform(0, 1 - moving)
    t = np.clip((np.linspace(0, 1, frames) - start) / moving, 0, 1)
    if rng.random() < 0.3:  # a pause half way
        at, rest = rng.uniform(0.25, 0.75), rng.uniform(0.08, 0.2)
        t = np.interp(t, [0, at * (1 - rest), at * (1 - rest) + rest, 1], [0, at, at, 1])
    t = t ** np.exp(rng.uniform(-0.35, 0.35))
    ease = rng.random()
    t = (1 - ease) * t + ease * t * t * (3 - 2 * t)
    low, high = rng.uniform(0, 0.06), rng.uniform(0.94, 1)
    return (low + (high - low) * t).astype(np.float32)


def _slide(s: Stage) -> None:
    floor = s.between(0.05, 0.25)
    thing = s.thing((0.09, 0.16))
    s.stamp(box(s.side + 0.3, 0.018), s.dull(), y=floor, reach=(s.side + 0.35, 0.05))
    far = s.side - s.between(0.12, 0.25)
    thing(x=s.lerp(-far, far), y=floor - 0.018 - 0.85 * thing.size, instance=1)


def _ramp(s: Stage) -> None:
    tilt, width, foot = s.between(0.25, 0.45), 0.62, 0.36
    rise = 2 * width * np.tan(tilt)
    body = polygon(
        (-width, foot), (width, foot - rise), (width, foot + 0.02), (-width, foot + 0.02)
    )
    s.stamp(body, s.dull("stripes"), reach=(width + 0.02, 0.6))
    thing = s.thing((0.08, 0.12))
    at = s.lerp(-0.42, 0.42)
    ground = foot - rise * (at + width) / (2 * width)
    roll = at / thing.size * float(s.rng.random() < 0.5)
    thing(
        x=at - thing.size * np.sin(tilt),
        y=ground - thing.size * np.cos(tilt),
        angle=roll - tilt,
        instance=1,
    )


def _approach(s: Stage) -> None:
    thing = s.thing((0.07, 0.1))
    wobble = s.between(0, 0.04) * np.sin(s.p * s.between(2, 6))
    start, end = s.rng.uniform(-0.16, 0.16, 2), s.rng.uniform(-0.08, 0.08, 2)
    # A shadow on the floor is what makes a growing thing a nearer thing.
    grow = s.lerp(1.0, s.between(2.8, 3.8))
    x, y = s.lerp(start[0], end[0]), s.lerp(start[1], end[1]) + wobble
    shadow = Ink(0.35 * s.behind, 0.35 * s.behind, outline=0)
    s.stamp(
        ellipse(1.0, 0.3),
        shadow,
        x=x,
        y=y + 1.15 * thing.size * grow,
        scale=thing.size * grow,
        opacity=0.6,
    )
    thing(x=x, y=y, scale=grow, instance=1)


def _cover(s: Stage) -> None:
    s.thing((0.13, 0.2))(instance=1)
    cloth = s.ink(plain=0.1)
    away = s.between(0.62, 0.8)
    turn = s.rng.choice([0.0, -np.pi / 2])
    out = s.lerp(-away, 0.0)
    s.stamp(
        box(0.29, 0.27, 0.05),
        cloth,
        x=out if turn == 0 else 0.0,
        y=out if turn else 0.0,
        reach=0.42,
        angle=s.between(-0.15, 0.15),
        instance=2,
    )


def _apart(s: Stage) -> None:
    one, other = s.thing((0.1, 0.14)), s.thing((0.1, 0.14))
    tilt, near = s.between(-0.35, 0.35), one.size + other.size
    half = s.lerp(near / 2, s.between(0.38, 0.5))
    s.stamp(box(0.7, 0.006), s.dull(), angle=tilt, reach=(0.75, 0.05))
    one(x=-half * np.cos(tilt), y=-half * np.sin(tilt), instance=1)
    other(x=half * np.cos(tilt), y=half * np.sin(tilt), instance=2)


def _flatten(s: Stage) -> None:
    base, ink = 0.3, s.ink(plain=0.1)
    floor_ink, press_ink = s.dull(), s.dull("stripes")
    radius = s.between(0.17, 0.24)
    tall, wide = s.lerp(radius, radius * 0.3), s.lerp(radius, radius * s.between(1.5, 1.9))
    s.stamp(box(0.6, 0.03), floor_ink, y=base + 0.03, reach=(0.65, 0.05))
    s.stamp(ellipse(wide[EACH], tall[EACH]), ink, y=base - tall, reach=(0.5, 0.3), instance=1)
    s.stamp(box(0.35, 0.035), press_ink, y=base - 2 * tall - 0.035, reach=(0.4, 0.06), instance=2)
    s.stamp(box(0.03, 0.5), press_ink, y=base - 2 * tall - 0.55, reach=(0.06, 0.55), instance=2)


def _tiles(s: Stage) -> None:
    columns, rows = int(s.rng.integers(2, 4)), 2
    pitch = s.between(0.2, 0.25)
    board = s.dull()
    s.stamp(box(columns * pitch / 2 + 0.04, rows * pitch / 2 + 0.04, 0.03), board, reach=(0.5, 0.4))
    places = [(c, r) for r in range(rows) for c in range(columns)]
    order = s.rng.permutation(len(places))
    ink = s.ink(plain=0.2)
    for step, place in enumerate(order):
        column, row = places[place]
        shown = np.clip(s.p * (len(places) + 0.6) - step - 0.3, 0, 0.3) / 0.3
        x, y = (column - (columns - 1) / 2) * pitch, (row - (rows - 1) / 2) * pitch
        tile = box(0.42 * pitch, 0.42 * pitch, 0.015)
        s.stamp(tile, ink, x=x, y=y, reach=0.5 * pitch, opacity=shown, instance=step + 1)


def _lamp(s: Stage) -> None:
    stand, base = s.dull(), 0.36
    dark, warm = (
        s.between(0.3, 0.45),
        art.colour(s.rng, hue=(0.08, 0.17), saturation=(0.2, 0.6), value=(1, 1)),
    )
    s.thing((0.06, 0.1))(x=-0.42, y=base - 0.08)
    s.stamp(box(0.02, 0.25), stand, y=base - 0.25, reach=(0.05, 0.3), instance=1)
    s.stamp(box(0.15, 0.025), stand, y=base, reach=(0.2, 0.05), instance=1)
    y, x = np.mgrid[: s.canvas.height, : s.canvas.width].astype(np.float32) / s.canvas.height
    near = np.exp(-((x - s.side) ** 2 + (y - 0.4) ** 2) / 0.18).astype(np.float32)
    full = dark + (1.15 - dark) * (0.35 + 0.65 * near)
    glow = full * (0.6 + 0.4 * warm[:, None, None])
    s.canvas.light(dark + s.p[:, None, None, None] * (glow - dark)[None])
    shade = polygon((-0.1, -0.14), (0.1, -0.14), (0.2, 0.1), (-0.2, 0.1))
    lit = 0.25 * warm + s.p[:, None] * (0.75 * warm)
    s.stamp(shade, Ink(lit, lit, outline=0.3), y=base - 0.52, reach=(0.25, 0.2), instance=1)


def _drop_in_box(s: Stage) -> None:
    thing, ink, y = s.thing((0.09, 0.125)), s.ink(plain=0.2), 0.22
    back = Ink(0.35 * ink.first, 0.35 * ink.first, outline=0.3)
    s.stamp(box(0.22, 0.05), back, y=y - 0.17, reach=(0.27, 0.1))
    thing(
        x=s.between(-0.06, 0.06),
        y=s.lerp(s.between(-0.36, -0.26), y - 0.02),
        angle=s.between(-1, 1) * s.p,
        instance=1,
    )
    s.stamp(box(0.24, 0.16), ink, y=y, reach=(0.28, 0.2))


def _draw_line(s: Stage) -> None:
    length, height, waves = s.between(0.38, 0.48), s.between(0.08, 0.17), s.between(6, 13)
    phase, tilt, sheet = s.between(0, 6.28), s.between(-0.2, 0.2), s.between(0.85, 1.0)
    ink, pen = s.ink(plain=1.0), s.ink(plain=0.5)
    paper = Ink(np.full(3, sheet, np.float32), np.full(3, sheet, np.float32), outline=0.3)
    s.stamp(box(0.56, 0.3), paper, angle=tilt, reach=(0.6, 0.33))
    tip = s.lerp(-length, length)

    def trace(x: Array, y: Array) -> Array:
        slope = height * waves * np.cos(waves * x + phase)
        line = np.abs(y - height * np.sin(waves * x + phase)) / np.sqrt(1 + slope * slope) - 0.016
        return np.maximum(line, np.maximum(-length - x, x - tip[EACH]))

    dark = Ink(0.6 * ink.first, 0.6 * ink.first, outline=0)
    s.stamp(trace, dark, angle=tilt, reach=(0.52, 0.22), instance=1)
    at = height * np.sin(waves * tip + phase)
    c, d = np.cos(tilt), np.sin(tilt)
    stick = union(moved(box(0.03, 0.15), 0, -0.2), polygon((0, 0), (-0.03, -0.06), (0.03, -0.06)))
    s.stamp(stick, pen, x=c * tip - d * at, y=d * tip + c * at, angle=0.5, reach=0.37, instance=2)


def _dial(s: Stage) -> None:
    face, hand, rim = s.ink(plain=1.0, saturation=(0.0, 0.3)), s.ink(plain=1.0), s.dull()
    radius, swing = s.between(0.27, 0.34), s.between(1.7, 2.2)
    s.stamp(SHAPES["ball"], face, scale=radius / 0.9, reach=1.0)
    for angle in np.linspace(-2.2, 2.2, 7):
        x, y = 0.82 * radius * np.sin(angle), -0.82 * radius * np.cos(angle)
        s.stamp(box(0.008, 0.03), rim, x=x, y=y, angle=angle, reach=0.04)
    needle = polygon((0, -1), (0.13, 0.15), (-0.13, 0.15))
    first = art.apart_from(s.rng, face.first, 0.7)
    s.stamp(
        needle,
        Ink(first, first, outline=hand.outline),
        scale=0.85 * radius,
        angle=s.lerp(-swing, swing),
        instance=1,
    )


def _curtain(s: Stage) -> None:
    ink = s.ink(plain=0.0)
    ink = Ink(ink.first, ink.second * 0.6, "stripes", s.between(0.09, 0.16), 0.0, 0.4)
    for _ in range(2):
        s.thing((0.12, 0.18))(x=s.between(-0.35, 0.35), y=s.between(-0.2, 0.2))
    width = s.side + 0.3
    inner = s.lerp(0.0, s.between(0.42, 0.52))
    for instance, sign in ((1, -1), (2, 1)):
        s.stamp(
            box(width / 2, 0.7),
            ink,
            x=sign * (inner + width / 2),
            reach=(width / 2 + 0.03, 0.75),
            instance=instance,
        )
    s.stamp(box(s.side + 0.3, 0.025), s.dull(), y=-0.42, reach=(s.side + 0.35, 0.05))


def _bend(s: Stage) -> None:
    half, thick, flip = s.between(0.36, 0.45), s.between(0.035, 0.055), s.rng.choice([-1.0, 1.0])
    curve = s.lerp(0.2, s.between(3.6, 4.6))
    for instance, sign in ((2, -1), (3, 1)):  # the two hands that bend it
        along = sign * np.sin(curve * half * 0.97) / curve
        lift = -(1 - np.cos(curve * half * 0.97)) / curve
        s.stamp(
            SHAPES["ball"],
            s.dull(),
            x=along,
            y=flip * (lift + 0.12),
            scale=0.075,
            instance=instance,
        )
    ink = s.ink(plain=0.5)
    turn = 0.0 if flip > 0 else np.pi
    s.stamp(
        arc(half, thick, curve[EACH]),
        ink,
        y=flip * 0.12,
        angle=turn,
        reach=(half + 0.1, half + 0.1),
        instance=1,
    )


def _zoom(s: Stage) -> None:
    places = [(-0.3, -0.22), (0.28, -0.2), (0.0, 0.05), (-0.32, 0.26), (0.3, 0.27)]
    for instance, (x, y) in enumerate(places, start=1):
        s.thing((0.07, 0.11))(
            x=x + s.between(-0.08, 0.08), y=y + s.between(-0.06, 0.06), instance=instance
        )


def _heat(s: Stage) -> None:
    iron, base = s.dull(), 0.24
    cold = art.colour(s.rng, hue=(0.52, 0.66), saturation=(0.6, 0.9), value=(0.35, 0.8))
    hot = art.colour(s.rng, hue=(0.0, 0.09), saturation=(0.8, 1.0), value=(0.85, 1.0))
    now = cold + s.p[:, None] * (hot - cold)
    for x in (-0.24, 0.24):
        s.stamp(box(0.025, 0.12), iron, x=x, y=base + 0.12, reach=(0.05, 0.16))
    s.stamp(box(0.34, 0.03), iron, y=base, reach=(0.38, 0.06))
    pot = union(box(0.2, 0.13, 0.03), moved(box(0.1, 0.025), 0.29, -0.06))
    s.stamp(
        pot,
        Ink(now, 0.7 * now, "rings", s.between(0.1, 0.3), 0, 0.5),
        y=base - 0.16,
        reach=(0.42, 0.17),
        instance=1,
    )


def _stack(s: Stage) -> None:
    base, size = 0.36, s.between(0.1, 0.125)
    s.stamp(box(s.side + 0.3, 0.02), s.dull(), y=base + 0.02, reach=(s.side + 0.35, 0.05))
    for level in range(3):
        part = np.clip(s.p * 3 - level, 0, 1)
        goal = base - (2 * level + 1) * size
        # Waiting blocks lie side by side; each is lifted to its level, then carried over.
        rise, over = np.clip(2 * part, 0, 1), np.clip(2 * part - 1, 0, 1)
        y = (base - size) + (goal - base + size) * rise
        wait = -0.54 + level * 2.1 * size
        x = wait + (0.3 + s.between(-0.02, 0.02) - wait) * over
        s.stamp(box(size, size, 0.015), s.ink(), x=x, y=y, reach=1.2 * size, instance=level + 1)


def _lift(s: Stage) -> None:
    thing, rope = s.thing((0.1, 0.16)), s.dull()
    y = s.lerp(s.between(0.27, 0.33), s.between(-0.3, -0.22))
    x = s.between(-0.25, 0.25) + 0.015 * np.sin(s.between(3, 9) * s.p)
    s.stamp(box(0.014, 0.6), rope, x=x, y=y - 0.6, reach=(0.04, 0.63))
    thing(x=x, y=y, instance=1)


def _tip(s: Stage) -> None:
    base, tall, wide = 0.32, s.between(0.4, 0.52), s.between(0.06, 0.085)
    ink, head = s.ink(plain=0.3), s.ink(plain=1.0)
    s.stamp(box(s.side + 0.3, 0.02), s.dull(), y=base + 0.02, reach=(s.side + 0.35, 0.05))
    angle = s.lerp(0.0, np.pi / 2)
    x = -0.2 + s.between(-0.08, 0.08)
    # The foot's corner stays where it is, as a falling pole's does.
    pole = moved(box(wide, tall / 2, 0.02), -wide, -tall / 2)
    s.stamp(pole, ink, x=x, y=base, angle=angle, reach=tall + 0.2, instance=1)
    cap = moved(SHAPES["ball"], -wide / 0.09, -tall / 0.09)
    s.stamp(cap, head, x=x, y=base, angle=angle, scale=0.09, reach=(tall + 0.3) / 0.09, instance=1)


def _fill(s: Stage) -> None:
    wide, tall, wall = s.between(0.2, 0.3), s.between(0.25, 0.31), 0.025
    glass, liquid = s.dull(), s.ink(plain=0.6)
    s.stamp(
        box(wide, tall),
        Ink(0.8 * s.behind, 0.8 * s.behind, outline=0),
        reach=(wide + 0.05, tall + 0.05),
    )
    level = s.lerp(tall - 0.03, -0.85 * tall)
    column = box(wide - wall, tall - wall)
    s.stamp(
        lambda x, y: np.maximum(column(x, y), level[EACH] - y),
        liquid,
        reach=(wide + 0.02, tall + 0.02),
        instance=1,
    )
    cup = without(box(wide, tall), moved(box(wide - wall, tall), 0, -wall))
    s.stamp(cup, glass, reach=(wide + 0.03, tall + 0.03), instance=2)


def _doors(s: Stage) -> None:
    wide, tall = s.between(0.2, 0.26), s.between(0.28, 0.34)
    ink, frame, knob = s.ink(plain=0.6), s.dull(), s.dull()
    inside = Ink(np.full(3, 0.08, np.float32), np.full(3, 0.08, np.float32), outline=0)
    s.stamp(box(2 * wide + 0.04, tall + 0.04), frame, reach=(2 * wide + 0.08, tall + 0.08))
    s.stamp(box(2 * wide, tall), inside, reach=(2 * wide + 0.03, tall + 0.03))
    s.thing((0.1, 0.15))()
    leaf = s.lerp(wide, 0.2 * wide)  # half the width that a leaf still shows while it swings open
    for instance, sign in ((1, -1), (2, 1)):
        x = sign * (2 * wide - leaf)
        s.stamp(
            box(leaf[EACH], tall), ink, x=x, reach=(wide + 0.03, tall + 0.03), instance=instance
        )
        s.stamp(SHAPES["ball"], knob, x=x - sign * 0.75 * leaf, scale=0.03, instance=instance)


def _hide(s: Stage) -> None:
    thing, ink = s.thing((0.1, 0.15)), s.dull("stripes")
    wide, y = s.between(0.2, 0.24), s.between(-0.08, 0.12)
    thing(x=s.lerp(-0.48, 0.26), y=y, instance=1)
    s.stamp(box(wide, 0.38), ink, x=0.28, y=0.02, reach=(wide + 0.03, 0.42))
    for x in (0.28 - wide + 0.03, 0.28 + wide - 0.03):
        s.stamp(box(0.02, 0.44), s.dull(), x=x, y=0.04, reach=(0.05, 0.47))


def _scatter(s: Stage) -> None:
    count, ink = int(s.rng.integers(8, 13)), s.ink(plain=1.0)
    angles = 2 * np.pi * (np.arange(count) + s.rng.uniform(-0.35, 0.35, count)) / count
    far = s.rng.uniform(0.25, 0.44, count)
    near = 0.11 * np.sqrt(s.rng.random(count))
    for instance, (angle, start, end) in enumerate(zip(angles, near, far), start=1):
        distance = s.lerp(start, end)
        s.stamp(
            SHAPES["ball"],
            ink,
            x=1.25 * distance * np.cos(angle),
            y=distance * np.sin(angle),
            scale=s.between(0.035, 0.055),
            instance=instance,
        )


def _unroll(s: Stage) -> None:
    base, ink, edge = 0.28, s.ink(plain=0.0), s.ink(plain=1.0)
    s.stamp(box(s.side + 0.3, 0.1), s.dull(), y=base + 0.1, reach=(s.side + 0.35, 0.13))
    start, roll = s.lerp(-0.42, s.between(0.3, 0.42)), s.lerp(s.between(0.19, 0.23), 0.05)
    half = (start + 0.45) / 2
    s.stamp(
        box(half[EACH], 0.024), ink, x=start - half, y=base - 0.024, reach=(0.5, 0.05), instance=1
    )
    spiral = Ink(ink.first, 0.5 * edge.first, "rings", 0.5, 0.0, 0.5)
    s.stamp(SHAPES["ball"], spiral, x=start, y=base - roll, scale=roll / 0.9, reach=1.1, instance=1)


def _focus(s: Stage) -> None:
    shape, ink = SHAPES[str(s.rng.choice(COMPACT))], s.ink(plain=0.0)
    size, blur = s.between(0.2, 0.3), s.lerp(s.between(0.3, 0.4), 0.0)
    sharp = s.p[:, None]
    mean = (ink.first + ink.second) / 2
    ink = Ink(
        mean + sharp * (ink.first - mean),
        mean + sharp * (ink.second - mean),
        ink.pattern,
        ink.pitch,
        0.0,
        0.0,
    )
    x, y = s.rng.uniform(-0.12, 0.12, 2)
    s.stamp(
        shape,
        ink,
        x=x,
        y=y,
        scale=size,
        soft=blur,
        angle=s.between(-0.5, 0.5),
        reach=2.0,
        instance=1,
    )
    # The viewfinder's corners stay sharp.
    bar = s.dull()
    for across in (-1, 1):
        for down in (-1, 1):
            corner = union(
                moved(box(0.06, 0.012), -across * 0.05, 0), moved(box(0.012, 0.06), 0, -down * 0.05)
            )
            s.stamp(corner, bar, x=across * 0.46, y=down * 0.36, reach=0.13)


PAIRS: tuple[Pair, ...] = (
    Pair(
        "moving something from left to right",
        "moving something from right to left",
        "train",
        _slide,
        mirrored=False,
    ),
    Pair("pushing something up a ramp", "letting something roll down a ramp", "train", _ramp),
    Pair(
        "moving something closer to the camera",
        "moving something away from the camera",
        "train",
        _approach,
    ),
    Pair("covering something with a cloth", "uncovering something", "train", _cover),
    Pair("pulling two things apart", "bringing two things together", "train", _apart),
    Pair("squeezing something flat", "letting something spring back", "train", _flatten),
    Pair("laying tiles on a board", "taking tiles off a board", "train", _tiles),
    Pair("turning a lamp on", "turning a lamp off", "train", _lamp),
    Pair("putting something into a box", "taking something out of a box", "train", _drop_in_box),
    Pair("drawing a line", "erasing a line", "train", _draw_line),
    Pair("turning a dial up", "turning a dial down", "train", _dial, mirrored=False),
    Pair("opening a curtain", "closing a curtain", "train", _curtain),
    Pair("bending a bar", "straightening a bar", "val", _bend),
    Pair("zooming in on a scene", "zooming out of a scene", "val", _zoom, zooms=True),
    Pair("heating a pot", "letting a pot cool down", "val", _heat),
    Pair("stacking blocks", "taking blocks off a stack", "val", _stack),
    Pair("lifting something on a rope", "lowering something on a rope", "test", _lift),
    Pair("tipping a pole over", "standing a pole up", "test", _tip),
    Pair("filling a container", "emptying a container", "test", _fill),
    Pair("opening two doors", "closing two doors", "test", _doors),
    Pair(
        "hiding something behind a screen",
        "moving something out from behind a screen",
        "test",
        _hide,
    ),
    Pair("scattering marbles", "gathering marbles", "test", _scatter),
    Pair("unrolling a mat", "rolling up a mat", "test", _unroll),
    Pair("bringing something into focus", "letting something go out of focus", "test", _focus),
)


def draw(
    pair: Pair,
    rng: np.random.Generator,
    frames: int,
    height: int,
    width: int,
    during: tuple[int, int] | None = None,
) -> tuple[Array, Array]:
    """One clip of a pair's forward class.

    Args:
        during: first frame of the action and the first one behind it; None: it fills the clip.

    Returns:
        video uint8 `[frames height width 3]` and instance ids uint8 `[frames height width]`.
    """
    stage = Stage(rng, frames, height, width, pair.zooms, during)
    # Most distractors stand behind the action, some pass in front of it.
    places = [rng.random() < 0.25 for _ in range(rng.integers(0, 3))]
    for _ in range(places.count(False)):
        _distract(stage)
    if during is not None:
        stage.canvas.present = np.zeros(frames, np.float32)
        stage.canvas.present[slice(*during)] = 1
    pair.draw(stage)
    stage.canvas.present = None
    for _ in range(places.count(True)):
        _distract(stage)
    stage.canvas.light(art.flicker(rng, frames, rng.uniform(0.0, 0.03)))
    noise = art.grain(rng, height, width, rng.uniform(0.0, 0.03))
    return stage.canvas.finish(noise, mirror=pair.mirrored and rng.random() < 0.5)


def _distract(s: Stage) -> None:
    """A small thing that stands or drifts near the frame's edge and belongs to no action."""
    angle, drift = (
        s.between(0, 2 * np.pi),
        s.rng.uniform(-0.15, 0.15, 2) * float(s.rng.random() < 0.5),
    )
    t = np.linspace(-0.5, 0.5, s.frames)
    x, y = s.between(0.75, 1.0) * s.side * np.cos(angle), s.between(0.75, 1.0) * 0.5 * np.sin(angle)
    s.thing((0.035, 0.06))(x=x + drift[0] * t, y=y + drift[1] * t)
