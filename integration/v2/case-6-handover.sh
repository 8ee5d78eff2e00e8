# shellcheck shell=bash disable=SC2154  # here, groups, image come from lib.sh and suite
# A rootless dockerd gets a part of our cgroup, which its root may divide.

# Runs as root of dockerd's namespaces: what the user may do there.
inside() { # ID SCRIPT
    docker exec --user 1000 "$1" nsenter --user --preserve-credentials --mount --cgroup \
        --target "$(docker exec "$1" cat /run/user/1000/dockerd-rootless/child_pid)" sh -euc "$2"
}

# Where a process of our container is, as seen from its root: `docker exec` may see the host's names.
path_of() { docker exec "$1" sed -n 's/^0:://p' "/proc/$2/cgroup" | sed "s|^/docker/$1||"; } # ID PID

nested_docker() { # ID WORD...
    local id=$1
    shift
    docker exec --user 1000 "$id" docker "$@"
}

# Who is where, and who owns what.
handed_over() { # ID [OWNER of the limits: who made the part]
    local id=$1 dir=$groups/docker/$1 limits=${2:-0}
    delegated "$id"
    said "$id" "below /sys/fs/cgroup/docker ("
    equal "$(path_of "$id" 1)" /init "the cgroup of PID 1"
    equal "$(path_of "$id" "$(docker exec "$id" pidof dockerd)")" /docker/init "the cgroup of dockerd"
    equal "$(cat "$dir/docker/cgroup.procs")" "" "processes in the root of the part"
    equal "$(cd "$dir/docker" && stat --format '%n %u' . cgroup.procs cgroup.subtree_control memory.max cgroup.freeze | tr '\n' ' ')" \
        ". 1000 cgroup.procs 1000 cgroup.subtree_control 1000 memory.max $limits cgroup.freeze $limits " "owners of the part"
}

# The user makes a group, limits it and moves a nested container's process to it.
user_limits() { # ID
    local id=$1 pid before code
    before=$(docker exec "$id" pidof dockerd)
    nested_docker "$id" run --detach --name eater nested sh -c 'mkfifo /go; read x </go; exec tail /dev/zero' >/dev/null
    until_true 60 nested_docker "$id" exec eater test -p /go
    pid=$(nested_docker "$id" inspect --format '{{.State.Pid}}' eater)
    inside "$id" "cd /sys/fs/cgroup; mkdir small; echo +memory >small/cgroup.subtree_control
        mkdir small/one; echo $((32 << 20)) >small/memory.max; echo $pid >small/one/cgroup.procs"
    nested_docker "$id" exec eater sh -c 'echo >/go'
    code=$(nested_docker "$id" wait eater)
    equal "$code" 137 "exit code of the eater"
    equal "$(sed -n 's/^oom_kill //p' "$groups/docker/$id/docker/small/memory.events")" 1 "kills at the user's limit"
    equal "$(sed -n 's/^oom_kill //p' "$groups/docker/$id/memory.events.local")" 0 "kills at our own limit"
    equal "$(docker exec "$id" pidof dockerd)" "$before" "pid of dockerd"
    # Our limit is not the user's to change, outside or inside.
    if docker exec --user 1000 "$id" sh -c 'echo max >/sys/fs/cgroup/memory.max' 2>/dev/null; then fail "the user changed our limit"; fi
}

# Who owns the files of a part may loosen it where the tree is mounted without nsdelegate.
limits_are_roots() { # ID
    if inside "$1" 'echo max >/sys/fs/cgroup/memory.max' 2>/dev/null; then fail "the user changed the limit of its part"; fi
}

