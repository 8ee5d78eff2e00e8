# shellcheck shell=bash disable=SC2154  # here, groups, image come from lib.sh and suite
# The `dind` persona: short, not PID 1, and against processes that are born meanwhile.
cases+=(births_do_not_disturb_the_persona)
births_do_not_disturb_the_persona() {
    local id root born
    id=$(product --cgroupns=private --entrypoint bash -- -c 'exec sleep infinity')
    root=$groups/docker/$id
    docker cp "$here/births" "$id:/births" >/dev/null
    # From inside, as exec'd processes are after they entered the pid namespace, and from outside,
    # as they are before: those show as process 0.
    (
        while [ -d "$root" ]; do
            # shellcheck disable=SC2016
            bash -c 'echo $$ >"$1/cgroup.procs" && echo >>/tmp/born' _ "$root" 2>/dev/null || true
        done
    ) &
    local births=$!
    docker exec "$id" bash /births 200
    kill "$births"
    wait "$births" 2>/dev/null || true
    born=$(wc -l </tmp/born)
    echo "note: born in the root meanwhile, from outside: $born"
    [ "$born" -gt 0 ] || fail "nothing was born from outside"
    delegated "$id"
}

cases+=(three_starts_with_docker_exec_meanwhile)
three_starts_with_docker_exec_meanwhile() {
    local id namespace executed
    for namespace in private host private; do
        id=$(product --cgroupns=$namespace)
        executed=0
        until docker exec "$id" test -e /run/dind-init/ready; do
            equal "$(docker inspect --format '{{.State.Running}}' "$id")" true "the product runs"
            executed=$((executed + 1))
        done
        echo "note: $namespace: $executed docker exec before it was ready"
        delegated "$id"
        docker rm --force --volumes "$id" >/dev/null
    done
}

cases+=(a_second_time_and_a_restart_change_nothing)
a_second_time_and_a_restart_change_nothing() {
    local id before
    id=$(product --cgroupns=host --entrypoint bash -- -c 'dind true && dind true && exec dind sleep infinity')
    until_true 60 delegated "$id" >/dev/null
    before=$(docker exec "$id" sh -c 'cat /proc/self/mountinfo | cut -d" " -f5-')
    docker exec "$id" dind true
    equal "$(docker exec "$id" sh -c 'cat /proc/self/mountinfo | cut -d" " -f5-')" "$before" "mounts after another time"
    delegated "$id"
    docker restart --time 1 "$id" >/dev/null
    until_true 60 delegated "$id" >/dev/null
}

cases+=(the_hosts_tree_as_a_volume_is_left_alone)
the_hosts_tree_as_a_volume_is_left_alone() {
    local id before
    before=$(machine_groups)
    for namespace in private host; do
        id=$(product --cgroupns=$namespace --volume /sys/fs/cgroup:/sys/fs/cgroup --entrypoint dind -- sleep infinity)
        until_true 60 delegated "$id" >/dev/null
        equal "$(docker exec "$id" sh -c 'ls -d /sys/fs/cgroup/*/')" /sys/fs/cgroup/init/ "groups in the container's tree"
    done
    equal "$(machine_groups)" "$before" "groups of the machine"
    mountpoint /sys/fs/cgroup >/dev/null || fail "the machine lost its own mount"
}

cases+=(a_threaded_group_is_named)
a_threaded_group_is_named() {
    local output
    mkdir -p "$groups/threads/one"
    echo threaded >"$groups/threads/one/cgroup.type"
    # shellcheck disable=SC2016
    output=$(bash -c 'echo $$ >"$1/threads/one/cgroup.procs" && exec unshare --cgroup --mount --propagation private bash -c "
        umount /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && DIND_TMP=skip DIND_SYSCTL=skip dind-init setup -- true"' _ "$groups" 2>&1)
    rmdir "$groups/threads/one" "$groups/threads"
    [[ $output == *'cgroup.type of /sys/fs/cgroup is \"threaded\"'* ]] || fail "$output"
}

cases+=(a_process_that_cannot_be_moved_is_named)
a_process_that_cannot_be_moved_is_named() {
    local id stranger output code=0
    id=$(product --entrypoint sleep -- infinity)
    # From outside the container's pid namespace, and it stays.
    sleep 100000 &
    stranger=$!
    echo "$stranger" >"$groups/docker/$id/cgroup.procs"
    output=$(docker exec "$id" dind true 2>&1) || code=$?
    kill "$stranger"
    equal "$code" 71 "exit code"
    [[ $output == *'still holds: 0 ('* && $output == *'outside our pid namespace'* ]] || fail "$output"
    docker exec "$id" dind true
    delegated "$id"
}
