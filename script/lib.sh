# SPDX-License-Identifier: Apache-2.0
# Sourced by the scripts beside it: where we are, how to speak, how to show progress.

set -euo pipefail
ROOT="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$ROOT"
VENV="$ROOT/.venv"
BUILD="$ROOT/build"
export PIP_DISABLE_PIP_VERSION_CHECK=1 PYTHONDONTWRITEBYTECODE="${PYTHONDONTWRITEBYTECODE:-}"

say() { printf '%s\n' "==> $*"; }
die() {
	printf '%s\n' "$*" >&2
	exit 1
}

# Commands to run when the script ends, however it ends.
at_exit=()
run_at_exit() {
	local command
	for command in "${at_exit[@]}"; do $command 2>/dev/null || true; done
}
trap run_at_exit EXIT

need_root() {
	[ "$(id -u)" = 0 ] || die "$1 needs root, for eBPF and network namespaces: run it as root (sudo $1)"
}

# step TITLE COMMAND...: run with the output kept in build/, a dot every three
# seconds, the time at the end; on failure the output's last lines.
step() {
	local title="$1" log begin pid status=0
	shift
	mkdir -p "$BUILD"
	log="$BUILD/$(printf '%s' "$title" | tr -cs 'A-Za-z0-9' '-').log"
	begin=$SECONDS
	printf '  %s ' "$title"
	"$@" >"$log" 2>&1 </dev/null &
	pid=$!
	# A background job of a script does not hear Ctrl-C: end it with us.
	at_exit+=("kill $pid")
	while kill -0 "$pid" 2>/dev/null; do
		sleep 0.1
		if ((++ticks % 30 == 0)); then printf '.'; fi
	done
	wait "$pid" || status=$?
	if ((status)); then
		printf ' failed (%d s)\n' $((SECONDS - begin))
		tail -n 40 "$log" >&2
		die "$title failed; the whole output is in $log"
	fi
	unset 'at_exit[-1]'
	printf ' (%d s)\n' $((SECONDS - begin))
}
ticks=0

# hash FILES...: one word that changes when any of them does.
hash() { cat -- "$@" | sha256sum | cut -d' ' -f1; }
