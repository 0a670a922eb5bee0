"""structdiff inside engines that serve diffusion models: what every engine shares, and a plug-in for each of them.

asked.py    what a request asks for, in a form that travels between processes
row.py      a row of an engine's batch over one `CanvasSession`
walk.py     the last look at an output's tokens
worker.py   the constraints of a process that runs a model
vllm/       the plug-in for vLLM

The core imports nothing from here.
"""
