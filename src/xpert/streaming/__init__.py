"""A causal language model that is never in memory as a whole: Transformers drives it, its layers come from the disk one after another.

`StreamedModel` reads in this order: what a pass needs is planned (`budget`), the model's own forward pass tells what each layer is
given (`skeleton`), a thread reads the layers' tensors ahead (`window`, `sources`, `stored`), and all micro-batches go through a layer
before the next one is read (`model`).
"""
