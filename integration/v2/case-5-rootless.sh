# shellcheck shell=bash disable=SC2154  # image, rootless_image, binary come from lib.sh
# A rootless dockerd on cgroup version 2.
rootless() { # FLAG... (an image's words follow `--`)
    local id flags=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    modprobe tun
    chmod 0666 /dev/net/tun # as udev does
    id=$(docker run --detach --label suite=1 --env DOCKER_TLS_CERTDIR= \
        --env DOCKER_HOST=unix:///run/user/1000/docker.sock --volume "$binary:/usr/local/bin/dind-init:ro" \
        "${flags[@]}" "$rootless_image" "$@")
    ready_rootless "$id" >&2
    docker exec --interactive --user 1000 "$id" docker import - nested </lab/nested.tar >/dev/null
    echo "$id"
}

address_of() { docker inspect --format '{{.NetworkSettings.IPAddress}}' "$1"; } # ID

ready_rootless() { # ID
    docker exec --user 1000 "$1" dind-init wait --quiet --timeout 300s ||
        { docker logs --tail 40 "$1"; fail "$1 did not become ready"; }
}

# It runs containers, builds, and publishes ports that another container reaches by name.
works_rootless() { # ID
    local id=$1 address
    equal "$(docker exec --user 1000 "$id" docker run --rm nested echo within)" within "a nested container"
    docker exec --interactive --user 1000 "$id" sh -c 'DOCKER_BUILDKIT=0 docker build --quiet -t built -' <<<'FROM nested
RUN echo built >/built' >/dev/null
    equal "$(docker exec --user 1000 "$id" docker run --rm built cat /built)" built "a built image"
    docker exec --user 1000 "$id" docker run --detach --name web --publish 8080:80 nested sh -c 'echo page >/index.html; exec httpd -f -v -p 80 -h /' >/dev/null
    address=$(address_of "$id")
    until_true 60 docker run --rm --entrypoint curl "$image" -sf -o /dev/null "http://$address:8080/index.html"
    equal "$(docker run --rm --entrypoint curl "$image" -s "http://$address:8080/index.html")" page "a published port"
    equal "$(docker exec "$id" sh -c 'grep -h ^CapEff: /proc/1/status | cut -f2')" 0000000000000000 "capabilities of PID 1"
    docker stop "$id" >/dev/null
    equal "$(docker inspect --format '{{.State.ExitCode}}' "$id")" 0 "exit code of a stop"
}

cases+=(rootless_as_a_user_in_a_privileged_container)
rootless_as_a_user_in_a_privileged_container() {
    local id
    id=$(rootless --privileged --user 1000)
    said "$id" "rootless without limits for nested containers: user 1000 may not write to /sys/fs/cgroup; start as root"
    works_rootless "$id"
}

cases+=(rootless_as_root_in_an_unprivileged_container)
rootless_as_root_in_an_unprivileged_container() {
    local id
    id=$(rootless --cap-drop ALL --cap-add SETUID --cap-add SETGID --security-opt no-new-privileges \
        --security-opt seccomp=unconfined --security-opt apparmor=unconfined --security-opt systempaths=unconfined \
        --device /dev/net/tun --env DIND_ROOTLESS=1 --user 0)
    said "$id" "rootless without limits for nested containers: /sys/fs/cgroup is mounted read-only"
    works_rootless "$id"
}

# Another container of the machine: a client.
client() { # FLAG...
    docker run --detach --label suite=1 --entrypoint sleep "$@" "$image" infinity
}

answers_udp() { # CLIENT ADDRESS
    [ "$(docker exec "$1" sh -c "echo there | socat -t 5 - UDP:$2:5353")" = there ]
}

web_was_asked_by() { # ID ADDRESS
    docker exec --user 1000 "$1" docker logs web 2>&1 | grep -F "[::ffff:$2]" >/dev/null
}

# Clients of other containers, with certificates and without, over TCP and UDP; and a registry.
serves_other_containers() { # FLAG... (of the daemon's container)
    local id peer address from certs served="--volume /:/host:ro nested busybox chroot /host"
    certs=$(mktemp -d)
    chown 1000:1000 "$certs"
    chmod 0755 "$certs"
    id=$(rootless "$@" --env DOCKER_TLS_CERTDIR=/certs --volume "$certs:/certs")
    address=$(address_of "$id")
    peer=$(client --volume "$certs/client:/certs/client:ro")
    from=$(address_of "$peer")
    equal "$(docker exec --env DOCKER_HOST="tcp://$address:2376" --env DOCKER_TLS_VERIFY=1 \
        --env DOCKER_CERT_PATH=/certs/client "$peer" docker run --rm nested echo by TLS)" "by TLS" "a client with certificates"
    if docker exec "$peer" curl -sk "https://$address:2376/_ping"; then fail "a client without certificates was served"; fi

    docker exec --user 1000 "$id" sh -ec "
        docker run --detach --name web --publish 8080:80 nested sh -c 'exec httpd -f -v -p 80 -h /etc' >/dev/null
        docker run --detach --publish 5353:53/udp $served socat UDP-RECVFROM:53,fork EXEC:cat >/dev/null"
    until_true 60 docker exec "$peer" curl -sf -o /dev/null "http://$address:8080/hosts"
    until_true 60 web_was_asked_by "$id" "$from"
    until_true 60 answers_udp "$peer" "$address"

    docker exec --user 1000 "$id" sh -ec '
        docker run --detach --name registry --publish 127.0.0.1:5000:5000 --volume /:/host:ro --tmpfs /host/tmp nested sh -c "
            printf \"version: 0.1\nstorage:\n  inmemory:\nhttp:\n  addr: :5000\n\" >/host/tmp/config
            exec busybox chroot /host docker-registry serve /tmp/config" >/dev/null
        until docker exec registry wget -q -O - http://127.0.0.1:5000/v2/ >/dev/null 2>&1; do
            [ "$(docker inspect --format "{{.State.Running}}" registry)" = true ]
        done
        docker tag nested 127.0.0.1:5000/pulled:test
        docker push -q 127.0.0.1:5000/pulled:test >/dev/null
        docker image rm 127.0.0.1:5000/pulled:test >/dev/null
        docker pull -q 127.0.0.1:5000/pulled:test >/dev/null'
    equal "$(docker exec --user 1000 "$id" docker run --rm 127.0.0.1:5000/pulled:test echo pulled)" pulled "an image of a registry"
    docker stop "$id" >/dev/null
    equal "$(docker inspect --format '{{.State.ExitCode}}' "$id")" 0 "exit code of a stop"

    id=$(rootless "$@")
    address=$(address_of "$id")
    equal "$(docker exec --env DOCKER_HOST="tcp://$address:2375" "$peer" docker run --rm nested echo in plain)" "in plain" "a client without TLS"
}

cases+=(a_rootless_daemon_in_a_privileged_container_serves_others)
a_rootless_daemon_in_a_privileged_container_serves_others() {
    serves_other_containers --privileged --user 1000
}

cases+=(a_rootless_daemon_in_an_unprivileged_container_serves_others)
a_rootless_daemon_in_an_unprivileged_container_serves_others() {
    serves_other_containers --security-opt seccomp=unconfined --security-opt apparmor=unconfined \
        --security-opt systempaths=unconfined --device /dev/net/tun --user 1000
}
