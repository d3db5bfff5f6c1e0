# vlm3 on an NVIDIA GPU: docker build -f docker/cuda.Dockerfile -t vlm3:cuda .
# docker run --gpus all -p 8000:8000 vlm3:cuda serve --host 0.0.0.0 --model facebook/VLM3-depth
FROM python:3.12-slim
WORKDIR /opt/vlm3
COPY . .
# PyPI's torch brings its CUDA libraries; the host needs the driver alone. A compiler is for torch.compile.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev \
    && rm -rf /var/lib/apt/lists/* \
    && pip install --no-cache-dir '.[all]' -c constraints.txt
RUN useradd --create-home vlm3
USER vlm3
EXPOSE 8000
ENTRYPOINT ["vlm3"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
