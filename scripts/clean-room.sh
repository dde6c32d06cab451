#!/bin/bash
# What a fresh Debian machine with gcc, make and git alone makes of the commit that is checked out: `make run`, `make test`,
# `make python` and `make test-python`, one after the other, in a chroot that is thrown away at the end. As root.
#
#     scripts/clean-room.sh [--kept] RELEASE ...      bookworm, trixie or sid; --kept: not again what has passed with this tree
#
# The fresh machine is made with debootstrap and kept for a week as an archive. From this machine it gets the mirror and
# the security archive, proxies, certificates, and pip's configuration. The logs, and the result by tree, stay beside it, in
# build/clean-rooms or in EVENLOOP_CLEAN_ROOMS. On sid, what fails because Debian's own packages do not install is skipped.
set -u
cd "$(dirname "$0")/.."
goals="run test python test-python"
kept=
[ "${1:-}" != --kept ] || { kept=1; shift; }
[ $# -gt 0 ] || { echo "usage: scripts/clean-room.sh [--kept] bookworm|trixie|sid ..." >&2; exit 2; }
for release; do
    case $release in
    bookworm) ;;
    trixie) ;;
    sid) ;;
    *) echo "scripts/clean-room.sh: '$release' is none of bookworm, trixie, sid" >&2; exit 2 ;;
    esac
done
[ "$(id -u)" = 0 ] || { echo "scripts/clean-room.sh: only root can make a chroot. Please run it with sudo -E." >&2; exit 1; }
scripts/deps.sh clean-room || exit 1
[ -z "$(git status --porcelain --untracked-files=no)" ] || echo "clean room: what is not committed is not tested"

place=${EVENLOOP_CLEAN_ROOMS:-build/clean-rooms}
mkdir -p "$place/results" && place=$(cd "$place" && pwd) || exit 1
exec 9>"$place/lock"
flock -n 9 || { echo "clean room: another run is using $place; waiting for its end"; flock 9; }

# What is tested, as it is now.
rm -rf "$place/tree"
git clone -q --depth 1 "file://$PWD" "$place/tree" && tree=$(git -C "$place/tree" rev-parse 'HEAD^{tree}') || exit 1

# ---- what is thrown away, whatever happens ----

