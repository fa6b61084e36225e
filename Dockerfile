# syntax=docker/dockerfile:1
# steer with its native engine. Runs as a user, on a root file system that may be read-only:
#   docker run --read-only --tmpfs /tmp -v steer-state:/var/lib/steer -v steer-cache:/var/cache/steer \
#       -v ./policies/demo:/etc/steer:ro -p 53:53/udp -p 53:53/tcp -p 127.0.0.1:8053:8053 steer

FROM rust:1.95-slim-bookworm AS rust

FROM python:3.11-slim-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
COPY --from=rust /usr/local/cargo /usr/local/cargo
COPY --from=rust /usr/local/rustup /usr/local/rustup
ENV PATH=/opt/steer/bin:/usr/local/cargo/bin:$PATH CARGO_HOME=/usr/local/cargo RUSTUP_HOME=/usr/local/rustup
RUN python -m venv /opt/steer
WORKDIR /src
COPY . .
RUN pip install --no-cache-dir -c constraints.txt . \
    && cd / && python -c 'import steer.dataplane._native' # the extension is optional in a package, never in the image

FROM python:3.11-slim-bookworm
LABEL org.opencontainers.image.title=steer org.opencontainers.image.licenses=Apache-2.0
RUN useradd --system --uid 5353 --user-group --no-create-home --home-dir /var/lib/steer steer \
    && install -d -o steer -g steer /var/lib/steer /var/cache/steer
COPY --from=build /opt/steer /opt/steer
ENV PATH=/opt/steer/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    XDG_CACHE_HOME=/var/cache/steer STATE_DIRECTORY=/var/lib/steer
# Port 53 needs no privilege here: Docker and Podman set net.ipv4.ip_unprivileged_port_start=0 in a container's own
# network; elsewhere (host network, some Kubernetes) give CAP_NET_BIND_SERVICE or listen on a high port.
USER steer
VOLUME ["/var/lib/steer", "/var/cache/steer"]
WORKDIR /var/lib/steer
EXPOSE 53/udp 53/tcp 8053/tcp
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8053/healthz', timeout=2)"]
ENTRYPOINT ["steer"]
CMD ["serve", "/etc/steer"]
