"""Folders of exported models: what is in them, their tokenizer, and the runtime that runs them. Needs no torch."""
