# vLLM with the plug-in:  docker build -f deploy/vllm.Dockerfile -t structdiff-vllm .
FROM vllm/vllm-openai:v0.33.0
COPY . /structdiff
# vLLM is in the image; only what structdiff needs beside it is added.
RUN python3 -m pip install --no-cache-dir "/structdiff[server]"
ENV STRUCTDIFF_CACHE=/cache/structdiff
