#!/bin/sh
# Makes a stand-in for debian:bookworm-slim of Debian's own packages. `cargo xtask images` runs it, as root: the argument
# is the name of the image to make, DOCKER the client, DOCKER_HOST the engine, HASH what is noted in a label.
# TASKMASTER_DEBIAN_MIRROR names another mirror than debootstrap's own.
set -eu
name=$1
folder=$(mktemp -d "${TMPDIR:-/tmp}/taskmaster-debian.XXXXXX")
trap 'rm -rf "$folder"' EXIT
trap 'exit 130' INT TERM HUP

debootstrap --variant=minbase --merged-usr bookworm "$folder" ${TASKMASTER_DEBIAN_MIRROR:+"$TASKMASTER_DEBIAN_MIRROR"}

# debootstrap has written its mirror there; the security updates are beside it.
mirror=$(awk '$1 == "deb" { print $2; exit }' "$folder/etc/apt/sources.list")
cat >"$folder/etc/apt/sources.list" <<END
deb $mirror bookworm main
deb $mirror bookworm-updates main
deb ${mirror%/}-security bookworm-security main
END
# What Debian's official images do: no service starts, no packages are kept, none is listed in other languages.
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d"
chmod 755 "$folder/usr/sbin/policy-rc.d"
cat >"$folder/etc/apt/apt.conf.d/docker" <<'END'
DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb /var/cache/apt/*.bin || true"; };
Dir::Cache::pkgcache "";
Dir::Cache::srcpkgcache "";
Acquire::Languages "none";
Apt::AutoRemove::SuggestsImportant "false";
END
cat >"$folder/etc/dpkg/dpkg.cfg.d/docker" <<'END'
force-unsafe-io
path-exclude /usr/share/doc/*
path-include /usr/share/doc/*/copyright
path-exclude /usr/share/info/*
path-exclude /usr/share/locale/*
path-exclude /usr/share/man/*
END
# What makes the slim one slim.
find "$folder/usr/share/doc" -type f ! -name copyright -delete
find "$folder/usr/share/doc" -depth -type d -empty -delete
rm -rf "$folder"/usr/share/info/* "$folder"/usr/share/man/* "$folder"/usr/share/locale/* \
    "$folder"/var/cache/apt/* "$folder"/var/lib/apt/lists/* "$folder"/var/log/*.log "$folder"/var/log/apt \
    "$folder"/var/cache/debconf/*-old "$folder"/var/lib/dpkg/*-old "$folder"/var/cache/ldconfig/aux-cache
rm -f "$folder/etc/hostname" "$folder/etc/resolv.conf"

tar -C "$folder" --numeric-owner --sort=name --mtime=@0 -c . |
    "$DOCKER" import --change 'CMD ["bash"]' \
        --change "LABEL taskmaster.stand-in=\"Debian 12 made by debootstrap\" taskmaster.stand-in.hash=$HASH" - "$name"
