# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# Sourced by init: the directors, and what is measured of each. An item is
# DIRECTOR[:METHOD]; each builds a new network.

SYN=0x02 ACK=0x10
ALL=0xffffffff
next_new=0 # flows that are new are numbered on, so that none is new twice

# send PROTOCOL FLAGS ADDRESS MASK START PACKETS SLICES [PROFILE]: prints the generator's line
send() { on c tool send c0 "$to" "$from" "$3" "$1" "$2" "$4" "$5" "$6" 64 "$7" "${8:-0}"; }
silently() { send "$@" 0 >/dev/null; }

# measure DIRECTOR METHOD FLOWS PROTOCOL FLAGS ADDRESS MASK START PACKETS
measure() {
	case="\"director\":\"$1\",\"method\":\"$2\",\"flows\":\"$3\",\"protocol\":\"$4\""
	before=$(tool seen /bpf/sink)
	sent=$(send "$4" "$5" "$6" "$7" "$8" "$9" 4)
	echo "M {$case,\"before\":$before,\"after\":$(tool seen /bpf/sink),\"generator\":$sent}"
	# Samples disturb: they are of a second run, with flows that are new if the first had such.
	[ "$PROFILE" = 0 ] || echo "P {$case,$(send "$4" "$5" "$6" "$7" $(($8 + 524288)) "$9" 4 1 |
		sed 's/^{//')"
}

flags_of() { if [ "$1" = tcp ]; then echo $ACK; else echo 0; fi; }

plain() { # plain DIRECTOR: 256 flows to a real server, no service
	for protocol in udp tcp; do
		flags=$(flags_of $protocol)
		silently $protocol "$flags" $RS1 0xff 0 2048
		measure "$1" - 256 $protocol "$flags" $RS1 0xff 0 "$PACKETS"
	done
}

established() { # established DIRECTOR METHOD PROTOCOL FLOWS: opens them, then measures
	flags=$(flags_of "$3") count=$PACKETS
	[ "$4" -gt "$count" ] && count=$4
	# Two packets each: the second one shows that there is a client, also by UDP.
	if [ "$3" = udp ]; then opening=0; else opening=$SYN; fi
	silently "$3" "$opening" $VIP $ALL 0 "$4"
	silently "$3" "$flags" $VIP $ALL 0 "$4"
	silently "$3" "$flags" $VIP 0xff 0 2048
	measure "$1" "$2" "$4" "$3" "$flags" $VIP $(($4 - 1)) 0 "$count"
}

new() { # new DIRECTOR METHOD PROTOCOL: every packet opens a connection
	flags=0
	[ "$3" = udp ] || flags=$SYN
	next_new=$((next_new + 1048576))
	measure "$1" "$2" new "$3" $flags $VIP $ALL $next_new "$PACKETS"
}

director() { # director NAME METHOD: all cases of a director that is set up
	for flows in $FLOWS; do
		for protocol in udp tcp; do
			if [ "$flows" = new ]; then
				new "$1" "$2" $protocol
			else
				established "$1" "$2" $protocol "$flows"
			fi
		done
	done
}

ipvs() { # ipvs METHOD
	case $1 in
	dr) set -- "$1" -g $PORT ;;
	tun) set -- "$1" -i $PORT ;;
	nat) set -- "$1" -m $SERVER_PORT ;;
	esac
	build_world
	sinks tc
	for l4 in -u -t; do
		on d ipvsadm -A $l4 $VIP:$PORT -s rr
		on d ipvsadm -a $l4 $VIP:$PORT -r "$RS1:$3" "$2"
		on d ipvsadm -a $l4 $VIP:$PORT -r "$RS2:$3" "$2"
	done
	director ipvs "$1"
}

xlvs() { # xlvs HOOK METHOD
	build_world
	# "ip netns exec" gives the command a /sys of its own, without a bpffs.
	if on d sh -c 'mount --bind /bpf /sys/fs/bpf && exec sh -e /guest/director.sh "$@"' - \
		"$1" "$2" >/tmp/director.log 2>&1; then
		sed 's/^/H /' /tmp/director.log
	else
		sed 's/^/H /' /tmp/director.log
		echo "F xlvs-$1 $2"
		return
	fi
	sinks "$1"
	director "xlvs-$1" "$2"
}

# The least director of a hook: two MACs and a redirect, whatever the packet is.
redirect() { # redirect HOOK
	build_world
	mkdir /bpf/least
	on d tool forward /bpf/least d1 "$(mac_of r1 r0)" "$(mac_of d d1)"
	attach d dc "$1" /bpf/least
	sinks "$1"
	plain "redirect-$1"
}

drop() { # drop HOOK: the director drops; on XDP this is the generator alone
	build_world
	attach d dc "$1" /bpf/sink
	plain "drop-$1"
}

measure_item() {
	what=${1%%:*} method=${1#*:}
	case $what in
	drop-* | redirect-*) ${what%-*} "${what#*-}" ;;
	route)
		build_world
		sinks tc
		plain route
		;;
	ipvs) ipvs "$method" ;;
	xlvs-*) xlvs "${what#*-}" "$method" ;;
	esac
}