# All mounts are made in a namespace of their own, by processes with numbers of their own: they go with them.
room=
child=
leave() {
    [ -z "$child" ] || { kill -KILL "$child"; wait "$child"; } 2>/dev/null
    child=
    [ -z "$room" ] || rm -rf --one-file-system "$room" 2>/dev/null ||
        { sleep 1; rm -rf --one-file-system "$room"; }      # its last processes were still at it
    room=
    rm -f "$place"/results/*.new
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
trap 'exit 129' HUP

# Run a command so. In the background, since a trap of the shell's waits for what is in the foreground.
apart() {
    env --default-signal=INT,QUIT unshare --mount-proc --fork --kill-child "$@" </dev/null 9>&- &
    child=$!
    wait "$child"
    local status=$?
    child=
    return $status
}

# ---- this machine's configuration ----

# The archives of this machine, for another release: `deb URI RELEASE[-security|-updates] main` a line.
sources() {
    local own=$(. /etc/os-release && echo "${VERSION_CODENAME:-}")
    apt-get indextargets --format '$(REPO_URI) $(CODENAME)' 'Created-By: Packages' 'Origin: Debian' 'Component: main' |
        while read -r uri suite; do
            case ${suite#"$own"} in
            '') echo "deb $uri $1 main" ;;
            -updates | -security) [ "$1" = sid ] || echo "deb $uri $1${suite#"$own"} main" ;;
            esac
        done | sort -u
}

# Variables for what runs inside, NAME=VALUE a line: proxies, certificates, pip.
variables() {
    env | grep -E '^(PIP_[A-Z_]*|SSL_CERT_(FILE|DIR)|REQUESTS_CA_BUNDLE|CURL_CA_BUNDLE|[a-z]*_proxy|[A-Z]*_PROXY)=' |
        grep -v '^PIP_\(FIND_LINKS\|CACHE_DIR\)=/'      # folders of this machine's own
}

# How apt reaches the archives.
apt_configuration() {
    apt-config dump | grep -E '^Acquire::(https?|Check-|Max-|Min-|Retries|ForceIPv)'
}

configure() {
    mkdir -p "$room/usr/local/share/ca-certificates" "$room/etc/apt/apt.conf.d"
    cp -L /etc/resolv.conf /etc/hosts "$room/etc/"
    [ ! -f /etc/pip.conf ] || cp /etc/pip.conf "$room/etc/"
    apt_configuration >"$room/etc/apt/apt.conf.d/99clean-room"
    sources "$release" >"$room/etc/apt/sources.list.new"
    if [ -s "$room/etc/apt/sources.list.new" ]; then    # else what debootstrap wrote
        mv "$room/etc/apt/sources.list.new" "$room/etc/apt/sources.list"
    else
        rm "$room/etc/apt/sources.list.new"
    fi
    cp -R /usr/local/share/ca-certificates/. "$room/usr/local/share/ca-certificates/" 2>/dev/null
    chroot "$room" update-ca-certificates >/dev/null 2>&1
    # And the files of certificates that the configuration names.
    { variables; apt_configuration; cat /etc/pip.conf; } 2>/dev/null | grep -o '/[^"; ]*\.\(crt\|pem\|cert\)\>' | sort -u |
        while read -r file; do
            [ ! -f "$file" ] || install -D -m 644 "$file" "$room$file"
        done
}

# ---- the fresh machine ----

fresh() {
    local archive=$place/$release.tar log=$place/$release/debootstrap.log
    [ -z "$(find "$archive" -mtime -7 2>/dev/null)" ] || return 0
    local mirror=$(sources "$release" | awk -v r="$release" '$3 == r { print $2; exit }')
    rm -rf --one-file-system "$room"
    apart debootstrap --variant=minbase --include=ca-certificates,gcc,make,git "$release" "$room" $mirror >"$log" 2>&1 &&
        rm -rf "$room"/var/cache/apt/archives/*.deb "$room"/var/lib/apt/lists/* &&
        tar -C "$room" -cf "$archive.new" . && mv "$archive.new" "$archive" && rm -rf --one-file-system "$room" && return
    tail -15 "$log"
    return 1
}

# A command inside, in the folder of the tree.
inside() {
    mapfile -t set < <(variables)
    apart sh -c 'room=$1; shift
        mount -t proc proc "$room/proc" && mount --rbind /sys "$room/sys" && mount --rbind /dev "$room/dev" || exit 1
        exec chroot "$room" "$@"' sh "$room" \
        /usr/bin/env -i -C /root/evenloop HOME=/root LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin "${set[@]}" "$@"
}

say() {
    echo "$*" | tee -a "$result.new"
}

# One release: 0 passed, 1 failed, 3 skipped.
visit() {
    local logs=$place/$release bad= goal status start begin log
    room=$place/$release.room
    rm -rf --one-file-system "$logs" "$room"
    mkdir -p "$logs"
    begin=$SECONDS
    if ! fresh; then
        [ "$release" = sid ] || { say "$release: debootstrap failed"; return 1; }
        say "$release: skipped: debootstrap failed"
        return 3
    fi
    mkdir "$room" && tar -C "$room" -xf "$place/$release.tar" || return 1
    configure
    cp -R "$place/tree" "$room/root/evenloop" || return 1
    say "$release: Debian $(cat "$room/etc/debian_version"), $(chroot "$room" gcc --version | head -1), ready in" \
        "$((SECONDS - begin)) s"
    for goal in $goals; do
        start=$SECONDS
        log=$logs/$goal.log
        inside make "$goal" >"$log" 2>&1
        status=$?
        mkdir -p "$logs/$goal"
        cp "$room"/root/evenloop/build/*.log "$logs/$goal/" 2>/dev/null
        if [ $status != 0 ] && [ "$release" = sid ] && grep -q '^evenloop: .* \(could not install\|has no package\)' "$log"; then
            tail -20 "$log"
            say "$release: make $goal: skipped: packages of Debian's do not install"
            return 3
        fi
        [ $status = 0 ] || { tail -40 "$log"; echo "   (the whole: $log)"; }
        say "$release: make $goal: $([ $status = 0 ] && echo passed || echo FAILED), $(figures "$log")$((SECONDS - start)) s"
        [ $status = 0 ] || bad=1
    done
    say "$release: $([ -z "$bad" ] && echo passed || echo FAILED), $((SECONDS - begin)) s, tree $tree"
    [ -z "$bad" ]
}

# What a log says at its end: N passed, N failed, and before it N skipped.
figures() {
    tail -4 "$1" | sed -n 's/^\([0-9]* skipped\)$/\1, /p; s/^\([0-9]* passed, [0-9]* failed\)$/\1, /p' | tr -d '\n'
}

failed=
for release; do
    result=$place/results/$tree-$release
    if [ -n "$kept" ] && tail -1 "$result" 2>/dev/null | grep -q ": passed, "; then
        cat "$result"
        continue
    fi
    : >"$result.new"
    visit
    status=$?
    mv "$result.new" "$result"
    leave
    [ $status = 0 ] || [ $status = 3 ] || failed="$failed $release"
done
[ -z "$failed" ] || { echo "clean rooms: failed:$failed"; exit 1; }
