"""Explaining many adapters: xpert against a careful loop in Transformers and PEFT (``peer.py``), both in one run.

    python benchmarks/explain_speed/run.py zoo   [--adapters 32] [--prompts 50] [--tokens 128] [--rounds 2] [--threads 2]
    python benchmarks/explain_speed/run.py 50m   [--adapters 32] [--tokens 64] ...
    python benchmarks/explain_speed/run.py steps     each step off in turn, on the zoo
    python benchmarks/explain_speed/run.py growth    4, 8, 16, 32 adapters, each in a process of its own

Adds its part to ``result.json`` beside this file. See ``README.md``.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import peer
import torch

from xpert import decoding, zoo
from xpert.modalities.text import many
from xpert.modalities.text.prober import TextProber
from xpert.progress import say
from xpert.prompts import shipped_prompts
from xpert.summarizers.hf import HFSummarizer
from xpert.summarizers.instructions import load_instruction
from xpert.tensors.files import write_text
from xpert.tensors.lora_files import read_adapter
from xpert.types import AnswerPair, Generation

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What both sides are given."""

    base: Path
    adapters: list[Path]
    summarizer: Path
    prompts: list[str]
    max_new_tokens: int


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a side gave, and what each part took: seconds of wall-clock time and of processor time."""

    base: list[str] = field(default_factory=list)
    answers: list[list[str]] = field(default_factory=list)
    embeddings: list[np.ndarray] = field(default_factory=list)
    wall: dict[str, float] = field(default_factory=dict)
    cpu: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Add what the block takes to a part."""
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        self.wall[part] = self.wall.get(part, 0.0) + time.perf_counter() - wall
        self.cpu[part] = self.cpu.get(part, 0.0) + time.process_time() - cpu


def ours(setting: Setting, *, together: bool = True, prefix_bytes: int = 1 << 30) -> Outcome:
    out = Outcome()
    generation = Generation(max_new_tokens=setting.max_new_tokens)
    references = [str(folder) for folder in setting.adapters]
    with out.timed("loading"):
        prober = TextProber(str(setting.base), device="cpu")
        summarizer = HFSummarizer(setting.summarizer, device="cpu", prefix_bytes=prefix_bytes)
    with out.timed("probing"):
        out.base = prober.answer(None, setting.prompts, generation)
        if together:
            # Copies of an adapter have folders of their own, so that a reference names one of them.
            found = dict(prober.answer_many(references, setting.prompts, generation))
        else:
            found = {reference: prober.answer(reference, setting.prompts, generation) for reference in references}
        out.answers = [found[reference] for reference in references]
    with out.timed("summarizing"):
        for answers in out.answers:
            triples = zip(setting.prompts, out.base, answers, strict=True)
            pairs = [AnswerPair(prompt=prompt, base=base, other=other) for prompt, base, other in triples]
            out.embeddings.append(summarizer.summarize(pairs).embeddings)
    prober.close()
    summarizer.close()
    return out


def ours_at_once(setting: Setting) -> Outcome:
    """As `xpert.Explainer` does it: models are summarized while others still answer."""
    out = Outcome()
    generation = Generation(max_new_tokens=setting.max_new_tokens)
    references = [str(folder) for folder in setting.adapters]
    with out.timed("loading"):
        prober = TextProber(str(setting.base), device="cpu")
        summarizer = HFSummarizer(setting.summarizer, device="cpu")
    with out.timed("whole"):
        out.base = prober.answer(None, setting.prompts, generation)
        for _, answers in prober.answer_many(references, setting.prompts, generation):
            triples = zip(setting.prompts, out.base, answers, strict=True)
            pairs = [AnswerPair(prompt=prompt, base=base, other=other) for prompt, base, other in triples]
            out.answers.append(answers)
            out.embeddings.append(summarizer.summarize(pairs).embeddings)
    prober.close()
    summarizer.close()
    return out


def theirs(setting: Setting) -> Outcome:
    out = Outcome()
    instruction = load_instruction(setting.summarizer)
    assert instruction is not None
    question = peer.Question(template=instruction.compare, max_answer_tokens=instruction.max_answer_tokens)
    with out.timed("loading"):
        model, tokenizer = peer.load(setting.base)
        summarizer, its_tokenizer = peer.load(setting.summarizer)
    with out.timed("probing"):
        out.base = peer.answer(model, tokenizer, setting.prompts, setting.max_new_tokens)
        model = peer.with_adapters(model, setting.adapters)
        for i in range(len(setting.adapters)):
            model.set_adapter(str(i))
            out.answers.append(peer.answer(model, tokenizer, setting.prompts, setting.max_new_tokens))
    with out.timed("summarizing"):
        for answers in out.answers:
            pairs = list(zip(out.base, answers, strict=True))
            out.embeddings.append(peer.summarize(summarizer, its_tokenizer, pairs, question))
    for spent in (out.wall, out.cpu):
        spent["whole"] = spent["probing"] + spent["summarizing"]
    return out


