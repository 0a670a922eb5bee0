"""The OpenAI-compatible service: FastAPI in front, one thread that drives the model behind."""
