# The explorer for visitors, on port 8501, as an ordinary user. Fit for a Hugging Face Docker Space (docs/hosting.md).
#   docker build -t jepa-score .                                    # CPU
#   docker build --build-arg TORCH_INDEX=https://pypi.org/simple -t jepa-score .   # CUDA, about 6 GB
FROM python:3.11-slim

ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu

RUN useradd --create-home --uid 1000 explorer \
 && install --directory --owner=explorer /data /cache
WORKDIR /opt/jepa-score

# First, since they change seldom and are large. torch and torchvision come as a pair from the index that fits the machine.
COPY requirements.txt .
RUN sed '/^# Only the tests/,$d' requirements.txt > needed.txt \
 && grep -E '^torch(vision)?==' needed.txt > torch.txt \
 && pip install --no-cache-dir --index-url "$TORCH_INDEX" -r torch.txt \
 && pip install --no-cache-dir -r needed.txt

COPY pyproject.toml README.md LICENSE app.py ./
COPY .streamlit .streamlit
COPY assets assets
COPY jepa_core jepa_core
COPY pages pages
RUN pip install --no-cache-dir --no-deps .

USER explorer
WORKDIR /home/explorer
# Visitors may read what is mounted at /data, and nothing else; results go to /cache.
ENV JEPA_DATA_ROOTS=/data JEPA_CACHE=/cache
EXPOSE 8501
CMD ["jepa-score", "app", "--server.address=0.0.0.0", "--server.port=8501", "--server.headless=true"]
