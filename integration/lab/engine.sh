# shellcheck shell=bash
# shellcheck disable=SC2154  # here, cache, run, bridge…, docker come from `lab`
# The private engine: Debian's dockerd in a mount namespace of its own, with a root of its own
# (the base tree), on the host's network. It is never a system service. $run/engine records
# what was started and how the host looked before; leftovers.sh undoes it.

name=$(basename "$run")
tree=$cache/engine/root
data=$cache/engine/data

# Sets `missing`: what is not on this machine.
missing_packages() {
    missing=()
    command -v mmdebstrap >/dev/null || missing+=(mmdebstrap)
    command -v ip >/dev/null || missing+=(iproute2)
    [ -e /usr/share/keyrings/debian-archive-keyring.gpg ] || missing+=(debian-archive-keyring)
}

no_apt() { # PACKAGES
    die "there is no apt-get to install $1 with" \
        "install them, or start a Docker engine that can run a privileged container"
}

install_tools() {
    local missing
    missing_packages
    say "no engine answers that can run a privileged container: starting a private one"
    say "  Debian packages to install on this machine: ${missing[*]:-none}"
    say "  everything else goes into $cache and $run (lab clean removes it)"
    install_packages "${missing[@]}"
}

install_packages() { # PACKAGE...
    [ $# -ne 0 ] || return 0
    command -v apt-get >/dev/null || no_apt "$*"
    local install=(env DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends "$@")
    # The package lists may be missing or old: fetch them only then.
    "${install[@]}" >"$work/apt.log" 2>&1 ||
        { apt-get update >"$work/apt.log" 2>&1 && "${install[@]}" >>"$work/apt.log" 2>&1; } ||
        { tail -n 20 "$work/apt.log" >&2 && die "could not install $*"; }
}

# The engine's root is the base of the newest suite, unpacked.
unpack_engine() {
    local tar
    tar=$(base_tar "$engine_suite")
    [ "$(cat "$tree/.key" 2>/dev/null)" != "$tar" ] || return 0
    say "unpacking the engine's root"
    rm -rf --one-file-system "$tree"
    mkdir -p "$tree"
    tar --extract --file "$tar" --directory "$tree" --numeric-owner
    echo "$tar" >"$tree/.key"
}

# A process is one of two only if it has the pid and the start time (and the boot) on record.
start_time() { # PID
    local fields
    { fields=$(<"/proc/$1/stat"); } 2>/dev/null || return 1
    # The name, field 2, may hold spaces and brackets: count from behind it.
    read -ra fields <<<"${fields##*) }"
    [ "${fields[0]}" != Z ] || return 1
    echo "${fields[19]}"
}

read_record() {
    [ -r "$run/engine" ] || return 1
    # shellcheck disable=SC1091
    . "$run/engine"
}

engine_alive() {
    read_record || return 1
    [ "$engine_boot" = "$(cat /proc/sys/kernel/random/boot_id)" ] &&
        [ "$engine_start" = "$(start_time "$engine_pid")" ]
}

# A record of another cache is not ours to use, to stop or to sweep.
is_our_engine() { ! is_root || ! read_record || [ "$engine_cache" = "$cache" ]; }

# Two dockerds in one network namespace have chains of the same names, and each empties them
# when it starts: the other's published ports would be gone.
refuse_neighbour() {
    local process socket
    for process in /proc/[0-9]*; do
        if [ "$(cat "$process/comm" 2>/dev/null)" = dockerd ] && [ "$process/ns/net" -ef /proc/self/ns/net ]; then
            socket=$(tr '\0' '\n' <"$process/cmdline" | sed -n 's/^\(-H\|--host\)\?=\?\(unix:\/\/\/.*\)/\2/p' | head -n 1)
            die "another dockerd (pid ${process#/proc/}) is on this machine's network" \
                "starting a second one would break the firewall rules of its containers" \
                "use it, where you may: DOCKER_HOST=${socket:-unix:///var/run/docker.sock} make demo" \
                "or stop it, or run the lab in a network namespace of its own: unshare --net (it has no internet)"
        fi
    done
}

start_engine() {
    local deadline mtu device subnet
    for subnet in "$bridge_address" "$pool"; do
        [[ $subnet =~ ^([0-9]+\.){3}[0-9]+/(8|16|24)$ ]] || die "not an IPv4 subnet with /8, /16 or /24: $subnet"
    done
    mkdir -p "$run" "$data"
    record_host >"$work/engine"

    ip link show "$bridge" >/dev/null 2>&1 || ip link add "$bridge" type bridge
    ip address replace "$bridge_address" dev "$bridge"
    ip link set "$bridge" up

    # Containers take the uplink's MTU where that is smaller: behind a tunnel, 1500 loses packets.
    device=$(ip -4 route show default | sed -n 's/.* dev \([^ ]*\).*/\1/p')
    device=${device%%$'\n'*}
    mtu=$(ip link show dev "${device:-lo}" | sed -n 's/.* mtu \([0-9]*\).*/\1/p')
    [ "$mtu" -le 1500 ] || mtu=1500

    # No host setting but the proxies reaches dockerd: DOCKER_*, LISTEN_FDS, NOTIFY_SOCKET and
    # TMPDIR mean something to it. Slave: what the host unmounts is not kept busy by the engine.
    local environment=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root) variable
    for variable in HTTP_PROXY HTTPS_PROXY NO_PROXY http_proxy https_proxy no_proxy; do
        [ -z "${!variable:-}" ] || environment+=("$variable=${!variable}")
    done
    # cgroupfs, and a parent of our own: the engine's root has no systemd to ask, and `down` can
    # tell its cgroups from everybody else's.
    setsid unshare --mount --propagation slave env --ignore-environment "${environment[@]}" \
        bash "$here/engine-root" "$tree" "$data" "$run" "$cache" \
        dockerd --host "unix://$run/outer.sock" --group root --pidfile "$run/dockerd.pid" \
        --data-root "/var/lib/$name" --exec-root "$run/exec" \
        --bridge "$bridge" --default-address-pool "base=$pool,size=24" --ip-forward-no-drop \
        --mtu "$mtu" --default-network-opt "bridge=com.docker.network.driver.mtu=$mtu" \
        --exec-opt native.cgroupdriver=cgroupfs --cgroup-parent "/$name" \
        </dev/null >"$run/dockerd.log" 2>&1 9>&- &
    engine_pid=$!
    disown "$engine_pid"
    engine_start=$(start_time "$engine_pid") || engine_start=gone
    {
        cat "$work/engine"
        echo "engine_pid=$engine_pid engine_start=$engine_start"
    } >"$work/record"
    mv "$work/record" "$run/engine"

    private_client
    deadline=$((SECONDS + 120))
    until timeout 5 "$docker" version >/dev/null 2>&1; do
        engine_alive || start_failed "the private dockerd ended while starting"
        [ "$SECONDS" -lt "$deadline" ] || start_failed "the private dockerd did not answer within 120 s"
        sleep 0.1
    done
}

