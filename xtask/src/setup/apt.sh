#!/bin/sh
# Installs the Debian packages named as arguments (none: only brings the lists up to date) and starts
# no service that they bring, neither now nor at the next boot. Runs as root.
set -eu
export DEBIAN_FRONTEND=noninteractive

policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
fi

# Debian's postgresql package makes a system cluster and starts it at every boot, unless told not to.
clusters=/etc/postgresql-common/createcluster.d
if [ ! -d /etc/postgresql-common ]; then
    mkdir -p "$clusters"
    echo 'create_main_cluster = false' >"$clusters/no-main-cluster.conf"
fi

# One that is there may be another's: of Docker's own packages, or of Kubernetes.
had_containerd=
command -v containerd >/dev/null && had_containerd=1

apt-get update -q
[ $# -gt 0 ] || exit 0
apt-get install -y -q --no-install-recommends "$@"

if [ -d /run/systemd/system ]; then
    for package in "$@"; do
        case $package in
        rabbitmq-server | pgbouncer) systemctl disable --quiet "$package" ;;
        nginx-light) systemctl disable --quiet nginx ;;
        docker.io)
            systemctl disable --quiet docker.service docker.socket
            [ -n "$had_containerd" ] || systemctl disable --quiet containerd.service
            ;;
        esac
    done
fi