def zoo_setting(work: Path, n_adapters: int, n_prompts: int, tokens: int) -> Setting:
    """The shipped adapters, copies of the first ones where more are asked for."""
    names = zoo.adapter_names()
    adapters = [zoo.path(name) for name in names][:n_adapters]
    for i in range(n_adapters - len(adapters)):
        link = work / f"copy-{i}"
        link.symlink_to(zoo.path(names[i]))
        adapters.append(link)
    lines = (zoo.path("base") / "xpert_prompts.jsonl").read_text(encoding="utf-8").splitlines()
    return Setting(
        base=zoo.path("base"),
        adapters=adapters,
        summarizer=zoo.path("summarizer"),
        prompts=[json.loads(line)["prompt"] for line in lines[:n_prompts]],
        max_new_tokens=tokens,
    )


def large_setting(work: Path, n_adapters: int, n_prompts: int, tokens: int) -> Setting:
    """A Llama of 50 M parameters and adapters of rank 16 on all its linear layers, random; the end of sequence never comes."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(zoo.path("base"))
    config = LlamaConfig(
        vocab_size=4096, hidden_size=512, intermediate_size=1408, num_hidden_layers=14, num_attention_heads=8,
        num_key_value_heads=8, max_position_embeddings=1024, tie_word_embeddings=False, bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = LlamaForCausalLM(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.04)
    model.lm_head.weight.data[tokenizer.eos_token_id] = 0.0
    model.save_pretrained(work / "base")
    tokenizer.save_pretrained(work / "base")
    lora = LoraConfig(r=16, lora_alpha=16, target_modules="all-linear", init_lora_weights=False, task_type="CAUSAL_LM")
    wrapped = get_peft_model(model, lora)
    for i in range(n_adapters):
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0.0, 0.02)
        wrapped.save_pretrained(work / f"adapter-{i}")
    return Setting(
        base=work / "base",
        adapters=[work / f"adapter-{i}" for i in range(n_adapters)],
        summarizer=zoo.path("summarizer"),
        prompts=shipped_prompts("general", n_prompts, 0),
        max_new_tokens=tokens,
    )


def compared(setting: Setting, rounds: int) -> dict[str, Any]:
    """All sides in alternating order; medians over rounds, and what they agree on."""
    sides: dict[str, Callable[[], Outcome]] = {
        "ours": lambda: ours_at_once(setting),
        "peer": lambda: theirs(setting),
        "ours, one after the other": lambda: ours(setting),
    }
    runs: dict[str, list[Outcome]] = {side: [] for side in sides}
    for number in range(rounds):
        for side in list(sides) if number % 2 == 0 else list(sides)[::-1]:
            runs[side].append(sides[side]())
            say(f"round {number + 1}, {side}: {rounded(runs[side][-1].wall)}, CPU {rounded(runs[side][-1].cpu)}")
    return {
        "adapters": len(setting.adapters),
        "prompts": len(setting.prompts),
        "max_new_tokens": setting.max_new_tokens,
        "rounds": rounds,
        "wall_s": {side: medians([run.wall for run in runs[side]]) for side in runs},
        "cpu_s": {side: medians([run.cpu for run in runs[side]]) for side in runs},
        "times_faster": {"wall": ratios(runs, "wall"), "cpu": ratios(runs, "cpu")},
        **agreement(runs["ours"][0], runs["peer"][0]),
    }


def agreement(a: Outcome, b: Outcome) -> dict[str, Any]:
    """How many answers are equal, and how far embeddings of equal pairs are apart."""
    pairs = [(i, p) for i in range(len(a.answers)) for p in range(len(a.base))]
    equal = [(i, p) for i, p in pairs if a.answers[i][p] == b.answers[i][p] and a.base[p] == b.base[p]]
    apart = max((float(np.abs(a.embeddings[i][p] - b.embeddings[i][p]).max()) for i, p in equal), default=float("nan"))
    result = {
        "equal_base_answers": sum(x == y for x, y in zip(a.base, b.base, strict=True)) / len(a.base),
        "equal_pairs": len(equal) / len(pairs),
        "largest_embedding_difference": apart,
        "mean_answer_words": statistics.mean(len(text.split()) for texts in a.answers for text in texts),
    }
    if apart > 1e-4 or result["equal_pairs"] < 0.98:
        raise SystemExit(f"the two sides do not agree: {result}")
    return result


def medians(parts: list[dict[str, float]]) -> dict[str, float]:
    return rounded({name: statistics.median(part[name] for part in parts) for name in parts[0]})


def ratios(runs: dict[str, list[Outcome]], clock: str) -> dict[str, Any]:
    """Peer's time over ours, each round's, loading apart; the parts are those of a run in which one follows the other."""
    ours_runs = {"whole": "ours", "probing": "ours, one after the other", "summarizing": "ours, one after the other"}
    return {
        part: [
            round(getattr(theirs, clock)[part] / getattr(mine, clock)[part], 2)
            for mine, theirs in zip(runs[side], runs["peer"], strict=True)
        ]
        for part, side in ours_runs.items()
    }


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    kept = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, kept)


def steps(setting: Setting) -> dict[str, Any]:
    """Processor seconds with each step switched off, the others on."""
    rows: dict[str, Outcome] = {}

    def measure(name: str, **options: Any) -> None:
        rows[name] = ours(setting, **options)
        say(f"{name}: CPU {rounded(rows[name].cpu)}")

    measure("all steps")
    measure("adapters one by one (PEFT)", together=False)
    with replaced(decoding, "make_room", lambda *_: None):
        measure("key-value cache concatenated")
    with replaced(decoding, "LEAVING", 0):
        measure("finished rows stay")
    with replaced(many, "GROUP_ROWS", len(setting.prompts)):
        measure("one adapter a group (hooks, no sharing)")
    measure("shared prefixes read again", prefix_bytes=0)
    start = time.process_time()
    for folder in setting.adapters:
        read_adapter(folder)
    found = {name: {"cpu_s": rounded(out.cpu), "wall_s": rounded(out.wall)} for name, out in rows.items()}
    return {"adapters": len(setting.adapters), "off": found, "reading_adapters_cpu_s": time.process_time() - start}


def growth(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Our own time and peak memory for more and more adapters, each count in a fresh process."""
    rows = []
    for n in (4, 8, 16, 32):
        command = [sys.executable, __file__, "alone", "--adapters", str(n), "--tokens", str(options.tokens)]
        done = subprocess.run([*command, "--threads", str(options.threads)], check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout))
        say(str(rows[-1]))
    return rows