start_failed() { # WHAT
    # The first lines too: a refused flag is named there, above the usage.
    sed -n '1,3s/^/lab:   dockerd: /p' "$run/dockerd.log" >&2
    tail -n +4 "$run/dockerd.log" | tail -n 15 | sed 's/^/lab:   dockerd: /' >&2
    cp "$run/dockerd.log" "$cache/dockerd.log"
    stop_engine
    die "$1" "its whole log: $cache/dockerd.log"
}

# Sets docker and DOCKER_HOST: the client in PATH when it suits the engine and can build (the
# product's Dockerfile needs BuildKit), else the tree's own.
private_client() {
    export DOCKER_HOST=unix://$run/outer.sock
    unset DOCKER_CONTEXT DOCKER_TLS_VERIFY DOCKER_CERT_PATH
    docker=$(command -v docker) && "$docker" buildx version >/dev/null 2>&1 && return
    tree_client
}

# The tree's client runs on the host, with the tree's loader and libraries: the host's libc may
# be older, and paths and terminals are the caller's.
tree_client() {
    local cli=$cache/cli loader program
    loader=$(find "$tree"/usr/lib64 "$tree"/usr/lib "$tree"/lib -maxdepth 1 -name 'ld-linux-*' -print -quit 2>/dev/null || true)
    mkdir -p "$cli/config" "$cli/plugins"
    docker=$cli/docker
    for program in bin/docker libexec/docker/cli-plugins/docker-{buildx,compose}; do
        local wrapper=$cli/plugins/${program##*/}
        [ "$program" != bin/docker ] || wrapper=$docker
        {
            echo '#!/bin/sh'
            # shellcheck disable=SC2016
            [ "$program" != bin/docker ] || printf 'export DOCKER_CONFIG="${DOCKER_CONFIG:-%s}"\n' "$cli/config"
            printf 'exec "%s" --library-path "%s" "%s" "$@"\n' "$loader" \
                "$(find "$tree/usr/lib" -maxdepth 1 -name '*-linux-gnu*' -print -quit)" "$tree/usr/$program"
        } >"$wrapper.new"
        chmod 0755 "$wrapper.new"
        mv "$wrapper.new" "$wrapper"
    done
    printf '{"cliPluginsExtraDirs": ["%s"]}\n' "$cli/plugins" >"$cli/config/config.json.new"
    mv "$cli/config/config.json.new" "$cli/config/config.json"
}
