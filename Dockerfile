# An image that answers over HTTP: no torch, no compiler, no root.
#
#   docker build -t multihot .
#   docker run --rm -p 127.0.0.1:8000:8000 --read-only --tmpfs /tmp --cap-drop ALL \
#     --security-opt no-new-privileges -v "$PWD/exported/ec:/models/ec:ro" \
#     -v "$PWD/token.txt:/run/secrets/multihot-token:ro" multihot /models/ec
#
# docs/en/how-to/run-in-a-container.md says more.

FROM python:3.13-slim AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/multihot
WORKDIR /source
COPY constraints.txt pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/multihot/bin/pip install --no-cache-dir --constraint constraints.txt '.[serve,runtime]' && \
    /opt/multihot/bin/pip uninstall --yes pip

FROM python:3.13-slim

COPY --from=build /opt/multihot /opt/multihot
ENV PATH=/opt/multihot/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    ORT_DISABLE_TELEMETRY=1
USER 10001:10001
WORKDIR /models
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --retries=3 \
    CMD ["python", "-m", "multihot.serving.probe", "http://127.0.0.1:8000/readyz", "/run/secrets/multihot-token"]
ENTRYPOINT ["multihot", "serve", "--host", "0.0.0.0", "--port", "8000", "--token-file", "/run/secrets/multihot-token"]
CMD ["/models/model"]
