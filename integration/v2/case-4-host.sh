# shellcheck shell=bash disable=SC2154  # here, groups, image come from lib.sh and suite
cases+=(apparmor_is_used_where_its_profile_can_be_had)
apparmor_is_used_where_its_profile_can_be_had() {
    local id volume apparmor=/sys/kernel/security/apparmor
    equal "$(docker run --rm --entrypoint cat "$image" /proc/self/attr/current)" "docker-default (enforce)" "the outer engine's label"

    # 28.5 leaves AppArmor alone, because `container` is set (S51).
    id=$(dind)
    docker exec "$id" ls "$apparmor" >/dev/null
    equal "$(docker exec "$id" docker run --rm nested cat /proc/self/attr/current)" unconfined "label with 28.5"
    # 20.10 uses the profile that is there.
    id=$(image=$bookworm dind)
    equal "$(docker exec "$id" docker run --rm nested cat /proc/self/attr/current)" "docker-default (enforce)" "label with 20.10"

    # Nobody has loaded it, as on a node without docker. 20.10 would see AppArmor and fail.
    printf docker-default >"$apparmor/.remove"
    docker exec "$id" sh -c 'docker run --rm nested true 2>&1 || true' | grep 'could not be loaded' || fail "20.10 does not need us"
    # We do not show it, and cover what was shown.
    for volume in /nothing /sys/kernel/security; do
        id=$(image=$bookworm dind --volume "$volume:$volume")
        equal "$(docker exec "$id" ls -A /sys/kernel/security)" "" "securityfs with $volume"
        docker exec "$id" docker run --rm nested true
    done
    ls "$apparmor" >/dev/null # the machine's own is not covered
    # With a parser it loads it. The image's libraries are older than this machine's.
    # shellcheck disable=SC2016
    printf '#!/bin/sh\nexec /host/lib64/ld-linux-x86-64.so.2 --library-path /host/lib/x86_64-linux-gnu /host/sbin/apparmor_parser "$@"\n' >/tmp/parser
    chmod 0755 /tmp/parser
    id=$(image=$bookworm dind --volume /usr:/host:ro --volume /tmp/parser:/usr/sbin/apparmor_parser:ro --volume /etc/apparmor.d:/etc/apparmor.d:ro)
    equal "$(docker exec "$id" docker run --rm nested cat /proc/self/attr/current)" "docker-default (enforce)" "label with 20.10 and a parser"
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
