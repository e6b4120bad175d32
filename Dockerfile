# One base, two targets: `api` (no torch) and `worker`. Dependencies come before the source, so
# that a change of code rebuilds only the last layers.
FROM python:3.11.14-slim-bookworm AS base
ENV PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1
RUN useradd --create-home --uid 10001 potstill && install -d -o potstill /var/lib/potstill
WORKDIR /srv/potstill
COPY pyproject.toml constraints.txt README.md LICENSE ./

FROM base AS api
# pip resolves the extras from pyproject.toml; an empty package is enough for that.
RUN install -d kdcore && printf '__version__ = "0"\n' > kdcore/__init__.py \
    && pip install -c constraints.txt '.[api,client]' && pip uninstall -y potstill && rm -rf kdcore
COPY kdcore kdcore
COPY kdstore kdstore
COPY kdclient kdclient
COPY migrations migrations
COPY api api
USER potstill
ENV POTSTILL_DATA_DIR=/var/lib/potstill POTSTILL_HOST=0.0.0.0
EXPOSE 8000
CMD ["python", "-m", "api"]

FROM base AS worker
RUN install -d kdcore && printf '__version__ = "0"\n' > kdcore/__init__.py \
    && pip install -c constraints.txt '.[worker]' && pip uninstall -y potstill && rm -rf kdcore
COPY kdcore kdcore
COPY kdstore kdstore
COPY worker worker
USER potstill
ENV POTSTILL_DATA_DIR=/var/lib/potstill
CMD ["python", "-m", "worker"]
