"""The plug-in for SGLang: constraints on its diffusion models, in its own server, by its own request fields.

plugin.py     what SGLang calls in each of its processes
admission.py  requests are checked before they are compiled and after, outputs looked at once more
backend.py    the grammar backend: compiles, and holds the row of each request
start.py      the start of a server that has the backend
algorithm.py  SGLang's diffusion algorithms, with the constrained rows decided by structdiff
facts.py      what SGLang's configuration says of a model
"""
