# vlm3 on a CPU: docker build -f docker/cpu.Dockerfile -t vlm3 . && docker run -p 8000:8000 vlm3
FROM python:3.12-slim
WORKDIR /opt/vlm3
COPY . .
# torch's own index has builds without CUDA, a tenth of the size.
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu \
    && pip install --no-cache-dir '.[app,viz,scene]' -c constraints.txt
RUN useradd --create-home vlm3
USER vlm3
EXPOSE 8000
ENTRYPOINT ["vlm3"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000"]
