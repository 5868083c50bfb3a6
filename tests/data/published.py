"""Miniatures of the five benchmarks as they are published: lists of both kinds, label files, folders of videos, cards."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from fsar_core.config import SPLITS, Card, read_yaml, validate

CARDS = Path(__file__).resolve().parents[2] / "workflow" / "datasets"

# split -> class -> videos. Names have all that the real ones have: blanks, brackets, signs, a folder spelled unlike its files.
Clips = Mapping[str, Mapping[str, list[str]]]
CLIPS: dict[str, Clips] = {
    "ucf101": {
        "train": {
            "ApplyEyeMakeup": [
                "v_ApplyEyeMakeup_g01_c01",
                "v_ApplyEyeMakeup_g01_c02",
                "v_ApplyEyeMakeup_g02_c01",
            ],
            "YoYo": ["v_YoYo_g25_c01", "v_YoYo_g25_c05"],
        },
        "val": {"HandstandPushups": ["v_HandStandPushups_g01_c01", "v_HandStandPushups_g01_c02"]},
        "test": {"Surfing": ["v_Surfing_g07_c01", "v_Surfing_g08_c01"]},
    },
    "hmdb51": {
        "train": {
            "shoot_bow": [
                "(HQ)_Rock_&_Roll!_[part_1]_shoot_bow_u_nm_np1_fr_goo_0",
                "(HQ)_Rock_&_Roll!_[part_1]_shoot_bow_u_nm_np1_fr_goo_1",
                "St._Bow_shoot_bow_f_cm_np2_ba_med_10",
            ],
            "wave": ["#20_Rhythm_wave_h_nm_np1_le_bad_2", "21_wave_u_nm_np1_fr_goo_3"],
        },
        "val": {
            "swing_baseball": [
                "Hitting(BX)_swing_baseball_f_nm_np1_ba_bad_0",
                "Fellowship_7_swing_baseball_u_nm_np1_fr_bad_14",
            ]
        },
        "test": {"kick_ball": ["a+b=c,~_kick_ball_l_cm_np3_ri_med_0", "no pattern at all"]},
    },
    "kinetics100": {
        "train": {
            "air drumming": ["-3UyEfl3p5w_000001_000011", "_3UyEfl3p5W_000013_000023"],
            "tying knot (not on a tie)": ["AAAAAAAAAAA_000100_000110", "BBBBBBBBBBB_000100_000110"],
        },
        "val": {"baking cookies": ["-514AQUrSow_000058_000068", "1h39wbBrWYY_000259_000269"]},
        "test": {"zumba": ["CCCCCCCCCCC_000001_000011", "DDDDDDDDDDD_000001_000011"]},
    },
    "ssv2_small": {
        "train": {
            "Pouring something into something": ["51958", "7", "100000"],
            "Something falling like a feather or paper": ["8", "9"],
            "Pretending to put something behind something": ["120", "121"],
        },
        "val": {"Lifting something up completely, then letting it drop down": ["61", "62"]},
        "test": {"Poking a hole into something soft": ["220847", "71"]},
    },
}
CLIPS["ssv2_full"] = CLIPS["ssv2_small"]
# Where copies of the data sets have a clip, below the folder of the card.
LAYOUTS = {
    "ucf101": lambda kind, video: f"UCF-101/{kind}/{video}.avi",
    "hmdb51": lambda kind, video: f"{kind}/{video}.avi",
    "kinetics100": lambda kind, video: f"val_256/{kind.replace(' ', '_')}/{video[:11]}.mp4",
    "ssv2_small": lambda kind, video: f"20bn-something-something-v2/{video}.webm",
    "ssv2_full": lambda kind, video: f"{video}.mp4",
}


def card(name: str, **changes) -> Card:
    """The shipped card without the counts of the real lists."""
    return validate(Card, read_yaml(CARDS / name / "card.yaml") | {"expected": {}} | changes, name)


def install(root: Path, name: str, **changes) -> Path:
    """The shipped card with the miniature's counts, in a workflow below `root`; returns the card's file."""
    counts = {
        split: [len(classes), sum(map(len, classes.values()))]
        for split, classes in CLIPS[name].items()
    }
    data = read_yaml(CARDS / name / "card.yaml") | {"expected": counts} | changes
    return write(root / "workflow" / "datasets" / name / "card.yaml", [yaml.safe_dump(data)])


def put_videos(folder: Path, name: str) -> list[str]:
    """Empty files in the data set's layout, and of the last clip a folder of frames; returns them in the lists' order."""
    there = [LAYOUTS[name](kind, video) for _, kind, video in clips(name)]
    *files, last = there
    there[-1] = last.rpartition(".")[0]
    for path in [*files, f"{there[-1]}/img_00001.jpg"]:
        write(folder / path, [])
    return there


def write(path: Path, lines: list[str]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for line in lines), encoding="utf-8")
    return path


def class_video_lists(folder: Path, name: str, ending: str = "list03.txt") -> dict[str, Path]:
    """As TRX has them; CMN's files are called train.list."""
    return {
        split: write(
            folder / f"{split}{ending}",
            [f"{c}/{v}" for c, videos in classes.items() for v in videos],
        )
        for split, classes in CLIPS[name].items()
    }


def numbered_line(name: str, split: str, number: int, kind: str, video: str) -> str:
    if name.startswith("ssv2"):
        return f"{split}{number}/{video}"
    if name == "kinetics100":  # some clips without their time stamp, as in MoLo's lists
        file = (
            f"val_256/{{}}/{video[:11]}.mkv"
            if video.endswith("011")
            else f"train_256/{{}}/{video}.mp4"
        )
        return f"{split}{number}//{file.format(kind.replace(' ', '_'))}"
    return f"{split}{number}//videos/{kind}/{video}.avi"


def numbered_lists(folder: Path, name: str) -> dict[str, Path]:
    """As HyRSM, MoLo and CLIP-FSAR have them."""
    lists = {}
    for split, classes in CLIPS[name].items():
        lines = [
            numbered_line(name, split, n, c, v) for n, c in enumerate(classes) for v in classes[c]
        ]
        lists[split] = write(folder / f"{split}_few_shot.txt", lines)
    return lists


def label_files(folder: Path, name: str = "ssv2_small") -> list[Path]:
    """Something-Something's: templates with placeholders in brackets, training and validation videos mixed over our splits."""
    records = [
        {
            "id": video,
            "label": re.sub("something", "a cup", kind, flags=re.IGNORECASE),
            "template": re.sub("(something)", r"[\1]", kind, flags=re.IGNORECASE),
            "placeholders": ["a cup"] * kind.lower().count("something"),
        }
        for _, kind, video in clips(name)
    ]
    found = []
    for part, share in (("train", records[::2]), ("validation", records[1::2])):
        found.append(folder / f"something-something-v2-{part}.json")
        found[-1].write_text(json.dumps(share), encoding="utf-8")
    return found


def clips(name: str) -> list[tuple[str, str, str]]:
    """(split, class, video) in the order of the lists."""
    return [
        (s, kind, video)
        for s in SPLITS
        for kind, videos in CLIPS[name][s].items()
        for video in videos
    ]
