# Sourced by the other scripts: finds Python, installs missing system packages, keeps .venv in step with pyproject.toml.
# JAMID_VENV=DIR uses another virtual environment than .venv, JAMID_PYTHON=PROGRAM another interpreter.

root=$(CDPATH='' cd -- "$(dirname -- "$0")/.." && pwd)
venv=${JAMID_VENV:-$root/.venv}
PATH=$PATH:/usr/sbin:/sbin

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$*"; exit 1; }
# usage: the text at the top of the script.
usage() { sed -n '2,/^set/{s/^# \{0,1\}//p;}' "$0"; }

# as_root COMMAND...: runs it as root, asking for the password only when there is no other way.
as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else return 1
  fi
}

has_library() {
  { ldconfig -p 2>/dev/null | grep -q "$1"; } || ls /usr/lib/*/"$1"* /usr/lib/"$1"* >/dev/null 2>&1
}

# need PACKAGE CHECK...: adds PACKAGE to $missing unless CHECK succeeds.
missing=
need() {
  package=$1
  shift
  "$@" >/dev/null 2>&1 || missing="$missing $package"
}

# install_missing: installs $missing with apt; returns 1 when that cannot be done here.
install_missing() {
  [ -n "$missing" ] || return 0
  if ! command -v apt-get >/dev/null; then
    say "please install the packages that correspond to Debian's:$missing"
    return 1
  fi
  say "installing:$missing"
  # Services that come with the packages (a TURN server, a port mapper) are for the tests to start, not for the machine.
  as_root sh -c '
    export DEBIAN_FRONTEND=noninteractive
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
      trap "rm -f $policy" EXIT
      printf "#!/bin/sh\nexit 101\n" >"$policy" && chmod 755 "$policy"
    fi
    apt-get install -y -q --no-install-recommends "$@" || { apt-get update -q && apt-get install -y -q --no-install-recommends "$@"; }
  ' sh $missing >&2 || {
    say "could not install:$missing (as root: apt-get install$missing)"
    return 1
  }
  missing=
}

find_python() {
  for candidate in "${JAMID_PYTHON-}" python3 python3.14 python3.13 python3.12 python3.11; do
    [ -n "$candidate" ] || continue
    python=$(command -v "$candidate" 2>/dev/null) || continue
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' && return 0
  done
  die "Python 3.11 or newer is needed (Debian 12, Ubuntu 24.04 and later have it: apt-get install python3)"
}

# Packages without which the daemon does not start, and those without which it has no sound.
need_runtime_packages() {
  need libopus0 has_library libopus.so.0
  need libportaudio2 has_library libportaudio.so.2
  need libasound2-plugins sh -c 'ls /usr/lib/*/alsa-lib/libasound_module_pcm_pulse.so'
  need dbus command -v dbus-daemon
  [ -x "$venv/bin/python" ] || need python3-venv "$python" -c 'import ensurepip, venv'
}

# make_venv EXTRAS: creates $venv and installs the project into it unless the stamp says that it is as wanted already.
make_venv() {
  wanted="$1 $root $(cat "$root/pyproject.toml" "$root/scripts/environment.sh" | sha256sum)"
  stamp=$venv/.jamid-installed
  if [ -x "$venv/bin/python" ] && [ -e "$stamp" ]; then
    # What was installed with more extras serves those who want fewer.
    while read -r line; do
      case $line in "$wanted" | "fast,dev ${wanted#* }") return 0 ;; esac
    done <"$stamp"
  fi
  if [ ! -x "$venv/bin/python" ]; then
    say "creating $venv"
    "$python" -m venv "$venv" || die "cannot create $venv (apt-get install python3-venv)"
  fi
  say "installing jamid and what it needs into $venv"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable "$root[$1]" ||
    die "pip could not install jamid; its message is above"
  printf '%s\n' "$wanted" >"$stamp"
}
