"""How the zoo was made: tokenizer, base, summarizer and pools of adapters, each from `xpert.zoo.corpus` and a seed."""
