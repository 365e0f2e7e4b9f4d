# One image for every part of the service; the command says which: serve, api, worker or migrate.
#   docker build -t sankofa .
ARG PYTHON=python:3.12-slim

FROM ${PYTHON} AS build
RUN python -m venv --without-pip /opt/sankofa
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /source

# What changes seldom comes first: with an unchanged pyproject.toml the dependencies are taken from an earlier build.
COPY pyproject.toml ./
RUN python -c "import tomllib; print(*tomllib.load(open('pyproject.toml', 'rb'))['project']['dependencies'], sep='\n')" > dependencies.txt \
 && pip --python /opt/sankofa/bin/python install --no-compile -r dependencies.txt \
 && find /opt/sankofa -type d -name tests -path '*/site-packages/*' -prune -exec rm -rf {} +

COPY . .
RUN pip --python /opt/sankofa/bin/python install --no-compile --no-deps . \
 && /opt/sankofa/bin/python -m compileall -q -j 0 /opt/sankofa

# The kernels, compiled for this processor; where another one runs the image, it adds its own.
RUN SANKOFA_CACHE_DIR=/data/kernels /opt/sankofa/bin/python -P -m nncore.machine


FROM ${PYTHON}
LABEL org.opencontainers.image.title="Sankofa" \
      org.opencontainers.image.description="A self-hosted training service for neural networks" \
      org.opencontainers.image.licenses="Apache-2.0"

# By number, so that "must not run as root" can be checked by those who run it.
RUN groupadd --gid 10001 sankofa \
 && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /data --shell /usr/sbin/nologin sankofa \
 && install -d -m 700 -o sankofa -g sankofa /data

COPY --from=build /opt/sankofa /opt/sankofa
# A new volume at /data begins as a copy of this folder.
COPY --from=build --chown=10001:10001 /data/kernels /data/kernels
ENV PATH=/opt/sankofa/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    SANKOFA_CACHE_DIR=/data/kernels \
    SANKOFA_DATA_DIR=/data \
    SANKOFA_HOST=0.0.0.0

USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8000
STOPSIGNAL SIGTERM
ENTRYPOINT ["sankofa"]
CMD ["serve"]
