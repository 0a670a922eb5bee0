"""The plug-in for vLLM: constraints on DiffusionGemma, in its own server, by its own request fields.

plugin.py     what vLLM calls in each of its processes
admission.py  the front end: requests are read, compiled and refused, outputs looked at once more
model.py      the worker: the model whose state brings the sampler
sampler.py    the sampler: vLLM's own, with the constrained rows decided by structdiff
"""
