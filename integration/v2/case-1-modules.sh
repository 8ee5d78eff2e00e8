# shellcheck shell=bash disable=SC2154  # here, groups, image come from lib.sh and suite
# First, while nothing has asked for a bridge or a firewall.
cases+=(modules_that_are_not_loaded_are_loaded_by_use)
modules_that_are_not_loaded_are_loaded_by_use() {
    local id name
    for name in bridge nf_tables br_netfilter veth; do
        if grep "^$name " /proc/modules; then fail "$name is loaded already"; fi
    done
    id=$(dind --network none)
    docker exec "$id" docker run --rm nested true
    for name in bridge nf_tables veth; do
        grep "^$name " /proc/modules >/dev/null || fail "$name is not loaded"
    done
}
