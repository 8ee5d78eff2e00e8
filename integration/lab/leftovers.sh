# shellcheck shell=bash
# shellcheck disable=SC2154  # here, run, bridge…, tree, name come from `lab` and engine.sh
# Undoing the private engine, after a clean stop and after a crash alike: processes, network
# devices, firewall rules, cgroups, files. Nothing is found by a mere pid or a common name.

# What dockerd switches on and never off, below /proc/sys/net.
forwarding=(ipv4/ip_forward ipv6/conf/all/forwarding ipv6/conf/default/forwarding)

# How the host looked before, as shell assignments: `down` must not depend on settings that
# may be others by then, nor take for ours what was there.
record_host() {
    local boot rules
    boot=$(cat /proc/sys/kernel/random/boot_id)
    rules=$(for family in iptables ip6tables; do chroot "$tree" "$family-save" 2>/dev/null || true; done)
    printf 'engine_boot=%q engine_cache=%q engine_tree=%q\n' "$boot" "$cache" "$tree"
    printf 'engine_bridge=%q engine_address=%q engine_pool=%q\n' "$bridge" "$bridge_address" "$pool"
    printf 'engine_forwarding=%q\n' "$(cd /proc/sys/net && grep -H . "${forwarding[@]}" 2>/dev/null)"
    printf 'engine_rules=%q\n' "$(sed -nE 's/^(:DOCKER[^ ]*) .*/\1/p; /^-A/p' <<<"$rules")"
    printf 'engine_tables=%q\n' "$(chroot "$tree" nft list tables 2>/dev/null || true)"
}

stop_engine() {
    local deadline
    if engine_alive; then
        kill -TERM "$engine_pid"
        # Containers that are left get their own stop timeout, 10 s by default.
        deadline=$((SECONDS + 40))
        while engine_alive && [ "$SECONDS" -lt "$deadline" ]; do sleep 0.1; done
        if engine_alive; then
            say "the private engine did not stop within 40 s: killing it"
            kill -KILL "$engine_pid"
        fi
    fi
    sweep
}

# Everything that a dead private engine left. Needs the record; may be called again.
sweep() {
    read_record || return 0
    kill_leftovers
    remove_links
    remove_rules
    restore_forwarding
    find /sys/fs/cgroup -mindepth 1 -maxdepth 2 -type d -name "$name" -print0 2>/dev/null |
        while IFS= read -rd '' folder; do
            find "$folder" -depth -type d -exec rmdir {} + 2>/dev/null || say "$folder remains"
        done
    # The mounts of the engine were in its own namespace, and went with its last process.
    rm -rf --one-file-system "$run"/{exec,outer.sock,dockerd.pid,dockerd.log,engine}
    rmdir "$run" 2>/dev/null || say "$run holds something else and stays"
}

