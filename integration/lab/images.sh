# shellcheck shell=bash
# shellcheck disable=SC2154  # here, repo, cache, work, label, docker come from `lab`
# What the lab builds: base trees and images, the product image, the nested root, the trial.
# Progress goes to stderr; stdout is the one name or path that the caller asked for.

engine_suite=forky

# What every base image holds. Recommends are off, so what dockerd needs is listed by name.
suite_packages() { # SUITE
    local packages=(
        docker.io containerd runc iptables nftables kmod iproute2 procps
        uidmap rootlesskit slirp4netns passt fuse-overlayfs xfsprogs e2fsprogs
        ca-certificates openssl tini busybox-static docker-registry
        curl jq socat netcat-openbsd iperf3 strace python3-minimal
    )
    case $1 in
    # bookworm has the client inside docker.io, no buildx, and only the Python docker-compose.
    bookworm) ;;
    trixie | forky) packages+=(docker-cli docker-buildx docker-compose) ;;
    *) die "unknown suite $1" "known: forky, trixie, bookworm" ;;
    esac
    printf '%s\n' "${packages[@]}"
}

# Changes whenever a base image would come out different: it names the cached tar and stands in
# the image's labels, so an edited list is built again and an unedited one never.
base_key() { # SUITE
    local packages
    packages=$(suite_packages "$1")
    { uname -m && echo "$1" "${DIND_LAB_MIRROR:-}" "$packages" "${mmdebstrap_options[@]}" && cat "$here/finish-base"; } |
        sha256sum | cut -c1-12
}

# Check-Valid-Until: forky's Release file is past its date, and a mirror may lag behind.
mmdebstrap_options=(
    --variant=apt --format=tar
    --aptopt='Acquire::Check-Valid-Until "false"'
    --aptopt='APT::Install-Recommends "false"'
    --dpkgopt='path-exclude=/usr/share/doc/*'
    --dpkgopt='path-exclude=/usr/share/man/*'
    --dpkgopt='path-exclude=/usr/share/locale/*'
)

can_debootstrap() { is_root && command -v mmdebstrap >/dev/null; }

# Prints the path of the suite's root as a tar, and makes it when it is missing.
base_tar() { # SUITE
    local key tar packages
    key=$(base_key "$1")
    tar=$cache/base-$1-$key.tar
    if [ ! -e "$tar" ]; then
        packages=$(suite_packages "$1")
        say "making a $1 root from Debian packages into $tar: ${packages//$'\n'/ }"
        TMPDIR=$work mmdebstrap "${mmdebstrap_options[@]}" --include="${packages//$'\n'/,}" \
            --customize-hook="$here/finish-base \"\$1\"" \
            "$1" "$work/base.tar" ${DIND_LAB_MIRROR:+"$DIND_LAB_MIRROR"} >"$work/mmdebstrap.log" 2>&1 ||
            { tail -n 15 "$work/mmdebstrap.log" | sed 's/^/lab:   /' >&2 && die "mmdebstrap could not make the $1 root" \
                "if the mirror cannot be reached, name another one in DIND_LAB_MIRROR"; }
        rm -f "$cache/base-$1"-*.tar
        mv "$work/base.tar" "$tar"
    fi
    echo "$tar"
}

# Prints the name of the suite's base image, and makes the image when it is missing or old.
base_image() { # SUITE
    local image key tar packages
    image=dind-init-lab/base:$1
    key=$(base_key "$1")
    if [ "$("$docker" image inspect --format '{{index .Config.Labels "dind-init-lab.key"}}' "$image" 2>/dev/null)" != "$key" ]; then
        if can_debootstrap; then
            tar=$(base_tar "$1")
            say "importing $tar as $image"
            "$docker" import --change "LABEL $label dind-init-lab.key=$key" \
                --change 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
                --change 'CMD ["bash"]' "$tar" "$image" >/dev/null
        else
            say "building $image on debian:$1 (mmdebstrap is not here, or not root)"
            packages=$(suite_packages "$1")
            "$docker" build --tag "$image" --label "$label" --label "dind-init-lab.key=$key" \
                --build-arg "SUITE=$1" --build-arg "PACKAGES=${packages//$'\n'/ }" \
                --file "$here/base.Dockerfile" "$here" >&2
        fi
    fi
    echo "$image"
}

# Whether `docker build` is BuildKit: since 23 the client needs the plugin for it.
has_buildkit() { [ "${DOCKER_BUILDKIT:-1}" != 0 ] && "$docker" buildx version >/dev/null 2>&1; }

