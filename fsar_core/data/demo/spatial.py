"""Actions that one frame gives away: an object of some kind, moving in some manner, in front of some scene.

A class is (object, manner of moving, scene). How the object moves is the same played backwards: it drifts in any
direction, bobs, wobbles or pulses from any phase. The splits have different objects and share the scenes, as UCF101's
and Kinetics' classes share gyms and lawns; the four objects of the test split meet the same four scenes, so that neither
the object nor the scene is enough. Colours say little: a scene keeps its structure and only leans towards its natural
colours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fsar_core.data.demo import canvas as art
from fsar_core.data.demo.canvas import SHAPES, Array, Canvas

MOTIONS = ("drifting", "bobbing", "wobbling", "pulsing")
SCENES = (
    "a brick wall",
    "the sea",
    "a meadow",
    "a night sky",
    "a tiled floor",
    "sand dunes",
    "a city",
    "a forest",
)
# Kind of object -> split. Every kind makes four classes.
OBJECTS = {
    "star": "train",
    "ring": "train",
    "mug": "train",
    "fish": "train",
    "gear": "train",
    "house": "train",
    "cross": "val",
    "crescent": "val",
    "heart": "test",
    "arrow": "test",
    "flower": "test",
    "bottle": "test",
}


@dataclass(frozen=True)
class Kind:
    """One class: what moves how, and where."""

    thing: str
    motion: str
    scene: str
    split: str

    @property
    def name(self) -> str:
        return f"{self.thing} {self.motion} in front of {self.scene}"


def _kinds() -> tuple[Kind, ...]:
    found = []
    for i, (thing, split) in enumerate(OBJECTS.items()):
        # Training objects take turns with the two halves of the scenes; validation and test keep to one half each.
        first = {"train": i % 2, "val": 0, "test": 1}[split]
        for turn, scene in enumerate(SCENES[first::2]):
            found.append(Kind(thing, MOTIONS[(i + turn) % len(MOTIONS)], scene, split))
    return tuple(found)


KINDS = _kinds()


def draw(
    kind: Kind, rng: np.random.Generator, frames: int, height: int, width: int
) -> tuple[Array, Array]:
    """One clip of a class.

    Returns:
        video uint8 `[frames height width 3]` and instance ids uint8 `[frames height width]`.
    """
    rows, columns = art.background_shape(height, width)
    background = scene(kind.scene, rng, rows, columns)
    canvas = Canvas(
        background, frames, height, width, shift=art.jitter(rng, frames, rng.uniform(0.005, 0.03))
    )
    behind = background.mean(axis=(1, 2))
    for _ in range(rng.integers(1, 4)):
        _distract(canvas, rng, behind)
    t = np.linspace(0, 1, frames)
    x, y = rng.uniform(-0.25, 0.25) * canvas.aspect, rng.uniform(-0.18, 0.18)
    size, angle, scale = rng.uniform(0.13, 0.22), rng.uniform(-0.45, 0.45), 1.0
    wave = np.sin(2 * np.pi * (rng.uniform(0.8, 2.0) * t + rng.random()))
    if kind.motion == "drifting":
        way, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.2, 0.5)
        x, y = x + length * np.cos(way) * (t - 0.5), y + 0.6 * length * np.sin(way) * (t - 0.5)
    elif kind.motion == "bobbing":
        y = y + rng.uniform(0.06, 0.14) * wave
    elif kind.motion == "wobbling":
        angle = angle + rng.uniform(0.3, 0.6) * wave
    else:
        scale = 1 + rng.uniform(0.15, 0.3) * wave
    ink = art.random_ink(rng, behind)
    canvas.stamp(SHAPES[kind.thing], ink, x, y, 1.15, size * scale, angle, instance=1)
    for _ in range(rng.integers(0, 2)):
        _distract(canvas, rng, behind)
    canvas.light(rng.uniform(0.75, 1.15) * art.flicker(rng, frames, rng.uniform(0.0, 0.04)))
    noise = art.grain(rng, height, width, rng.uniform(0.0, 0.04))
    return canvas.finish(noise, mirror=bool(rng.random() < 0.5))


def _distract(canvas: Canvas, rng: np.random.Generator, behind: Array) -> None:
    """A plain blob somewhere, standing or drifting, smaller than the object and of no kind that is a class."""
    shape = SHAPES[str(rng.choice(["ball", "square", "triangle", "hexagon", "diamond"]))]
    t, drift = (
        np.linspace(-0.5, 0.5, canvas.frames),
        rng.uniform(-0.3, 0.3, 2) * float(rng.random() < 0.6),
    )
    x, y = rng.uniform(-0.5, 0.5) * canvas.aspect, rng.uniform(-0.5, 0.5)
    ink = art.random_ink(rng, behind)
    canvas.stamp(
        shape,
        ink,
        x + drift[0] * t,
        y + drift[1] * t,
        1.1,
        rng.uniform(0.03, 0.08),
        rng.uniform(-1, 1),
    )


def scene(name: str, rng: np.random.Generator, rows: int, columns: int) -> Array:
    """A background of the named scene, `[3 rows columns]` in 0..1, about `MARGIN` heights larger than the frame."""
    x, y = art.grid(rows, columns)
    zoom = np.float32(rng.uniform(0.8, 1.3))
    x, y = (
        (x + np.float32(rng.uniform(-1, 1))) * zoom,
        (y + np.float32(rng.uniform(-0.1, 0.1))) * zoom,
    )
    low, high = _PALETTES[name]
    value = _SCENES[name](rng, x, y)
    # Nearly half way to a random colour: the hue of a scene is a hint, never a proof.
    low, high = (0.55 * np.array(c) + 0.45 * rng.random(3) for c in (low, high))
    low, high = low.astype(np.float32)[:, None, None], high.astype(np.float32)[:, None, None]
    return (
        low
        + value.astype(np.float32) * (high - low)
        + (0.12 * art.cloud(rng, rows, columns, 3) - 0.06)
    )


def _bricks(rng: np.random.Generator, x: Array, y: Array) -> Array:
    tall = 0.13
    course = np.floor(y / tall)
    along = x / (2.2 * tall) + 0.5 * (course % 2)
    mortar = (np.abs(y / tall % 1 - 0.5) > 0.42) | (np.abs(along % 1 - 0.5) > 0.465)
    return np.where(mortar, 1.0, 0.05 + 0.25 * np.sin(37 * course + 11 * np.floor(along)))


def _sea(rng: np.random.Generator, x: Array, y: Array) -> Array:
    swell = (
        y + 0.03 * np.sin(9 * x + rng.uniform(0, 6)) + 0.015 * np.sin(23 * x + rng.uniform(0, 6))
    )
    return np.where(
        swell < -0.2, 1.1 + 0.3 * y, 0.35 + 0.3 * np.sin(45 * swell + 2 * np.sin(6 * x))
    )


def _meadow(rng: np.random.Generator, x: Array, y: Array) -> Array:
    blades = np.sin(90 * x + 7 * np.sin(13 * y + 5 * x)) * np.sin(31 * x + 17 * y)
    hill = y - 0.07 * np.sin(3 * x + rng.uniform(0, 6)) + 0.05
    return np.where(hill < 0, 1.0, 0.25 + 0.25 * blades)


def _night(rng: np.random.Generator, x: Array, y: Array) -> Array:
    cell_x, cell_y = np.floor(x / 0.11), np.floor(y / 0.11)
    place = np.sin(cell_x * 127.1 + cell_y * 311.7 + rng.uniform(0, 6)) * 43.7
    place = place - np.floor(place)
    dx, dy = x / 0.11 - cell_x - 0.25 - 0.5 * place, y / 0.11 - cell_y - 0.75 + 0.5 * place
    return np.exp(-(dx * dx + dy * dy) / (0.004 + 0.02 * place)) * (place > 0.25)


def _tiles(rng: np.random.Generator, x: Array, y: Array) -> Array:
    # A floor in perspective: rows grow narrower towards the horizon.
    depth = 1 / np.maximum(y + 0.75, 0.12)
    board = np.sin(6 * np.pi * depth) * np.sin(5 * np.pi * (x - np.mean(x)) * depth)
    return np.clip(0.5 + 4 * board, 0, 1)


def _dunes(rng: np.random.Generator, x: Array, y: Array) -> Array:
    value, below = np.ones_like(x + y), 0.0
    for i in range(4):
        crest = -0.25 + 0.2 * i + 0.07 * np.sin(rng.uniform(3, 5) * x + rng.uniform(0, 6))
        below = y - crest
        value = np.where(below > 0, np.clip(0.75 - 2.2 * below, 0.1, 0.75), value)
    return value


def _city(rng: np.random.Generator, x: Array, y: Array) -> Array:
    block = np.floor(x / 0.19)
    roof = -0.12 + 0.22 * np.sin(block * 2.4 + rng.uniform(0, 6))
    window = (np.abs((x / 0.19 % 1) * 3 % 1 - 0.5) < 0.28) & (np.abs(y / 0.08 % 1 - 0.5) < 0.28)
    lit = np.sin(block * 7 + np.floor(y / 0.08) * 5 + np.floor(x / 0.19 * 3) * 3) > -0.2
    return np.where(y < roof, 0.65, np.where(window & lit, 1.0, 0.1 + 0.12 * (block % 2)))


def _forest(rng: np.random.Generator, x: Array, y: Array) -> Array:
    trunk = np.abs((x + 0.012 * np.sin(5 * y)) / 0.17 % 1 - 0.5)
    bark = 0.08 * np.sin(60 * y + 40 * x)
    leaves = 0.65 + 0.2 * np.sin(25 * x + 9 * np.sin(19 * y)) * np.sin(27 * y)
    return np.where(trunk < 0.2, 0.1 + bark, np.where(y < -0.15, leaves, 0.9 - 0.3 * np.abs(y)))


_SCENES = dict(zip(SCENES, (_bricks, _sea, _meadow, _night, _tiles, _dunes, _city, _forest)))
# Natural colours of a scene's dark and light parts.
_PALETTES = dict(
    zip(
        SCENES,
        (
            ((0.6, 0.25, 0.2), (0.8, 0.78, 0.7)),
            ((0.05, 0.25, 0.5), (0.6, 0.8, 0.95)),
            ((0.15, 0.4, 0.1), (0.6, 0.8, 0.9)),
            ((0.03, 0.03, 0.15), (0.95, 0.95, 0.85)),
            ((0.25, 0.25, 0.3), (0.85, 0.85, 0.8)),
            ((0.55, 0.38, 0.15), (0.95, 0.85, 0.6)),
            ((0.15, 0.15, 0.25), (0.95, 0.85, 0.5)),
            ((0.2, 0.15, 0.08), (0.5, 0.7, 0.4)),
        ),
    )
)