cases+=(a_rootless_dockerd_gets_a_part_of_our_cgroup)
a_rootless_dockerd_gets_a_part_of_our_cgroup() {
    local id dir pid path before
    # Where processes are, no controller can be handed down.
    docker run --rm --privileged --entrypoint sh "$image" -c 'echo +memory >/sys/fs/cgroup/cgroup.subtree_control' && fail "handed down beside a process"
    before=$(machine_groups)
    id=$(rootless --privileged --memory 600m --memory-swap 600m --env DIND_ROOTLESS=1 --user 0)
    dir=$groups/docker/$id
    handed_over "$id"
    user_limits "$id"
    limits_are_roots "$id"

    # Each nested container has a group there. dockerd gives it no limit when it makes it.
    nested_docker "$id" run --detach --name idle --memory 64m nested sleep 100000 >/dev/null
    pid=$(nested_docker "$id" inspect --format '{{.State.Pid}}' idle)
    path=$(path_of "$id" "$pid")
    equal "$path" "/docker/$(nested_docker "$id" inspect --format '{{.Id}}' idle)" "the cgroup of a nested container"
    equal "$(<"$dir$path/memory.max")" max "memory.max of docker run --memory"
    # With `docker update` it does.
    nested_docker "$id" update --memory 48m --memory-swap 48m idle >/dev/null
    equal "$(<"$dir$path/memory.max")" $((48 << 20)) "memory.max of docker update"
    if nested_docker "$id" exec idle tail /dev/zero; then fail "nothing stopped the eater"; fi
    [ "$(sed -n 's/^oom_kill //p' "$dir$path/memory.events")" -ge 1 ] || fail "no kill at the limit of docker update"
    equal "$(sed -n 's/^oom //p' "$dir/memory.events.local")" 0 "times our own limit was reached"
    inside "$id" "echo 1 >/sys/fs/cgroup/${path#/docker/}/pids.max"
    if nested_docker "$id" exec idle true 2>/dev/null; then fail "a process above pids.max"; fi
    inside "$id" "echo max >/sys/fs/cgroup/${path#/docker/}/pids.max"
    # The limit of our container holds for all of them.
    inside "$id" "echo max >/sys/fs/cgroup/${path#/docker/}/memory.max"
    if nested_docker "$id" exec idle tail /dev/zero; then fail "nothing stopped the eater"; fi
    [ "$(sed -n 's/^oom //p' "$dir/memory.events.local")" -ge 1 ] || fail "our own limit was not reached"
    nested_docker "$id" exec idle true

    # The outer engine.
    equal "$(docker exec "$id" cat /proc/self/cgroup | sed 's/.*\///')" init "where docker exec lands"
    docker top "$id" | grep 'sleep 100000' >/dev/null || fail "docker top does not show nested processes"
    docker stats --no-stream --format '{{.MemUsage}}' "$id" | grep ' / 600MiB$' || fail "docker stats"
    docker update --memory 500m --memory-swap 500m "$id" >/dev/null
    equal "$(docker exec "$id" cat /sys/fs/cgroup/memory.max)" $((500 << 20)) "memory.max after docker update"
    docker pause "$id" >/dev/null
    equal "$(sed -n 's/^frozen //p' "$dir/docker/cgroup.events")" 1 "docker pause freezes nested containers"
    docker unpause "$id" >/dev/null
    nested_docker "$id" rm --force idle >/dev/null
    works_rootless "$id"
    equal "$(machine_groups)" "$before" "groups of the machine"
    [ ! -d "$dir" ] || fail "the stopped container's group is still there"
}

cases+=(a_part_is_made_where_the_hosts_tree_is_shown)
a_part_is_made_where_the_hosts_tree_is_shown() {
    local id before
    docker run --rm --entrypoint true "$image" # the outer engine's own group is made with its first container
    before=$(machine_groups)
    id=$(rootless --privileged --cgroupns=host --env DIND_ROOTLESS=1 --user 0)
    handed_over "$id"
    user_limits "$id"
    limits_are_roots "$id"
    equal "$(machine_groups)" "$before" "groups of the machine"
}

# Not root, but the owner of its cgroup. What was killed is started again in the same cgroup.
cases+=(a_user_divides_a_cgroup_that_is_its_own)
a_user_divides_a_cgroup_that_is_its_own() {
    local id before child
    # shellcheck disable=SC2016  # for the container's shell
    id=$(rootless --privileged --user 0 --entrypoint sh -- -euc 'cd /sys/fs/cgroup
        chown 1000:1000 . cgroup.procs cgroup.threads cgroup.subtree_control
        while :; do setpriv --reuid 1000 --regid 1000 --clear-groups dockerd-entrypoint.sh || true; done')
    handed_over "$id" 1000
    before=$(docker exec "$id" pidof dockerd)
    child=$(docker exec "$id" cat /run/user/1000/dockerd-rootless/child_pid)
    docker exec "$id" sh -c "kill -9 \$(sed -n 's/^PPid:[^0-9]*//p' /proc/$child/status)"
    until_true 120 another_dockerd "$id" "$before"
    ready_rootless "$id"
    handed_over "$id" 1000
    user_limits "$id"
}

another_dockerd() { # ID PID
    local found
    found=$(docker exec "$1" pidof dockerd) && [ "$found" != "$2" ]
}
