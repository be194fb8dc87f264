"""Make the zoo's image models, step by step; each command resumes where it was interrupted.

    python scripts/make_picture_zoo.py pictures     # draws the training pictures
    python scripts/make_picture_zoo.py tokenizer
    python scripts/make_picture_zoo.py encoder
    python scripts/make_picture_zoo.py vae
    python scripts/make_picture_zoo.py base
    python scripts/make_picture_zoo.py painter
    python scripts/make_picture_zoo.py models [--similarity 100] [--only STYLE ...]
    python scripts/make_picture_zoo.py measure [--sheet FILE.png]

Without ``--out`` the shipped weights are written (``src/xpert/zoo/weights/pictures``); models at other similarities go to
``out/zoo/pictures``. Drawn pictures and checkpoints lie in ``out/zoo/pictures/work``.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import torch

from xpert.zoo import PICTURES
from xpert.zoo.pictures import STYLES

OUT = Path("out/zoo/pictures")
WORK = OUT / "work"


def pictures(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_data import base_pictures, styled_pictures

    return {"plain": len(base_pictures(WORK).captions), "styled": len(styled_pictures(WORK).captions)}


def tokenizer(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_tokenizer import make_picture_tokenizer

    return {"tokens": make_picture_tokenizer(args.out or OUT / "tokenizer")}


def encoder(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_encoder import make_encoder

    return make_encoder(OUT / "tokenizer", args.out or PICTURES / "encoder", WORK)


def vae(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_vae import make_vae

    return make_vae(args.out or OUT / "vae", WORK)


def base(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_base import make_base

    return make_base(OUT / "tokenizer", PICTURES / "encoder", OUT / "vae", args.out or PICTURES / "base", WORK)


def painter(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_base import make_painter

    return make_painter(PICTURES / "base", args.out or PICTURES / "painter", WORK)


def models(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_models import make_model

    shipped = PICTURES if args.similarity == 100 else OUT / f"models-{args.similarity}"
    return {
        style: make_model(
            PICTURES / "base", style, (args.out or shipped) / style, similarity=args.similarity / 100, work=WORK
        )
        for style in args.only or STYLES
    }


def measure(args: argparse.Namespace) -> Any:
    from xpert.zoo.making.pictures_measure import measure_zoo

    return measure_zoo(PICTURES, sheet=args.sheet, n=args.n)


STEPS = {step.__name__: step for step in (pictures, tokenizer, encoder, vae, base, painter, models, measure)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=list(STEPS))
    parser.add_argument("--out", type=Path, help="folder of the result")
    parser.add_argument("--similarity", type=int, default=100, help="styled share of a model's pictures, in percent")
    parser.add_argument("--only", nargs="*", choices=STYLES, help="models of these styles alone")
    parser.add_argument("--sheet", type=Path, help="where the contact sheet of the models is written")
    parser.add_argument("--n", type=int, default=20, help="captions that each model is measured on")
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    begun = time.perf_counter()
    result = STEPS[args.step](args)
    print(json.dumps({args.step: result, "minutes": round((time.perf_counter() - begun) / 60, 1)}, indent=1))


if __name__ == "__main__":
    main()
