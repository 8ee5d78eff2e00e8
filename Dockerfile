# The image: a base with an engine in it, and our binary under every name that it replaces.
#
#   docker build -t my/dind .                                   compiles, on the official base
#   docker build --build-arg BASE=my/base-with-dockerd …        on a base of yours
#   docker build --build-arg BINARY=prebuilt …                  takes ./dind-init as it is
#
# Nothing of the base is needed but dockerd and what dockerd itself calls (iptables, runc, …).
ARG BASE=docker.io/library/docker:28-dind
ARG BINARY=compiled

FROM docker.io/library/rust:1-alpine AS compiled
# ring, which signs the certificates, has parts in C.
RUN apk add --no-cache gcc musl-dev
WORKDIR /src
COPY . .
RUN cargo build --release --locked && cp target/*/release/dind-init /dind-init

FROM scratch AS prebuilt
COPY dind-init /dind-init

FROM ${BINARY} AS binary

FROM ${BASE} AS dind
COPY --from=binary --chmod=0755 /dind-init /usr/local/bin/dind-init
# `modprobe` of the base stays: dockerd and users' scripts call it.
RUN set -eu; \
    for name in dockerd-entrypoint.sh dind docker-init docker-entrypoint.sh; do \
        ln -sf dind-init "/usr/local/bin/$name"; \
    done; \
    mkdir -p /certs /certs/client; \
    chmod 1777 /certs /certs/client; \
    if command -v iptables-legacy >/dev/null && [ ! -d /usr/local/sbin/.iptables-legacy ]; then \
        mkdir -p /usr/local/sbin/.iptables-legacy; \
        for tool in iptables iptables-save iptables-restore ip6tables ip6tables-save ip6tables-restore; do \
            ln -s "$(command -v "${tool%tables*}tables-legacy${tool#*tables}")" "/usr/local/sbin/.iptables-legacy/$tool"; \
        done; \
    fi
ENV DOCKER_TLS_CERTDIR=/certs
VOLUME /var/lib/docker
EXPOSE 2375 2376
ENTRYPOINT ["dockerd-entrypoint.sh"]
CMD []
