# One image for every role: sources, clock, processor, and the tools that look at them.
FROM python:3.11-slim-bookworm AS deps
# Dependencies change seldom: their own layer, from the hashed lock alone.
COPY requirements.lock /build/
RUN python3 -m venv /opt/jinliu \
 && /opt/jinliu/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /build/requirements.lock

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 jinliu
COPY --from=deps /opt/jinliu /opt/jinliu
COPY pyproject.toml README.md LICENSE /opt/src/
COPY topologies /opt/src/topologies
COPY schemas /opt/src/schemas
COPY producers /opt/src/producers
COPY streams /opt/src/streams
COPY jinliu /opt/src/jinliu
RUN /opt/jinliu/bin/pip install --no-cache-dir --disable-pip-version-check --no-deps /opt/src
ENV PATH=/opt/jinliu/bin:$PATH PYTHONUNBUFFERED=1 JINLIU_CACHE=/home/jinliu/kernels
USER jinliu
WORKDIR /home/jinliu
# Compile the kernels once, at build: a container then starts in seconds.
RUN jinliu setup --kernels-only
ENTRYPOINT ["jinliu"]
CMD ["--help"]
