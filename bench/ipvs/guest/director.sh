# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=sh
#
# director.sh HOOK METHOD, in the director's network namespace: sets xlvs up as an
# operator would, then ends the daemon. What it leaves is measured: the data path.
hook=$1 method=$2 port=$PORT local=
export PYTHONPATH=/xlvs XLVS_INSTANCE=bench
case $method in
dr) flag=-g ;;
tun) flag=-i ;;
nat) flag=-m port=$SERVER_PORT ;;
fullnat)
	flag=--fullnat port=$SERVER_PORT
	local=$(echo "$LOCAL_ADDRESSES" | tr ' ' ,)
	;;
esac

rm -rf /run/xlvs # of the director before this one
: >/tmp/xlvsd.log
# For 131072 flows, and new ones besides, by FULLNAT too (docs/how-to/table-size.md).
"$PYTHON" -m xlvs.daemon --interfaces dc,d1,d2 --hook "$hook" --table-size 524288 \
	${local:+--local-addresses "$local"} >/tmp/xlvsd.log 2>&1 &
daemon=$!
until grep -q ': ready' /tmp/xlvsd.log; do
	if ! kill -0 $daemon 2>/dev/null; then
		cat /tmp/xlvsd.log
		exit 1
	fi
	sleep 0.2
done
for l4 in -u -t; do
	echo "-A $l4 $VIP:$PORT -s rr"
	echo "-a $l4 $VIP:$PORT -r $RS1:$port $flag"
	echo "-a $l4 $VIP:$PORT -r $RS2:$port $flag"
done | "$PYTHON" -m xlvs.cli.ipvsadm -R
"$PYTHON" -m xlvs.cli.ipvsadm -Ln
kill $daemon
wait $daemon
cat /tmp/xlvsd.log
