"""A catalog of another aspect, in another language: a device asks what the server asked, without being told again."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xpert.catalog import Catalog
from xpert.catalog_card import card_text
from xpert.cli.output import explanation_table, top_words
from xpert.errors import CatalogError, SettingsError, SummarizerError
from xpert.explainer import Explainer
from xpert.provenance import Provenance
from xpert.selector import Selector
from xpert.summarizers.instructions import Instruction
from xpert.testing.fakes import FakeSummarizer
from xpert.testing.tiny import tiny_causal_lm
from xpert.types import Example

CHINESE = Instruction(
    name="语言风格",
    compare="回答一：{a}\n回答二：{b}\n第二个回答的语言风格是什么？只写一个形容词。",
    write="用{word}的风格回答：{prompt}",
    meaning="“{word}”这个词的意思是什么？只写一个形容词。",
    words=("友好", "正式", "简洁", "诗意"),
    carriers=("这个回答的风格是{word}的。",),
    stop_words=("风格", "回答"),
    max_answer_tokens=24,
    max_new_tokens=6,
    max_candidates=3,
    eps_orth=0.9,
)
HEBREW = replace(CHINESE, name="סגנון", words=("ידידותי", "רשמי", "תמציתי", "פיוטי"), carriers=("התשובה הזאת {word}.",))
TEXTS = ("友好的回答。正式的回答。", "天空是蓝色的。", "请告诉我火山是什么。")
PROMPTS = [f"第{i}个问题：天空为什么是蓝色的？" for i in range(8)]


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("pool")
    said = {"base": "天空是蓝色的。", "友人": "你好，朋友！天空很蓝呢！", "官员": "兹说明：天空呈现蓝色。"}
    for name, text in said.items():
        rows = [{"prompt": p, "response": text + p, "response2": p + text} for p in PROMPTS]
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        (folder / f"{name}.jsonl").write_text("".join(lines), encoding="utf-8")
    return {name: f"answers:{folder / name}.jsonl" for name in said}


def explained(pool: dict[str, str], summarizer: Any, instruction: Any, folder: Path) -> Catalog:
    explainer = Explainer(pool["base"], summarizer, n_prompts=8, instruction=instruction)
    explainer.explain({name: pool[name] for name in pool if name != "base"}).save_pretrained(folder)
    return Catalog.from_pretrained(folder)


@pytest.fixture(scope="module")
def llm(tmp_path_factory: pytest.TempPathFactory) -> str:
    return f"hf:{tiny_causal_lm(tmp_path_factory.mktemp('zh') / 'summarizer', seed=5, texts=TEXTS)}"


def test_an_llm_is_asked_on_the_device_what_it_was_asked_on_the_server(
    pool: dict[str, str], llm: str, tmp_path: Path
) -> None:
    (tmp_path / "mine.json").write_text(json.dumps(CHINESE.to_json(), ensure_ascii=False), encoding="utf-8")
    catalog = explained(pool, llm, tmp_path / "mine.json", tmp_path / "catalog")
    assert catalog.provenance.wording == CHINESE
    examples = [Example(prompt=p, response=f"你好，朋友！天空很蓝呢！{p}") for p in PROMPTS]
    answers = [f"天空是蓝色的。{p}" for p in PROMPTS]
    for summarizer in (None, llm):
        assert Selector(catalog, summarizer).select(examples, answers).best == "友人"
    older = replace(catalog, provenance=replace(catalog.provenance, wording=None))
    with pytest.raises(SummarizerError, match="asks another question"):
        Selector(older).select(examples, answers)


@pytest.mark.parametrize("aspect", [CHINESE, HEBREW], ids=["chinese", "hebrew"])
def test_an_encoders_words_are_the_aspects_and_are_shown(
    pool: dict[str, str], aspect: Instruction, tmp_path: Path
) -> None:
    pytest.importorskip("sentence_transformers", reason="needs the extra 'encoder'")
    from rich.console import Console

    from xpert.testing.tiny_encoder import tiny_encoder

    letters = "".join(aspect.words + aspect.carriers) + "你好朋友天空很蓝呢兹说明呈现色是的"
    encoder = f"encoder:{tiny_encoder(tmp_path / 'encoder', letters=letters)}"
    catalog = explained(pool, encoder, aspect, tmp_path / "catalog")
    words = {axis.word for axis in catalog.basis.axes if axis.kind == "word"}
    assert words
    assert words <= set(aspect.words)
    place = Selector(catalog).locate([Example(response="你好，朋友！")])
    assert np.isfinite(place.values).all()
    card = card_text(
        catalog.provenance, [catalog[name] for name in catalog], catalog.models, catalog.basis, n_models=len(catalog)
    )
    console = Console(width=200, record=True, file=StringIO())
    console.print(explanation_table(catalog))
    shown = console.export_text()
    assert "友人" in card
    assert "友人" in shown
    first = catalog["友人"].words[0][0]
    assert first in card
    assert first in shown


def test_numbers_stay_beside_words_from_right_to_left() -> None:
    assert top_words([("רשמי", 1.5), ("formal", 0.5)]) == "\u2068רשמי\u2069 +1.50, formal +0.50"


def test_the_header_is_checked_and_old_ones_load(pool: dict[str, str], llm: str, tmp_path: Path) -> None:
    values = explained(pool, llm, CHINESE, tmp_path / "catalog").provenance.to_json()
    assert Provenance.from_json(values, "x").wording == CHINESE
    old = {key: value for key, value in values.items() if not key.startswith("wording")}
    assert Provenance.from_json(old, "x").wording is None
    assert "wording" not in Provenance.from_json(old, "x").to_json()
    changed = values | {"wording": values["wording"] | {"compare": "{a}{b}"}}
    with pytest.raises(CatalogError, match="'wording' is not what 'wording_sha256' says"):
        Provenance.from_json(changed, "x")


def test_an_instruction_beside_an_object_is_refused(pool: dict[str, str]) -> None:
    with pytest.raises(SettingsError, match="instruction was given beside a summarizer object"):
        Explainer(pool["base"], FakeSummarizer(), instruction="domain")
