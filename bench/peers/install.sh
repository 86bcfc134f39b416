#!/usr/bin/env bash
# Installs what `npm run bench:peers` measures Millrace beside, below bench/peers/.installed: Apache
# Kafka from Maven, NATS as a Go module, Redis and librdkafka from Debian (these two for the whole
# machine), their clients for Node from npm. Needs Debian, Node with npm, Java 17 with Maven, Go and a
# C compiler. Arguments are the peers to install: kafka, nats, redis; all without any.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

nats_server=v2.15.3
jars_list=../../test/integration/programs/java/pom.xml
jars_of_ci=../../.ci/tools/kafka/lib
installed="$PWD/.installed"

as_root() {
	if [[ "$(id -u)" == 0 ]]; then "$@"; else sudo "$@"; fi
}

# A server that comes with a package is not to run beside what is measured: policy-rc.d forbids it.
debian_packages() {
	dpkg --status "$@" >/dev/null 2>&1 && return
	local policy=/usr/sbin/policy-rc.d
	if [[ ! -e "$policy" ]]; then
		trap "as_root rm -f $policy" EXIT
		printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
		as_root chmod +x "$policy"
	fi
	as_root apt-get update -qq
	as_root env DEBIAN_FRONTEND=noninteractive \
		apt-get install -y -qq --no-install-recommends "$@"
}

# The jars that the tests use, where these are there already.
install_kafka() {
	debian_packages librdkafka-dev libssl-dev
	mkdir -p "$installed/kafka"
	if [[ -e "$jars_of_ci/.complete" ]]; then
		ln -sfn "$(realpath "$jars_of_ci")" "$installed/kafka/lib"
	elif [[ ! "$installed/kafka/lib/.complete" -nt "$jars_list" ]]; then
		rm -rf "$installed/kafka/lib"
		mvn -q -B -f "$jars_list" dependency:copy-dependencies \
			-DoutputDirectory="$installed/kafka/lib"
		touch "$installed/kafka/lib/.complete"
	fi
	cc -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Werror -o "$installed/kafka-load" \
		load/kafka-load.c -lrdkafka -lcrypto
	sha256sum <load/kafka-load.c | cut -d " " -f 1 >"$installed/kafka-load.sha256"
}

install_nats() {
	GOBIN="$installed" go install "github.com/nats-io/nats-server/v2@$nats_server"
}

install_redis() {
	debian_packages redis-server
}

install_npm_packages() {
	cp clients/package.json clients/package-lock.json "$installed/"
	npm ci --prefix "$installed" --no-audit --no-fund --loglevel=error
}

[[ $# -gt 0 ]] || set -- kafka nats redis
mkdir -p "$installed"
for peer in "$@"; do "install_$peer"; done
install_npm_packages
