# shellcheck shell=bash
cases+=(apparmor_profiles_are_loaded_and_used)
apparmor_profiles_are_loaded_and_used() {
    local id label output
    id=$(dind --volume /usr/sbin/apparmor_parser:/usr/sbin/apparmor_parser:ro --volume /etc/apparmor.d:/etc/apparmor.d:ro)
    docker exec "$id" ls /sys/kernel/security/apparmor >/dev/null
    label=$(docker exec "$id" docker run --rm nested cat /proc/self/attr/current)
    equal "$label" "docker-default (enforce)" "label of a nested container"
    # Without the right to load profiles AppArmor is hidden from dockerd, not mounted.
    output=$(docker exec "$id" setpriv --inh-caps=-mac_admin --bounding-set=-mac_admin \
        bash -c 'umount /sys/kernel/security && dind true && mountpoint /sys/kernel/security || true' 2>&1)
    [[ $output == *"nested containers run without AppArmor"*"is not a mountpoint"* ]] || fail "$output"
    output=$(docker exec "$id" setpriv --inh-caps=-mac_admin --bounding-set=-mac_admin \
        unshare --mount bash -c 'mount -t securityfs s /sys/kernel/security && dind true && ls -A /sys/kernel/security | wc -l' 2>&1)
    [[ $output == *$'\n0' ]] || fail "$output"
}

cases+=(without_ipv6_nested_containers_run)
without_ipv6_nested_containers_run() {
    local id
    id=$(dind --sysctl net.ipv6.conf.all.disable_ipv6=1 --sysctl net.ipv6.conf.default.disable_ipv6=1)
    docker exec "$id" docker run --rm --publish 8080:80 nested true
}

cases+=(devices_and_limits_are_as_far_as_we_may)
devices_and_limits_are_as_far_as_we_may() {
    local id
    echo 128 >/proc/sys/fs/inotify/max_user_instances
    id=$(dind --ulimit nofile=1024:4096)
    docker exec "$id" sh -c 'test -c /dev/net/tun && test -c /dev/fuse && test -c /dev/kmsg'
    equal "$(docker exec "$id" sh -c 'cat /proc/$(pidof dockerd)/oom_score_adj')" -500 "oom_score_adj of dockerd"
    equal "$(docker exec "$id" docker run --rm nested cat /proc/self/oom_score_adj)" 0 "and of a nested container"
    # Go takes one file less than the limit on some versions.
    [ "$(docker exec "$id" sh -c 'sed -n "s/^Max open files *\([0-9]*\).*/\1/p" /proc/$(pidof dockerd)/limits')" -ge 1048575 ] || fail "open files of dockerd"
    equal "$(docker exec "$id" docker run --rm nested sh -c 'ulimit -n')" 1024 "open files of a nested container"
    equal "$(</proc/sys/fs/inotify/max_user_instances)" 512 max_user_instances
    docker exec "$id" findmnt --noheadings --output PROPAGATION / | grep shared || fail "/ is not shared"
}
