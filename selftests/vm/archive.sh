# SPDX-License-Identifier: LGPL-2.1-or-later
# Sourced: the Debian archive that this system's apt already uses, seen through package lists of our own with all suites and
# both architectures. Everything is kept below $cache; the lists are fetched again after a week. Held by one process at a time.
cache=${CKPT_VM:-${XDG_CACHE_HOME:-$HOME/.cache}/ckpt-vm}
mkdir -p "$cache/apt/lists/partial" "$cache/apt/archives/partial" || exit 1
die() { echo "${0##*/}: $*" >&2; exit 1; }
exec 9>"$cache/lock"
flock 9

archive_sources() (
	apt-get indextargets --format '$(REPO_URI) $(RELEASE)' 'Created-By: Packages' | sort -u >"$cache/apt/targets"
	main=$(awk '$1 ~ /\/debian\/?$/ { print $1; exit }' "$cache/apt/targets")
	security=$(awk '$2 ~ /-security$/ { print $1; exit }' "$cache/apt/targets")
	[ "$main" ] || die "apt knows no Debian archive: is this a Debian system?"
	key=/usr/share/keyrings/debian-archive-keyring.gpg
	[ -r $key ] && key="[signed-by=$key] " || key=
	for suite in bullseye bookworm trixie trixie-backports sid experimental; do echo "deb $key$main $suite main"; done
	[ "$security" ] || exit 0
	for suite in bullseye bookworm trixie; do echo "deb $key$security $suite-security main"; done
)
apt() { # TOOL ARGUMENT...
	tool=$1
	shift
	"$tool" -q -o Dir::Etc::sourcelist="$cache/apt/sources.list" -o Dir::Etc::sourceparts=- -o Dir::Etc::parts=- \
		-o Dir::State::lists="$cache/apt/lists" -o Dir::Cache="$cache/apt" -o Dir::State::status=/dev/null \
		-o APT::Architecture=amd64 -o APT::Architectures=amd64,arm64 -o APT::Sandbox::User=root \
		-o APT::Install-Recommends=false -o Acquire::Languages=none -o APT::Get::List-Cleanup=false "$@"
}
archive_kernels() { apt apt-cache search --names-only '^linux-image-[0-9].*-cloud-a' | awk '{ print substr($1, 13) }'; }
# A list of sources that differs is as good as none.
archive_sources >"$cache/apt/sources.new" || exit 1
if ! cmp -s "$cache/apt/sources.new" "$cache/apt/sources.list" || [ ! -e "$cache/apt/fresh" ] ||
	[ "$(find "$cache/apt/fresh" -mtime +7)" ]; then
	rm -f "$cache/apt"/gone-*
	mv "$cache/apt/sources.new" "$cache/apt/sources.list"
	apt apt-get update >"$cache/apt/log" 2>&1
	archive_kernels | sort -uV >"$cache/apt/kernels"
	[ -s "$cache/apt/kernels" ] || die "no packages are to be had: see $cache/apt/log"
	touch "$cache/apt/fresh"
fi
