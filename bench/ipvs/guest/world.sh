# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Sourced by init: a network in four namespaces.
#
#   client c0 10.77.1.2 --- 10.77.1.1 dc director d1 10.77.2.1 --- 10.77.2.2 r0 real server 1
#                                VIP 10.77.100.1  d2 10.77.3.1 --- 10.77.3.2 r0 real server 2
#
# Clients' addresses are 10.78.0.0/16, behind c0.

export VIP=10.77.100.1 PORT=80 SERVER_PORT=8080 RS1=10.77.2.2 RS2=10.77.3.2
export LOCAL_ADDRESSES="10.77.2.101 10.77.2.102"

on() { # on NAMESPACE COMMAND...
	namespace=$1
	shift
	ip netns exec "$namespace" "$@"
}

mac_of() { on "$1" cat "/sys/class/net/$2/address"; }

wipe() {
	rm -rf /bpf/*
	for n in c d r1 r2; do ip netns del $n 2>/dev/null; done
	sleep 1 # namespaces go away in the background; guest time is cheap
}

pair() { # pair NAMESPACE IF NAMESPACE IF ADDRESS ADDRESS
	ip link add "$2" netns "$1" type veth peer name "$4" netns "$3"
	ip -n "$1" addr add "$5/24" dev "$2"
	ip -n "$3" addr add "$6/24" dev "$4"
	ip -n "$1" link set "$2" up
	ip -n "$3" link set "$4" up
	on "$1" tool gro "$2"
	on "$3" tool gro "$4"
}

build_world() {
	wipe
	for n in c d r1 r2; do
		ip netns add $n
		ip -n $n link set lo up
		on $n sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 \
			net.ipv6.conf.all.disable_ipv6=1 net.ipv4.conf.all.send_redirects=0
	done
	pair c c0 d dc 10.77.1.2 10.77.1.1
	pair r1 r0 d d1 $RS1 10.77.2.1
	pair r2 r0 d d2 $RS2 10.77.3.1
	on d sysctl -qw net.ipv4.ip_forward=1
	ip -n d addr add $VIP/32 dev lo
	for a in $LOCAL_ADDRESSES; do ip -n d addr add "$a/32" dev d1; done
	ip -n d neigh add 10.77.1.2 lladdr "$(mac_of c c0)" dev dc nud permanent
	ip -n d neigh add $RS1 lladdr "$(mac_of r1 r0)" dev d1 nud permanent
	ip -n d neigh add $RS2 lladdr "$(mac_of r2 r0)" dev d2 nud permanent
	ip -n d route add 10.78.0.0/16 via 10.77.1.2
	mkdir -p /bpf/sink
	tool sink /bpf/sink
	to=$(mac_of d dc) from=$(mac_of c c0)
}

attach() { # attach NAMESPACE IF xdp|tc FOLDER
	if [ "$3" = xdp ]; then
		ip -n "$1" link set "$2" xdpdrv pinned "$4/xdp"
	else
		on "$1" tc qdisc add dev "$2" clsact
		on "$1" tc filter add dev "$2" ingress bpf direct-action pinned "$4/tc"
	fi
}

# What consumes packets at the real servers: XDP where the director is one, because
# packets come to it as frames then; else TC.
sinks() { # sinks xdp|tc
	attach r1 r0 "$1" /bpf/sink
	attach r2 r0 "$1" /bpf/sink
}
