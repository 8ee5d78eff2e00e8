# shellcheck shell=bash disable=SC2154  # here, groups, image come from lib.sh and suite
cases+=(private_namespace_limits_hold host_namespace_limits_hold)

private_namespace_limits_hold() { limits_hold private; }

host_namespace_limits_hold() { limits_hold host "in a namespace of its own"; }

# The nested limit and our own, then the outer engine's view, all on one container.
limits_hold() { # NAMESPACE [WORDS of the log]
    local id before dir path
    before=$(machine_groups)
    id=$(dind --cgroupns="$1" --memory 400m --memory-swap 400m)
    dir=$groups/docker/$id
    delegated "$id"
    said "$id" "cgroup v2 ${2:-(}"

    docker exec "$id" docker run --detach --name idle --memory 64m nested sleep 100000 >/dev/null
    path=$(nested_cgroup "$id" idle)
    [[ $path == /docker/$id/docker/* ]] || fail "the nested container is in $path"
    equal "$(<"$groups$path/memory.max")" $((64 << 20)) "memory.max of the nested container"
    eats_and_dies "$id" --memory 64m
    equal "$(sed -n 's/^oom_kill //p' "$dir/memory.events.local")" 0 "kills at our own limit so far"
    eats_and_dies "$id"
    [ "$(sed -n 's/^oom //p' "$dir/memory.events.local")" -ge 1 ] || fail "our own limit was not reached"
    equal "$(docker exec "$id" docker inspect --format '{{.State.Running}}' idle)" true "the other nested container runs"

    # The outer engine after our remount.
    equal "$(docker exec "$id" sh -c 'cat /proc/self/cgroup' | sed 's/.*\///')" init "where docker exec lands"
    docker top "$id" | grep 'sleep 100000' >/dev/null || fail "docker top does not show nested processes"
    docker stats --no-stream --format '{{.MemUsage}}' "$id" | grep ' / 400MiB$' || fail "docker stats"
    docker update --memory 300m --memory-swap 300m "$id" >/dev/null
    equal "$(<"$dir/memory.max")" $((300 << 20)) "memory.max after docker update"
    equal "$(docker exec "$id" cat /sys/fs/cgroup/memory.max)" $((300 << 20)) "the same from within"
    docker pause "$id" >/dev/null
    equal "$(sed -n 's/^frozen //p' "$dir/docker/cgroup.events")" 1 "docker pause freezes nested containers"
    docker unpause "$id" >/dev/null

    equal "$(machine_groups)" "$before" "groups of the machine"
    docker stop --time 60 "$id" >/dev/null
    equal "$(docker inspect --format '{{.State.ExitCode}}' "$id")" 0 "exit code after docker stop"
    [ ! -d "$dir" ] || fail "the stopped container's group is still there"
}

cases+=(a_reserve_saves_dockerd_from_a_group_kill)
a_reserve_saves_dockerd_from_a_group_kill() {
    local id
    # Kubernetes sets memory.oom.group after the container was made.
    id=$(dind --memory 400m --memory-swap 400m --env DIND_MEMORY_RESERVE=150M)
    echo 1 >"$groups/docker/$id/memory.oom.group"
    equal "$(<"$groups/docker/$id/docker/memory.max")" $((250 << 20)) "memory.max of the nested part"
    eats_and_dies "$id"
    # Without it: everybody dies together, and we say so beforehand.
    id=$(dind --memory 300m --memory-swap 300m)
    echo 1 >"$groups/docker/$id/memory.oom.group"
    docker exec "$id" dind true 2>&1 | grep 'memory.oom.group of this container' || fail "the group kill is not said"
    docker exec "$id" docker run nested tail /dev/zero || true
    until_true 60 has_ended "$id"
    equal "$(docker inspect --format '{{.State.OOMKilled}} {{.State.ExitCode}}' "$id")" "true 137" "the end without a reserve"
}

cases+=(a_small_reserve_grows_with_what_is_outside)
a_small_reserve_grows_with_what_is_outside() {
    local id limit
    # What the README says, in a pod with limits.memory: 300Mi.
    id=$(dind --memory 300m --memory-swap 300m --env DIND_MEMORY_RESERVE=64M)
    echo 1 >"$groups/docker/$id/memory.oom.group"
    # dockerd with what it takes to start a container is more than that.
    until_true 60 grown "$id"
    limit=$(<"$groups/docker/$id/docker/memory.max")
    [ "$limit" -lt $((236 << 20)) ] || fail "memory.max of the nested part is still $limit"
    echo "note: memory.max of the nested part: $((limit >> 20)) MiB"
    eats_and_dies "$id"
    eats_and_dies "$id"
    equal "$(sed -n 's/^oom_group_kill //p' "$groups/docker/$id/memory.events.local")" 0 "kills of the whole group"
}

grown() { docker logs "$1" 2>&1 | grep -q 'dockerd and what is beside it need more memory'; }

has_ended() { [ "$(docker inspect --format '{{.State.Running}}' "$1")" = false ]; }

cases+=(refused_namespace_falls_back_below_our_own_path)
refused_namespace_falls_back_below_our_own_path() {
    local id path before
    before=$(machine_groups)
    echo 0 >/proc/sys/user/max_cgroup_namespaces
    # Nested containers cannot have a cgroup namespace either.
    id=$(dind --cgroupns=host --memory 400m --memory-swap 400m -- --default-cgroupns-mode=host) || {
        echo 100 >/proc/sys/user/max_cgroup_namespaces
        return 1
    }
    said "$id" "a cgroup namespace of its own is refused: unshare(CLONE_NEWCGROUP)"
    delegated "$id"
    docker exec "$id" docker run --detach --name idle nested sleep 100000 >/dev/null
    path=$(nested_cgroup "$id" idle)
    echo 100 >/proc/sys/user/max_cgroup_namespaces
    [[ $path == /docker/$id/docker/* ]] || fail "the nested container is in $path"
    equal "$(machine_groups)" "$before" "groups of the machine"
}

cases+=(engine_20_10_limits_hold engine_26_1_limits_hold)
engine_20_10_limits_hold() { engine_limits_hold "$bookworm" 20.10 host; }
engine_26_1_limits_hold() { engine_limits_hold "$trixie" 26.1 private; }

engine_limits_hold() { # IMAGE VERSION NAMESPACE
    local id path
    id=$(image=$1 dind --cgroupns="$3" --memory 400m --memory-swap 400m)
    [[ $(docker exec "$id" docker version --format '{{.Server.Version}}') == "$2."* ]] || fail "the engine is not $2"
    docker exec "$id" docker run --detach --name idle nested sleep 100000 >/dev/null
    path=$(nested_cgroup "$id" idle)
    [[ $path == /docker/$id/docker/* ]] || fail "the nested container is in $path"
    eats_and_dies "$id" --memory 64m
    delegated "$id"
}
