# docker build -t numeral .                                  for the CPU
# docker build -t numeral:gpu --build-arg VARIANT=gpu .      for CUDA; the host needs only NVIDIA's driver
# docker run --rm --read-only -p 8000:8000 numeral           add --gpus all for CUDA
# Reproducible builds, compose and Kubernetes: docs/deployment.md. `make image-smoke` builds and tries it.

# The newest Python that constraints.txt was tried on. Override it to take a mirror or, for a build that repeats, a digest.
ARG PYTHON_IMAGE=python:3.13-slim

FROM ${PYTHON_IMAGE} AS builder
ARG VARIANT=cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /build

RUN case "$VARIANT" in cpu|gpu) ;; *) echo "VARIANT must be cpu or gpu, not '$VARIANT'." >&2; exit 1 ;; esac

# Whatever strip and npm the Debian of the base has.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --no-install-recommends -y binutils npm && rm -rf /var/lib/apt/lists/*

# The dependencies alone: a change of code leaves this layer as it is.
COPY requirements requirements
RUN python -m venv --without-pip /opt/venv \
    && pip --python /opt/venv install --no-compile --require-hashes -r "requirements/$VARIANT.txt"

# What serving never opens: tests, stubs for type checkers, sources and headers of C, symbols for debuggers, Redoc's script
# (the service has no such page), onnxruntime's tools (float16 on CUDA needs one), and the second copy of the runtime, for C,
# that its wheel for the CPU brings. strip is for uvloop, httptools and kornia alone: it breaks libraries that auditwheel has
# patched. Bytecode is checked against no source, since nothing here is ever changed, and so no time gets into it; what is
# hardly ever imported has none.
RUN find /opt/venv -depth \( -type d \( -name tests -o -name include -o -path '*/numpy/f2py' -o -path '*/onnxruntime/backend' \
        -o -path '*/onnxruntime/datasets' -o -path '*/onnxruntime/quantization' -o -path '*/onnxruntime/tools' \) \
        -o -type f -name '*.py[ix]' -o -name 'redoc.standalone.js' -o -name '*.pxd' -o -name '*.[ach]' \) -exec rm -r {} + \
    && if [ "$VARIANT" = cpu ]; then rm -r /opt/venv/lib/python3*/site-packages/onnxruntime/transformers \
        /opt/venv/lib/python3*/site-packages/onnxruntime/capi/libonnxruntime.so.*; fi \
    && strip --strip-unneeded /opt/venv/lib/python3*/site-packages/uvloop/*.so \
        /opt/venv/lib/python3*/site-packages/httptools/parser/*.so /opt/venv/lib/python3*/site-packages/kornia_rs/*.so \
    && python -m compileall -q --invalidation-mode unchecked-hash -x '/(pygments|google/protobuf)/' /opt/venv/lib

# What lets the page read in the browser, fetched by npm, checked.
COPY app/web/page/onnxruntime_web.py app/web/page/
RUN python -m app.web.page.onnxruntime_web

# The code next to them, so that it becomes a small layer of its own below.
COPY pyproject.toml LICENSE README.md ./
COPY app app
RUN pip --python /opt/venv install --no-compile --no-deps --prefix /opt/numeral . \
    && python -m compileall -q --invalidation-mode unchecked-hash -s /opt/numeral -p /opt/venv /opt/numeral/lib

# One time for all files, so that the same sources give the same layers.
COPY model_store /srv/model_store
ARG SOURCE_DATE_EPOCH=0
RUN find /opt/venv /opt/numeral /srv/model_store -exec touch --no-dereference --date "@$SOURCE_DATE_EPOCH" {} +


FROM ${PYTHON_IMAGE}
ARG PYTHON_IMAGE VERSION="" REVISION=""
LABEL org.opencontainers.image.title="Numeral" \
      org.opencontainers.image.description="Reads handwritten digits: POST a picture to /predict." \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.base.name="${PYTHON_IMAGE}" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"

COPY --from=builder /opt/venv /opt/venv
COPY --from=builder /srv/model_store /srv/model_store
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
