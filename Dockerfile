# Two images, `api` (without torch) and `worker`, and the proxy of docker-compose.yml:
#   docker build --target api --tag potstill-api .
#   docker build --target worker --tag potstill-worker:cpu .
#   docker build --target worker --build-arg TORCH_INDEX=https://pypi.org/simple --tag potstill-worker:cuda .
# Each takes a virtual environment from a stage of its own, where dependencies come before the
# source, so that a change of code rebuilds only the last layers.
FROM python:3.11.14-slim-bookworm@sha256:65a93d69fa75478d554f4ad27c85c1e69fa184956261b4301ebaf6dbb0a3543d AS base
ENV PATH=/opt/potstill/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONSAFEPATH=1
# By number, so that Kubernetes can see that it is not root.
RUN groupadd --gid 10001 potstill \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /var/lib/potstill --shell /usr/sbin/nologin potstill \
    && install -d -o potstill -g potstill -m 0750 /var/lib/potstill
WORKDIR /var/lib/potstill

FROM base AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/potstill
COPY pyproject.toml constraints.txt README.md LICENSE ./
# pip reads the extras from pyproject.toml; an empty package is enough for that. It has a folder of
# its own, or setuptools would take what it left behind for newer than the source.
RUN cp -r /src /dependencies && install -d /dependencies/kdcore \
    && printf '__version__ = "0"\n' > /dependencies/kdcore/__init__.py

FROM build AS api-build
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt '/dependencies[api,client,otel]'
COPY kdcore kdcore
COPY kdstore kdstore
COPY kdclient kdclient
COPY migrations migrations
COPY api api
COPY doctor doctor
RUN pip install --no-cache-dir --no-deps .

FROM build AS worker-build
# Wheels for CPU alone; those of https://pypi.org/simple hold CUDA.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
RUN --mount=type=cache,target=/root/.cache/pip \
    pip install -c constraints.txt --no-deps --index-url "$TORCH_INDEX" torch torchvision \
    && pip install -c constraints.txt '/dependencies[worker,otel]'
COPY kdcore kdcore
COPY kdstore kdstore
COPY worker worker
COPY doctor doctor
RUN pip install --no-cache-dir --no-deps .

FROM caddy:2.10.2-alpine@sha256:4c6e91c6ed0e2fa03efd5b44747b625fec79bc9cd06ac5235a779726618e530d AS proxy
# A volume takes its first owner from here.
RUN chown -R 10002:10002 /data /config
COPY deploy/compose/Caddyfile /etc/caddy/Caddyfile
USER 10002:10002

FROM base AS api
COPY --from=api-build /opt/potstill /opt/potstill
USER 10001:10001
ENV POTSTILL_DATA_DIR=/var/lib/potstill POTSTILL_HOST=0.0.0.0 POTSTILL_PORT=8000
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s --retries=3 \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
CMD ["python", "-m", "api"]

FROM base AS worker
COPY --from=worker-build /opt/potstill /opt/potstill
USER 10001:10001
ENV POTSTILL_DATA_DIR=/var/lib/potstill POTSTILL_METRICS_HOST=0.0.0.0 POTSTILL_METRICS_PORT=9100
EXPOSE 9100
# A worker says that it lives every few seconds, but not before a training process has loaded torch.
HEALTHCHECK --interval=30s --timeout=10s --start-period=120s --retries=3 CMD ["python", "-m", "worker.health"]
CMD ["python", "-m", "worker"]
