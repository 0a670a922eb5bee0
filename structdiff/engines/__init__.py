"""structdiff inside engines that serve diffusion models: what every engine shares, and a plug-in for each of them.

asked.py      what a request asks for, in a form that travels between processes
compiling.py  compiling in processes that can be killed, for front ends
row.py        a row of an engine's batch over one `CanvasSession`
versions.py   does a plug-in know the engine that it finds
walk.py       the last look at an output's tokens
worker.py     the constraints of a process that runs a model
vllm/         the plug-in for vLLM
sglang/       the plug-in for SGLang

The core imports nothing from here.
"""
