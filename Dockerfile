# corelay in a container. tuning/README.md says what the container has to be allowed: io_uring and locked memory.
#
#   docker build -t corelay .
#   docker run --security-opt seccomp=tuning/seccomp.json --ulimit memlock=-1 --ulimit nofile=1048576 \
#       --volume corelay:/var/lib/corelay --publish 127.0.0.1:7400:7400 corelay

ARG BUILD_IMAGE=rust:1.95.0-slim-bookworm
ARG BASE_IMAGE=debian:bookworm-20250520-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin corelay && strip --strip-unneeded target/release/corelay

FROM ${BASE_IMAGE}
# For key sets and webhooks at https addresses.
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /src/target/release/corelay /usr/bin/corelay
COPY packaging/container/corelay.toml /etc/corelay/corelay.toml
RUN groupadd --gid 7400 corelay \
    && useradd --uid 7400 --gid 7400 --home-dir /var/lib/corelay --no-create-home --shell /usr/sbin/nologin corelay \
    && install -d -o corelay -g corelay -m 0750 /var/lib/corelay
USER 7400:7400
WORKDIR /var/lib/corelay
VOLUME /var/lib/corelay
EXPOSE 7400 7401
STOPSIGNAL SIGTERM
# Recovering a large store takes its time; nobody counts failures before the start period is over.
HEALTHCHECK --interval=10s --timeout=5s --start-period=5m \
    CMD ["corelay", "health", "--config", "/etc/corelay/corelay.toml"]
ENTRYPOINT ["corelay"]
CMD ["serve", "--config", "/etc/corelay/corelay.toml"]
