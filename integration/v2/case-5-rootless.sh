# shellcheck shell=bash disable=SC2154  # image, binary come from lib.sh
# A rootless dockerd on cgroup version 2. The image is the rootful one: the user that the rootless
# image has is mounted over it.
rootless() { # FLAG... (an image's words follow `--`)
    local id dir name data flags=()
    while [ $# -gt 0 ] && [ "$1" != -- ]; do
        flags+=("$1")
        shift
    done
    [ $# -eq 0 ] || shift
    dir=/tmp/rootless
    if [ ! -d "$dir" ]; then
        mkdir "$dir"
        for name in passwd group; do
            docker run --rm --entrypoint cat "$image" "/etc/$name" >"$dir/$name"
        done
        echo 'rootless:x:1000:1000:Rootless:/home/rootless:/bin/sh' >>"$dir/passwd"
        echo 'rootless:x:1000:' >>"$dir/group"
        echo 'rootless:100000:65536' | tee "$dir/subuid" >"$dir/subgid"
    fi
    data=$(mktemp -d)
    install -d -o 1000 -g 1000 "$data/home" "$data/home/.local" "$data/home/.local/share" "$data/home/.local/share/docker"
    modprobe tun
    chmod 0666 /dev/net/tun # as udev does
    id=$(docker run --detach --label suite=1 --env DOCKER_TLS_CERTDIR= --env HOME=/home/rootless \
        --env DOCKER_HOST=unix:///run/user/1000/docker.sock --tmpfs /run/user:mode=1777 \
        --volume "$data/home:/home/rootless" --volume "$binary:/usr/local/bin/dind-init:ro" \
        --volume "$dir/passwd:/etc/passwd:ro" --volume "$dir/group:/etc/group:ro" \
        --volume "$dir/subuid:/etc/subuid:ro" --volume "$dir/subgid:/etc/subgid:ro" "${flags[@]}" "$image" "$@")
    ready_rootless "$id" >&2
    docker exec --interactive --user 1000 "$id" docker import - nested </lab/nested.tar >/dev/null
    echo "$id"
}

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
    address=$(docker inspect --format '{{.NetworkSettings.IPAddress}}' "$id")
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
    said "$id" "rootless without limits for nested containers: /sys/fs/cgroup is read-only"
    works_rootless "$id"
}
