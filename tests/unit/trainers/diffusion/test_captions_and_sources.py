from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("PIL.Image")

from xpert.errors import DataError, IncompatibleModelError, SettingsError
from xpert.trainers.diffusion.captions import captions_of
from xpert.trainers.diffusion.pictures import Picture, draw_cut, pictures_of, pixels, row_generator
from xpert.trainers.diffusion.sources import load_pictures
from xpert.types import Example


def tiny_captioner(folder: Path, tokenizer_of: Path) -> Path:
    """A tiny vision encoder with a tiny language model behind it, random weights."""
    from transformers import (
        AutoTokenizer,
        GPT2Config,
        GPT2LMHeadModel,
        VisionEncoderDecoderModel,
        ViTConfig,
        ViTImageProcessor,
        ViTModel,
    )

    tokenizer: Any = AutoTokenizer.from_pretrained(tokenizer_of)
    tokenizer.chat_template = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        see = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
        encoder = ViTModel(ViTConfig(**see, image_size=16, patch_size=8), add_pooling_layer=False)
        size = {"vocab_size": len(tokenizer), "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64}
        decoder = GPT2LMHeadModel(GPT2Config(**size, add_cross_attention=True, bos_token_id=5, eos_token_id=0))
        model: Any = VisionEncoderDecoderModel(encoder=encoder, decoder=decoder)
        for parameter in model.parameters():
            parameter.data.normal_(0, 0.5)
    model.config.decoder_start_token_id = model.generation_config.decoder_start_token_id = 5
    model.config.pad_token_id = model.generation_config.pad_token_id = 0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    ViTImageProcessor(size={"height": 16, "width": 16}).save_pretrained(folder)
    return folder


def test_captions_come_from_prompts_then_from_a_template(picture_examples: list[Example]) -> None:
    data = [picture_examples[0], Example(response=picture_examples[1].response)]
    assert captions_of(data, template="a photo", captioner=None, device=None) == ["the sun 0", "a photo"]
    with pytest.raises(DataError, match=r"image 2 of 2 .* has no caption"):
        captions_of(data, template=None, captioner=None, device=None)
    with pytest.raises(SettingsError, match="give one of them"):
        captions_of(data, template="a", captioner="b", device=None)


def test_a_captioner_looks_at_images_without_a_caption(
    picture_examples: list[Example], tiny_base: Path, tmp_path: Path
) -> None:
    folder = tiny_captioner(tmp_path / "captioner", tiny_base)
    bare = [Example(response=example.response) for example in picture_examples[:2]]
    said = captions_of([*bare, picture_examples[3]], template=None, captioner=folder, device="cpu")
    assert said[2] == "the sun 3"
    assert all(said)
    assert said == captions_of([*bare, picture_examples[3]], template=None, captioner=folder, device="cpu")
    with pytest.raises(IncompatibleModelError, match="expected an image-to-text model"):
        captions_of(bare, template=None, captioner=tiny_base, device="cpu")


def test_a_square_is_cut_where_it_is_said(picture_examples: list[Example]) -> None:
    picture = pictures_of(picture_examples[2:3], ["a"])[0]
    assert (picture.width, picture.height) == (36, 40)
    centre = draw_cut(picture, 36, None, center_crop=False, random_flip=True)
    assert (centre.top, centre.left, centre.flipped) == (2, 0, False)
    cuts = {draw_cut(picture, 36, row_generator(0, i), center_crop=False, random_flip=True) for i in range(60)}
    assert {cut.top for cut in cuts} == set(range(5))
    assert {cut.flipped for cut in cuts} == {True, False}
    fixed = {draw_cut(picture, 36, row_generator(0, i), center_crop=True, random_flip=False) for i in range(9)}
    assert fixed == {centre}
    values = pixels(picture, 36, centre)
    assert values.shape == (3, 36, 36)
    mirrored = pixels(picture, 36, type(centre)(top=2, left=0, flipped=True))
    assert torch.equal(mirrored, values.flip(2))
    assert float(values.abs().max()) <= 1
    wide = Picture(image=picture.image, caption="", width=100, height=50, digest="")
    assert draw_cut(wide, 16, None, center_crop=True, random_flip=False).left == 8


def test_rows_depend_on_seed_step_and_place_alone() -> None:
    first = {torch.rand(1, generator=row_generator(*place)).item() for place in ((0, 1, 2), (0, 2, 1), (1, 1, 2))}
    assert len(first) == 3
    assert torch.equal(torch.rand(3, generator=row_generator(4, 5)), torch.rand(3, generator=row_generator(4, 5)))


def test_images_come_from_folders_files_and_data_sets(
    picture_examples: list[Example], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "me.jsonl"
    file.write_text(json.dumps({"prompt": "a", "image": picture_examples[0].response}) + "\n")
    assert load_pictures(file)[0].prompt == "a"
    with pytest.raises(DataError, match="no such file"):
        load_pictures(tmp_path / "nothing.jsonl")
    datasets = pytest.importorskip("datasets")
    table = datasets.Dataset.from_dict(
        {"image": [example.response for example in picture_examples], "said": ["x"] * len(picture_examples)}
    )
    monkeypatch.setattr(datasets, "load_dataset", lambda name, split: table)
    found = load_pictures("org/name", "said")
    assert [example.prompt for example in found] == ["x"] * len(picture_examples)
    assert load_pictures("org/name")[0].prompt is None
    with pytest.raises(DataError, match=r"no column of captions \(words\): it has image, said"):
        load_pictures("org/name", "words")
