# The image: a base with an engine in it, and our binary under every name that it replaces.
#
#   docker build -t my/dind .                                   compiles, on the official base
#   docker build --build-arg BASE=my/base-with-dockerd …        on a base of yours
#   docker build --build-arg BINARY=prebuilt …                  takes ./dind-init as it is
#   docker build --target rootless -t my/dind-rootless .        for a user, uid 1000
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
COPY --from=binary /dind-init /usr/local/bin/dind-init
# No --chmod above: only BuildKit has it. `modprobe` of the base stays: dockerd and users' scripts
# call it.
RUN set -eu; \
    [ -x /usr/local/bin/dind-init ] || chmod 0755 /usr/local/bin/dind-init; \
    dind-init install; \
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

# A daemon without root: no rootlesskit, dind-init makes the namespaces itself.
FROM dind AS rootless
# newuidmap and newgidmap get file capabilities in place of the set-user-ID bit: with the bit they
# need CAP_SYS_ADMIN in the bounding set, which only privileged containers have.
# The second row of subordinate ids is for a pod that has 65536 ids in all (hostUsers: false);
# elsewhere dind-init takes the first one alone. The link is for `docker exec`, HEALTHCHECK and
# others that look at the standard path; /certs/ca is there with its mode for a volume on it.
RUN set -eu; \
    if command -v apk >/dev/null; then \
        apk add --no-cache shadow-uidmap slirp4netns fuse-overlayfs libcap-utils; \
    elif ! command -v newuidmap >/dev/null || ! command -v slirp4netns >/dev/null || ! command -v setcap >/dev/null; then \
        apt-get update; \
        apt-get install -y --no-install-recommends uidmap slirp4netns fuse-overlayfs libcap2-bin; \
        rm -rf /var/lib/apt/lists/*; \
    fi; \
    if ! grep -q '^rootless:' /etc/passwd; then \
        echo 'rootless:x:1000:1000:Rootless:/home/rootless:/bin/sh' >>/etc/passwd; \
        echo 'rootless:x:1000:' >>/etc/group; \
    fi; \
    for file in /etc/subuid /etc/subgid; do \
        for ids in 100000:65536 1001:64535; do \
            grep -qs "^rootless:$ids\$" "$file" || echo "rootless:$ids" >>"$file"; \
        done; \
    done; \
    newuidmap=$(command -v newuidmap); newgidmap=$(command -v newgidmap); \
    chmod u-s "$newuidmap" "$newgidmap"; \
    setcap cap_setuid=ep "$newuidmap"; \
    setcap cap_setgid=ep "$newgidmap"; \
    for name in rootlesskit rootlesskit-docker-proxy; do \
        ln -sf dind-init "/usr/local/bin/$name"; \
    done; \
    mkdir -p /run/user /certs/ca /home/rootless/.local/share/docker; \
    chmod 1777 /run/user /certs/ca; \
    ln -sfn /run/user/1000/docker.sock /run/docker.sock; \
    chown -R 1000:1000 /home/rootless
VOLUME /home/rootless/.local/share/docker
ENV HOME=/home/rootless
USER rootless

# What is built when no target is named.
FROM dind
