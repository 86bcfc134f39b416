#!/usr/bin/env bash
# What an operator does with the unit, and what befalls it. Each step leaves a line "NAME: what it
# said" in /steps/said; what systemd itself says is in /steps/log.
exec 2>/steps/log
set -x

say() { printf '%s: %s\n' "$1" "${*:2}" >>/steps/said; }
property() { systemctl show millrace --property "$1" --value; }

# Waits until a property has a value; says what it has at last.
reaches() {
	local name=$1 wanted=$2 left=600
	until [[ "$(property "$name")" == "$wanted" ]] || ((left-- == 0)); do sleep 0.1; done
	property "$name"
}

serves() { reaches StatusText "serving at ws://127.0.0.1:4600"; }

configure() { printf '%s\n' "$1" >/etc/millrace/millrace.yaml; }

trap 'systemctl --force exit' EXIT
ip link set lo up
useradd --system millrace
mkdir /etc/millrace
configure "num.partitions: 1"

systemctl start millrace
say start $? "$(property ActiveState)" "$(property StatusText)"
say user "$(ps -o user= -p "$(property MainPID)")"
printf 'one\ntwo\n' | millrace produce lines
say produce $?

configure "num.partitions: 2"
systemctl reload millrace
say reload $? "$(serves)"

kill -KILL "$(property MainPID)"
say killed "$(reaches NRestarts 1)" "$(serves)"
say consume "$(millrace consume lines --from-beginning --exit-at-end | tr '\n' ' ')"

# An event loop that stands still.
kill -STOP "$(property MainPID)"
say stopped-process "$(reaches NRestarts 2)" "$(serves)"

configure "num.partitionz: 1"
systemctl reload millrace
say reload-of-nonsense \
	"$(reaches StatusText "serving at ws://127.0.0.1:4600; the configuration could not be used: see the log")"
systemctl restart millrace
say start-of-nonsense "$(reaches ActiveState failed)" "$(property ExecMainStatus)" "$(property NRestarts)"
# It would have been started again by now, if that could mend anything.
sleep 3
say later "$(property ActiveState)" "$(property NRestarts)"

configure "num.partitions: 1"
systemctl reset-failed millrace
systemctl start millrace
say start-again "$(serves)"
systemctl stop millrace
say stop "$(property ActiveState)" "$(property Result)" "$(property ExecMainStatus)"
say end reached
