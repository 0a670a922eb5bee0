"""structdiff: exact structured output for diffusion language models."""