def alone(setting: Setting) -> dict[str, Any]:
    out = ours(setting)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"adapters": len(setting.adapters), "cpu_s": rounded(out.cpu), "wall_s": rounded(out.wall), "peak_mb": peak}


def rounded(values: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 2) for name, value in values.items()}


def machine(threads: int) -> dict[str, Any]:
    a = torch.randn(1024, 1024)
    start = time.process_time()
    for _ in range(10):
        a @ a
    speed = 20 * 1024**3 / (time.process_time() - start) / 1e9
    packages = {name: version(name) for name in ("torch", "transformers", "peft")}
    return {
        "python": platform.python_version(), **packages, "cores": os.cpu_count(), "threads": threads,
        "load": [round(x, 1) for x in os.getloadavg()], "matmul_gflops_per_cpu_second": round(speed, 1),
    }  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["zoo", "50m", "steps", "growth", "alone"])
    parser.add_argument("--adapters", type=int, default=32)
    parser.add_argument("--prompts", type=int, default=50)
    parser.add_argument("--tokens", type=int)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.tokens = options.tokens or (64 if options.part == "50m" else 128)
    torch.set_num_threads(options.threads)
    with TemporaryDirectory() as folder:
        if options.part == "growth":
            result: Any = growth(options)
        else:
            make = large_setting if options.part == "50m" else zoo_setting
            setting = make(Path(folder), options.adapters, options.prompts, options.tokens)
            if options.part == "alone":
                print(json.dumps(alone(setting)))
                return 0
            result = steps(setting) if options.part == "steps" else compared(setting, options.rounds)
    file = HERE / "result.json"
    known = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    known[options.part] = {"machine": machine(options.threads), "result": result}
    write_text(file, json.dumps(known, indent=1) + "\n")
    say(json.dumps(known[options.part]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
