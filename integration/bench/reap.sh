#!/bin/sh
# CPU time that an init spends on 10,000 orphans, ours beside tini's, and what each holds in memory.
#
# usage: integration/bench/reap.sh [OURS [TINI]]     (as root; OURS is a release build)
#
# Both do the same work in turn, so that a busy machine harms both: a shell makes N orphans under
# the init as PID 1 of a pid namespace. CPU time is the scheduler's, in nanoseconds, without
# children's; it is read when only the shell is left below the init. RUNS=9 N=10000 SHAPE=lone|burst:
# lone makes each orphan by itself, burst a hundred at a time.
set -eu

ours=${1:-target/x86_64-unknown-linux-gnu/release/dind-init}
tini=${2:-$(command -v tini || true)}
runs=${RUNS:-9} n=${N:-10000} shape=${SHAPE:-lone}
[ -n "$tini" ] || { echo "reap.sh: no tini to compare with: apt-get install tini" >&2; exit 1; }
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
ln -s "$(readlink -f "$ours")" "$dir/docker-init"
ln -s "$(readlink -f "$tini")" "$dir/tini"

# Runs under the init: the storm, then a look at /proc/1.
cat >"$dir/storm" <<'STORM'
i=0
case $2 in
lone) while [ $i -lt "$1" ]; do (: &); i=$((i + 1)); done ;;
burst)
    while [ $i -lt "$1" ]; do
        (j=0; while [ $j -lt 100 ]; do : & j=$((j + 1)); done)
        i=$((i + 100))
    done ;;
esac
while read -r children </proc/1/task/1/children && [ "${children% }" != $$ ]; do :; done
read -r cpu rest </proc/1/schedstat
memory=$(sed -n 's/^Pss: *\([0-9]*\) kB/\1/p; s/^Private_Dirty: *\([0-9]*\) kB/\1/p' \
    /proc/1/smaps_rollup | tr '\n' ' ')
echo "$cpu $memory"
STORM

once() {
    unshare -pf --mount-proc "$dir/$1" -- sh "$dir/storm" "$n" "$shape" >>"$dir/$1.log"
}
median() { # column of a log
    cut -d' ' -f"$2" "$dir/$1.log" | sort -n | sed -n "$(((runs + 1) / 2))p"
}

i=0
while [ $i -lt "$runs" ]; do
    once docker-init
    once tini
    i=$((i + 1))
done
echo "$runs runs each, $n orphans ($shape), medians"
for who in docker-init tini; do
    cpu=$(median $who 1)
    echo "$who: CPU $((cpu / 1000)) us, PSS $(median $who 2) kB, private dirty $(median $who 3) kB" \
        "(CPU of all runs, us:$(cut -d' ' -f1 "$dir/$who.log" | sort -n | sed 's/...$//' | tr '\n' ' ' | sed 's/^/ /'))"
done
