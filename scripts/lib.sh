# shellcheck shell=bash
# Makes the checkout ready to run: system packages first, then .venv. Sourced by the scripts beside it.
#
# B1  When everything is in place, `prepare` starts no process and prints nothing.
# B2  .venv counts as ready only if its stamp holds, letter for letter, what it was built from; the stamp
#     is written last, so a build that was cut short is done again.
# B3  Two scripts never build at once (flock).
# B4  Nothing here writes to standard output: that belongs to the command itself.
#
# MAKFS_VENV    another place for the virtual environment
# MAKFS_PYTHON  the interpreter to build it with

set -u

# The scripts source this file by its real path, so links to them and to the checkout are out of the way.
ROOT=${BASH_SOURCE[0]%/scripts/lib.sh}
VENV=${MAKFS_VENV:-$ROOT/.venv}
[[ $VENV == /* ]] || VENV=$PWD/$VENV

say() { printf 'makfs: %s\n' "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Run a command in silence; on failure show all it said.
quietly() {
    local log status
    log=$(mktemp) || exit 1
    "$@" >"$log" 2>&1 </dev/null
    status=$?
    ((status == 0)) || cat -- "$log" >&2
    rm -f -- "$log"
    return "$status"
}

# Set WANTED to what a virtual environment of level $1 (run or dev) is built from.
read_wanted() {
    local project='' pins=''
    IFS= read -r -d '' project <"$ROOT/pyproject.toml"
    IFS= read -r -d '' pins <"$ROOT/constraints.txt"
    WANTED="$ROOT"$'\n'"$project$pins"
}

# Tell whether .venv is ready for level $1 (B1, B2).
venv_ready() {
    local stamp=''
    [[ -x $VENV/bin/python && -r $VENV/makfs-$1.stamp ]] || return 1
    IFS= read -r -d '' stamp <"$VENV/makfs-$1.stamp"
    [[ $stamp == "$WANTED" ]]
}

# Make system packages and .venv ready for level $1: `run` (makfs alone) or `dev` (with checks and tests).
prepare() {
    read_wanted
    find_lacking "$1"
    type -P fusermount3 >/dev/null && type -P bwrap >/dev/null && venv_ready "$1" &&
        ((${#LACKING[@]} == 0)) && return
    find_python
    find_missing
    ((${#MISSING[@]} == 0)) || find_root
    { mkdir -p -- "${VENV%/*}" && : >>"$VENV.lock"; } 2>/dev/null ||
        die "cannot write ${VENV%/*}: run once as its owner, or set MAKFS_VENV"
    (
        flock -n 9 || {
            say "waiting for another script that prepares $VENV"
            flock 9
        }
        prepare_alone "$1" 9>&- # what this starts must not hold the lock when this is gone
    ) 9>>"$VENV.lock" || exit 1
}

# Do what `prepare` promises, holding the lock: another script may just have done it.
prepare_alone() {
    find_python
    find_missing
    ((${#MISSING[@]} == 0)) || install_packages
    venv_ready "$1" || build_venv "$1"
    find_lacking "$1"
    ((${#LACKING[@]} == 0)) || install_lacking
}

# Print what interpreter $1 is: version, real path, and which of its parts (venv, headers) are missing.
describe_python() {
    "$1" - 2>/dev/null <<'EOF'
import importlib.util, os, sys, sysconfig
if sys.version_info < (3, 11):
    raise SystemExit(1)
# The base and its real path: a venv built on a link would break, or lie, when the link moves.
base = os.path.realpath(sys._base_executable)
parts = ["venv"] * any(importlib.util.find_spec(name) is None for name in ("venv", "ensurepip"))
headers = os.path.join(sysconfig.get_path("include"), "Python.h")
parts += ["dev"] * (not os.path.exists(headers))
print("%d.%d" % sys.version_info[:2], ",".join(parts) or "-", base)
EOF
}

# Set PYTHON to the best interpreter of 3.11 or newer ('' if none), PYTHON_VERSION, and PYTHON_LACKS.
find_python() {
    local candidate version lacks path
    PYTHON='' PYTHON_VERSION='' PYTHON_LACKS=''
    for candidate in ${MAKFS_PYTHON:+"$MAKFS_PYTHON"} python3 /usr/bin/python3 python3.{13,12,11}; do
        type -P "$candidate" >/dev/null || continue
        read -r version lacks path < <(describe_python "$candidate") || continue
        [[ -z $PYTHON || $lacks == - ]] || continue
        PYTHON=$path PYTHON_VERSION=$version PYTHON_LACKS=$lacks
        [[ $lacks == - || $candidate == "${MAKFS_PYTHON:-}" ]] && return
    done
    [[ -z ${MAKFS_PYTHON:-} || -n $PYTHON ]] || die "MAKFS_PYTHON=$MAKFS_PYTHON is not a Python of 3.11 or newer"
}

# Set MISSING to the Debian packages that are needed and not there. Looks at what they bring, not at dpkg.
find_missing() {
    MISSING=()
    local package=python3
    if [[ -z $PYTHON ]]; then
        package=$(good_python_package)
        MISSING+=("$package" "$package-venv" "$package-dev")
    else
        [[ $PYTHON == /usr/bin/python3* && $(readlink -f /usr/bin/python3) == "$PYTHON" ]] ||
            package=python$PYTHON_VERSION
        [[ $PYTHON_LACKS != *venv* ]] || MISSING+=("$package-venv")
        [[ $PYTHON_LACKS != *dev* ]] || MISSING+=("$package-dev")
    fi
    type -P fusermount3 >/dev/null || MISSING+=(fuse3)
    type -P bwrap >/dev/null || MISSING+=(bubblewrap) # for makfs run
    type -P gcc >/dev/null || type -P cc >/dev/null || MISSING+=(gcc)
    type -P pkg-config >/dev/null || MISSING+=(pkg-config)
    # Without pkg-config it cannot be asked whether the library is there; naming it does no harm.
    pkg-config --exists fuse3 2>/dev/null || MISSING+=(libfuse3-dev)
}

# Set LACKING to the Debian packages, of level $1, that are not there and without which only tests are skipped:
# programs that edit files, each in a package of its name.
find_lacking() {
    LACKING=()
    [[ $1 == dev ]] || return 0
    local program
    for program in git patch perl rsync vim; do
        type -P "$program" >/dev/null || LACKING+=("$program")
    done
}

# Name the package of a Python of 3.11 or newer that this distribution has.
good_python_package() {
    local name version
    version=$(apt-cache show --no-all-versions python3 2>/dev/null | sed -n 's/^Version: 3\.\([0-9]*\).*/\1/p')
    if [[ -n $version ]] && ((version < 11)); then
        for name in python3.13 python3.12 python3.11; do
            apt-cache show "$name-venv" >/dev/null 2>&1 && printf '%s' "$name" && return
        done
    fi
    printf python3
}

INSTALL=(apt-get install -y --no-install-recommends -o DPkg::Lock::Timeout=120)

# Set AS_ROOT to what makes the installer root; fail if there is no way.
become_root() {
    AS_ROOT=()
    type -P apt-get >/dev/null || return
    ((EUID != 0)) || return 0
    type -P sudo >/dev/null && { sudo -n true 2>/dev/null || [[ -t 0 && -t 2 ]]; } && AS_ROOT=(sudo)
}

# Do so; if there is no way, name the packages and stop.
find_root() {
    type -P apt-get >/dev/null ||
        die "missing: what Debian calls ${MISSING[*]}; install these with this system's package manager"
    become_root && return
    die "missing packages: ${MISSING[*]}; as root, run: ${INSTALL[*]:0:4} ${MISSING[*]}"
}

# Install MISSING.
install_packages() {
    find_root
    AS_ROOT+=(env DEBIAN_FRONTEND=noninteractive)
    say "installing ${MISSING[*]} with apt-get"
    # A failed update is shown but is no reason to stop: the package lists at hand may do.
    quietly "${AS_ROOT[@]}" apt-get update -q ||
        say "apt-get update failed (see above); trying with the lists at hand"
    [[ -n $PYTHON ]] || find_missing # a machine without package lists could not tell which Python it has
    quietly "${AS_ROOT[@]}" "${INSTALL[@]}" "${MISSING[@]}" ||
        die "apt-get failed (see above); needed: ${MISSING[*]}"
    find_python
    find_missing
    ((${#MISSING[@]} == 0)) || die "still missing after the installation: ${MISSING[*]}"
}

# Install LACKING if that can be done; if not, say so and go on.
install_lacking() {
    if become_root; then
        AS_ROOT+=(env DEBIAN_FRONTEND=noninteractive)
        say "installing ${LACKING[*]} with apt-get, for tests"
        quietly "${AS_ROOT[@]}" apt-get update -q
        quietly "${AS_ROOT[@]}" "${INSTALL[@]}" "${LACKING[@]}" && return
    fi
    say "not installed: ${LACKING[*]}; tests that need one of these are skipped"
}

# Build or bring up to date .venv for level $1.
build_venv() {
    local extras='' old='' level
    [[ $1 == run ]] || extras='[dev]'
    for level in run dev; do
        [[ ! -r $VENV/makfs-$level.stamp ]] || IFS= read -r old <"$VENV/makfs-$level.stamp"
        rm -f -- "$VENV/makfs-$level.stamp"
    done
    # One that was moved, or whose interpreter is gone, cannot be mended; any other is brought up to date.
    if [[ $old != "$ROOT" || ! -x $VENV/bin/python ]]; then
        say "creating $VENV with Python $PYTHON_VERSION"
        quietly "$PYTHON" -m venv --clear "$VENV" || die "cannot create $VENV (see above)"
    fi
    say "installing makfs$extras and what it needs into $VENV (about a minute)"
    # PIP_USER=0: a user's own setting for other work would be an error inside a virtual environment.
    (cd -- "$ROOT" && PIP_USER=0 quietly "$VENV/bin/python" -m pip install --quiet --no-input \
        --disable-pip-version-check --editable ".$extras" --constraint constraints.txt) ||
        die "pip failed (see above)"
    printf '%s' "$WANTED" >"$VENV/makfs-run.stamp"
    [[ $1 == run ]] || printf '%s' "$WANTED" >"$VENV/makfs-dev.stamp"
}
