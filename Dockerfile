# docker build --tag flux .
# docker run --rm --init -e PIAPI_API_KEY -v flux:/flux -v "$PWD:/work" flux gen "a red fox"
FROM python:3.14-slim AS build
RUN pip install --no-cache-dir --disable-pip-version-check --root-user-action=ignore "uv>=0.9,<1"
WORKDIR /source
COPY . .
# The versions in uv.lock; bytecode is written here, since the user who runs flux cannot write it later.
RUN UV_PROJECT_ENVIRONMENT=/opt/flux UV_PYTHON_DOWNLOADS=never UV_LINK_MODE=copy \
    uv sync --locked --no-cache --no-editable --compile-bytecode --python /usr/local/bin/python3

FROM python:3.14-slim
RUN useradd --uid 1000 --no-create-home --home-dir /flux flux \
 && install --directory --owner=flux --mode=700 /flux \
 && install --directory --owner=flux /work
COPY --from=build /opt/flux /opt/flux
ENV PATH="/opt/flux/bin:$PATH" \
    FLUX_HOME=/flux
USER 1000
# /flux contains the journal of paid tasks: keep it. Images go to /work.
VOLUME /flux
WORKDIR /work
ENTRYPOINT ["flux"]
CMD ["--help"]