# Prints the pids of the engine's processes, dead dockerd or not: those whose root directory is
# the tree (dockerd, containerd, shims), those in the engine's cgroup, those that see one of its
# container roots (a container with the host's pid and cgroup namespaces hides from the first
# two), and all their descendants.
leftover_pids() {
    local found=" " pid parent status added=1
    for status in /proc/[0-9]*; do
        if [ "$status/root" -ef "$engine_tree" ] 2>/dev/null; then found+="${status#/proc/} "; fi
    done
    for pid in $(find /sys/fs/cgroup -path "/sys/fs/cgroup*/$name/*" -name cgroup.procs -exec cat {} + 2>/dev/null) \
        $(grep -ls "upperdir=/var/lib/$name/" /proc/[0-9]*/mountinfo | cut -d/ -f3); do
        found+="$pid "
    done
    while [ "$added" -eq 1 ]; do
        added=0
        for status in /proc/[0-9]*/status; do
            pid=${status#/proc/} pid=${pid%/status}
            parent=$(sed -n 's/^PPid:\t//p' "$status" 2>/dev/null) || continue
            if [[ $found == *" $parent "* && $found != *" $pid "* ]]; then
                found+="$pid "
                added=1
            fi
        done
    done
    tr -s ' ' '\n' <<<"$found" | sort -un | sed '/^$/d'
}

kill_leftovers() {
    local pids deadline=$((SECONDS + 20))
    while pids=$(leftover_pids) && [ -n "$pids" ]; do
        [ "$SECONDS" -lt "$deadline" ] || die "processes of the private engine do not end:" "${pids//$'\n'/ }"
        # shellcheck disable=SC2086  # a list of pids
        kill -KILL $pids 2>/dev/null || true
        sleep 0.1
    done
}

# dockerd leaves the bridges of user networks when it stops. Their names are random, so a name
# in the engine's own store that exists on the host is ours.
our_bridges() {
    echo "$engine_bridge"
    [ ! -r "$data/network/files/local-kv.db" ] ||
        { grep -aoE 'br-[0-9a-f]{12}' "$data/network/files/local-kv.db" || true; } | sort -u
}

remove_links() {
    local link
    for link in $(our_bridges); do
        [ -z "$(ip link show dev "$link" type bridge 2>/dev/null)" ] || ip link delete "$link" || say "$link remains"
    done
}

# dockerd leaves its rules when it stops. Ours are those that name a DOCKER chain or one of our
# bridges and subnets, and were not there before.
remove_rules() {
    local ours family table rule chain
    chroot "$engine_tree" iptables --version >/dev/null || {
        say "firewall rules remain: $engine_tree is gone"
        return 0
    }
    ours=$(our_bridges | paste -sd '|')
    ours="^-A DOCKER|-j DOCKER|(-i|-o) ($ours) |$(pattern "$engine_address")|$(pattern "$engine_pool")"
    for family in iptables ip6tables; do
        for table in raw mangle nat filter; do
            chroot "$engine_tree" "$family-save" -t "$table" 2>/dev/null >"$work/rules" || continue
            { grep '^-A' "$work/rules" | grep -E -e "$ours" || true; } | while IFS= read -r rule; do
                ! has_line "$engine_rules" "$rule" || continue
                # Words of iptables-save: quoted only inside comments, which dockerd does not write.
                # shellcheck disable=SC2086
                chroot "$engine_tree" "$family" -t "$table" -D ${rule#-A } || say "remains: $family -t $table $rule"
            done
            sed -n 's/^:\(DOCKER[^ ]*\) .*/\1/p' "$work/rules" | while IFS= read -r chain; do
                ! has_line "$engine_rules" ":$chain" || continue
                chroot "$engine_tree" "$family" -t "$table" -X "$chain" || say "remains: $family -t $table chain $chain"
            done
            remove_table "${family%tables}" "$table"
        done
    done
}

# 10.214.0.0/16 → a regular expression for the addresses in it, by whole octets.
pattern() {
    local octets=$((${1#*/} / 8))
    cut -d. -f1-"$octets" <<<"${1%/*}" | sed 's/\./\\./g; s/$/\\./'
}

has_line() { [[ $'\n'$1$'\n' == *$'\n'"$2"$'\n'* ]]; } # TEXT LINE

# A table that was not there before and has neither rules nor chains of others goes too.
# (No `grep -q` behind a pipe: it ends early, and pipefail takes the writer's SIGPIPE for a no.)
remove_table() { # ip|ip6 TABLE
    local tables rest
    tables=$(chroot "$engine_tree" nft list tables)
    has_line "$tables" "table $1 $2" || return 0
    ! has_line "$engine_tables" "table $1 $2" || return 0
    rest=$(chroot "$engine_tree" "${1}tables-save" -t "$2" | sed -nE '/^-A|^:.* - /p')
    [ -n "$rest" ] || chroot "$engine_tree" nft delete table "$1" "$2"
}

restore_forwarding() {
    local before setting
    for before in $engine_forwarding; do
        setting=/proc/sys/net/${before%:*}
        # Only a real change: the kernel derives other settings from each write.
        [ "$(cat "$setting")" = "${before##*:}" ] || echo "${before##*:}" >"$setting"
    done
}
