# docker build -t numeral .                                  for the CPU
# docker build -t numeral:gpu --build-arg VARIANT=gpu .      for CUDA; the host needs only NVIDIA's driver
# docker run --rm --read-only -p 8000:8000 numeral           add --gpus all for CUDA

# The newest Python that constraints.txt was tried on. Override it to take a mirror or a digest.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
ARG VARIANT=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

RUN case "$VARIANT" in cpu|gpu) ;; *) echo "VARIANT must be cpu or gpu, not '$VARIANT'." >&2; exit 1 ;; esac

# The dependencies alone, with an empty package in the code's place: a change of code leaves this layer as it is.
COPY pyproject.toml constraints.txt ./
RUN mkdir app \
    && touch app/__init__.py README.md LICENSE \
    && python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install -c constraints.txt ".[$VARIANT,heif]" \
    && pip --python /opt/venv uninstall --yes numeral

# What lets the page read in the browser, from npm, checked.
COPY app/webruntime.py app/
RUN python -m app.webruntime

# The code beside them, so that it becomes a small layer of its own below.
COPY LICENSE README.md ./
COPY app app
RUN pip --python /opt/venv install --no-deps --prefix /opt/numeral .


FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="Numeral" \
      org.opencontainers.image.description="Reads handwritten digits: POST a picture to /predict." \
      org.opencontainers.image.licenses="MIT"

COPY --from=builder /opt/venv /opt/venv
COPY model_store /srv/model_store
COPY --from=builder /opt/numeral /opt/venv

# onnxruntime would report to its maker. NVIDIA's two ask the container runtime for GPUs and driver; elsewhere they do nothing.
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    NUMERAL_HOST=0.0.0.0 \
    NUMERAL_PORT=8000 \
    NUMERAL_MODEL_STORE=/srv/model_store \
    ORT_DISABLE_TELEMETRY=1 \
    NVIDIA_VISIBLE_DEVICES=all \
    NVIDIA_DRIVER_CAPABILITIES=compute,utility

WORKDIR /srv
# A number, since Kubernetes cannot tell from a name that it is not root.
USER 10001:10001
EXPOSE 8000

# http.client and not urllib, which would go through the proxy of the environment.
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s --retries=3 CMD ["python", "-c", "\
import http.client, os, sys; \
connection = http.client.HTTPConnection('127.0.0.1', int(os.environ['NUMERAL_PORT']), timeout=4); \
connection.request('GET', '/health/ready'); \
response = connection.getresponse(); \
sys.exit(response.status != 200 and response.read().decode())"]

CMD ["numeral", "serve"]
