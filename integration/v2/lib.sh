# shellcheck shell=bash disable=SC2034  # its variables are for the cases
# What the cases share. Everything here runs in the virtual machine.

image=dind-init-lab/dind:machine-forky # engine 28.5
trixie=dind-init-lab/dind:machine-trixie # 26.1
bookworm=dind-init-lab/dind:machine-bookworm # 20.10
rootless_image=dind-init-lab/dind:machine-rootless # 28.5 without root
binary=/run/payload/dind-init
groups=/sys/fs/cgroup

# The machine as a distribution's init leaves it: controllers on, an engine.
set_up() {
    local name
    chmod 0755 "$binary"
    ln -sf "$binary" /usr/local/bin/dind-init
    ip link set lo up
    for name in $(<"$groups/cgroup.controllers"); do
        echo "+$name" >"$groups/cgroup.subtree_control" || echo "# no controller $name"
    done
}

outer_pid=
outer_kind=
# The outer engine, of this kind: `bare` has no bridge and no firewall rules.
outer() { # bare|full
    local flags=()
    [ "$1" != "$outer_kind" ] || return 0
    if [ -n "$outer_pid" ]; then
        kill "$outer_pid"
        wait "$outer_pid"
    fi
    [ "$1" = full ] || flags=(--bridge=none --iptables=false --ip6tables=false)
    dockerd "${flags[@]}" >>/tmp/outer.log 2>&1 &
    outer_pid=$!
    outer_kind=$1
    dind-init wait --quiet --host unix:///var/run/docker.sock --timeout 300s ||
        echo "# the outer engine does not answer: $(tail -n 1 /tmp/outer.log)"
}

# Tries once a tenth of a second until the command succeeds or SECONDS are over.
until_true() { # SECONDS COMMAND...
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        if [ "$SECONDS" -ge "$deadline" ]; then
            echo "this did not become true: $*"
            return 1
        fi
        sleep 0.1
    done
}

fail() {
    echo "$*"
    return 1
}

# Asserts that two texts are equal.
equal() { # FOUND EXPECTED WHAT
    [ "$1" = "$2" ] || fail "$3: found '$1', expected '$2'"
}

# A container of the product, by id. The memory limit is for memory and swap together.
product() { # FLAG... (an image's words follow `--`)
    local flags=() words=()
    while [ $# -gt 0 ]; do
        if [ "$1" = -- ]; then
            shift
            words=("$@")
            break
        fi
        flags+=("$1")
        shift
    done
    docker run --detach --privileged --label suite=1 --env DOCKER_TLS_CERTDIR= \
        --volume "$binary:/usr/local/bin/dind-init:ro" "${flags[@]}" "$image" "${words[@]}" 2>/dev/null
}

ready() { # ID
    docker exec "$1" dind-init wait --quiet --timeout 300s ||
        { docker logs --tail 40 "$1"; fail "$1 did not become ready"; }
}

# A product container that answers and has the image `nested`.
dind() { # FLAG...
    local id
    id=$(product "$@")
    ready "$id" >&2
    docker exec --interactive "$id" docker import - nested </lab/nested.tar >/dev/null
    echo "$id"
}

said() { # ID TEXT: the product's log has it
    docker logs "$1" 2>&1 | grep -F -e "$2" >/dev/null || { docker logs "$1" 2>&1 | grep dind-init; fail "not said: $2"; }
}

# A process of a nested container, and its cgroup as this machine names it.
nested_cgroup() { # ID NAME
    local pid
    pid=$(docker exec "$1" docker inspect --format '{{.State.Pid}}' "$2")
    # dockerd's pids are those of the container's pid namespace: look for the one that has both.
    local status
    for status in /proc/[0-9]*/status; do
        if grep -q "^NSpid:.*	$pid\(	[0-9]*\)*$" "$status" 2>/dev/null && grep -q "$1" "${status%status}cgroup" 2>/dev/null; then
            sed -n 's/^0:://p' "${status%status}cgroup"
            return
        fi
    done
    fail "no process of $2"
}

# Kills for want of memory in a container of this machine, and in all that is nested in it.
oom_kills() { sed -n 's/^oom_kill //p' "$groups/docker/$1/memory.events"; } # ID

# A nested container that eats memory is killed by the kernel; the daemon is untouched. The kernel's
# own count is asked: a shim that is slow to look finds no group any more, and then no engine knows.
eats_and_dies() { # ID FLAG...
    local id=$1 before kills code=0
    shift
    before=$(docker exec "$id" pidof dockerd)
    kills=$(oom_kills "$id")
    docker exec "$id" docker run --name eater "$@" nested tail /dev/zero || code=$?
    equal "$code" 137 "exit code of the eater"
    [ "$(oom_kills "$id")" -gt "$kills" ] || fail "it was not killed for want of memory"
    docker exec "$id" docker rm eater >/dev/null
    equal "$(docker exec "$id" pidof dockerd)" "$before" "pid of dockerd"
    docker exec "$id" dind-init wait --quiet --timeout 60s
    equal "$(docker inspect --format '{{.State.Running}}' "$id")" true "the product runs"
}

# Our container's root has no processes, a leaf, and every controller for its children.
delegated() { # ID
    local dir=$groups/docker/$1
    equal "$(<"$dir/cgroup.procs")" "" "processes in the root"
    equal "$(<"$dir/cgroup.subtree_control")" "$(<"$dir/cgroup.controllers")" "controllers handed down"
    [ -d "$dir/init" ] || fail "no leaf"
    [ -n "$(<"$dir/init/cgroup.procs")" ] || fail "nobody is in the leaf"
}

# The groups of this machine that are not below a container's.
machine_groups() { find "$groups" -mindepth 1 -maxdepth 1 -type d | sort; }

tidy() {
    local ids
    ids=$(docker ps --all --quiet --filter label=suite=1)
    # shellcheck disable=SC2086  # a list of ids
    [ -z "$ids" ] || docker rm --force --volumes $ids >/dev/null
}