# The product on top of a base, by the project's own Dockerfile. The context holds the binary
# and nothing else, so that the build cache depends on nothing else.
product_image() { # BINARY TAG SUITE TARGET
    local base
    [ -x "$1" ] || die "no executable at $1" "build it first: make"
    [ -f "$repo/Dockerfile" ] || die "no Dockerfile at $repo"
    base=$(base_image "$3")
    mkdir "$work/context"
    cp "$repo/Dockerfile" "$work/context/Dockerfile"
    install -m 0755 "$1" "$work/context/dind-init"
    if ! has_buildkit; then
        # It makes every stage that comes before the target, needed or not: no compiler here.
        sed -i '/^FROM .* AS compiled$/,/^FROM scratch AS prebuilt$/{/^FROM scratch/!d}' "$work/context/Dockerfile"
        # What it leaves of a stage has no name: the label finds it.
        sed -i "s/^COPY dind-init \/dind-init\$/&\nLABEL $label/" "$work/context/Dockerfile"
    fi
    # A caller that deals with failures (`|| …`) has switched errexit off.
    "$docker" build --target "${4:-dind}" --tag "$2" --label "$label" --build-arg "BASE=$base" --build-arg BINARY=prebuilt "$work/context" >&2 || return
    echo "$2"
}

nested_applets=(
    '[' ash awk base64 basename cat chmod chown cp cut date dd df dirname dmesg du echo env expr
    false find free grep gzip head hostname httpd id ifconfig ip kill ln ls md5sum mkdir mknod
    mktemp mount mv nc netstat nproc nslookup ping ping6 printf ps pwd readlink rm rmdir route sed
    seq sh sha256sum sleep sort stat stty sync tail tar tee test time timeout top touch tr true
    umount uname uniq vi watch wc wget which whoami xargs yes
)

# Prints the path of the nested containers' root: one static binary and its names. The tar is
# the same bytes for the same busybox: sorted, no owner names, no times.
nested_tar() {
    local key tar root applet
    key=$({ base_key "$engine_suite"; declare -f nested_tar; echo "${nested_applets[@]}"; } | sha256sum | cut -c1-12)
    tar=$cache/nested-$key.tar
    if [ ! -e "$tar" ]; then
        root=$work/nested
        mkdir -p "$root"/{bin,etc,root,tmp,www}
        static_busybox "$root/bin/busybox"
        chmod 0755 "$root/bin/busybox" "$root"/{bin,etc,www} "$root"
        chmod 0700 "$root/root"
        chmod 1777 "$root/tmp"
        for applet in "${nested_applets[@]}"; do
            ln -s busybox "$root/bin/$applet"
        done
        printf 'root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n' >"$root/etc/passwd"
        printf 'root:x:0:\nnogroup:x:65534:\n' >"$root/etc/group"
        echo 'nested' >"$root/www/index.html"
        chmod 0644 "$root"/etc/* "$root"/www/*
        tar -C "$root" --create --file "$work/nested.tar" --sort=name --format=gnu \
            --owner=0 --group=0 --numeric-owner --mtime=@0 .
        rm -f "$cache"/nested-*.tar
        mv "$work/nested.tar" "$tar"
    fi
    echo "$tar"
}

# busybox-static comes out of the base, so that it is the same on every machine and no host
# package is needed.
static_busybox() { # DESTINATION
    local tar id image
    if can_debootstrap; then
        tar=$(base_tar "$engine_suite")
        tar --extract --to-stdout --file "$tar" ./usr/bin/busybox >"$1"
    else
        [ -n "${docker:-}" ] || need_engine
        image=$(base_image "$engine_suite")
        id=$("$docker" create "$image")
        "$docker" cp "$id:/usr/bin/busybox" "$1" >/dev/null
        "$docker" rm "$id" >/dev/null
    fi
}

# Can this engine run a privileged container? Asked by doing: an image of one static binary,
# which needs no registry.
trial() {
    local image=dind-init-lab/trial:$$ root=$work/trial busybox nested command failed=0
    mkdir -p "$root"
    nested=("$cache"/nested-*.tar)
    busybox=$(command -v busybox || true)
    if [ -n "${DIND_LAB_TRIAL_BINARY:-}" ]; then
        [ -x "$DIND_LAB_TRIAL_BINARY" ] || die "DIND_LAB_TRIAL_BINARY: no executable at $DIND_LAB_TRIAL_BINARY"
        install -m 0755 "$DIND_LAB_TRIAL_BINARY" "$root/dind-init"
        command=(/dind-init version)
    elif [ -e "${nested[0]}" ]; then
        tar --extract --file "${nested[0]}" --directory "$root" ./bin/busybox
        command=(/bin/busybox true)
    elif [ -n "$busybox" ] && ! ldd "$busybox" >/dev/null 2>&1; then
        install -m 0755 "$busybox" "$root/busybox"
        command=(/busybox true)
    else
        die "an engine answers, but there is no static binary to try a privileged container with" \
            "set DIND_LAB_TRIAL_BINARY to a static dind-init, or install busybox-static"
    fi
    tar -C "$root" --create . | "$docker" import --change "LABEL $label" - "$image" >/dev/null &&
        timeout 60 "$docker" run --rm --privileged --network none "$image" "${command[@]}" >"$work/trial.log" 2>&1 ||
        failed=1
    "$docker" image rm --force "$image" >/dev/null 2>&1 || true
    [ "$failed" -eq 0 ] || sed 's/^/lab:   trial: /' "$work/trial.log" >&2
    return "$failed"
}
