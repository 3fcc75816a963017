#!/bin/sh
# Installs what dpb is measured beside into a folder of its own: peers.sh FOLDER [pypi]. What is there already stays, what can't be had is told and left out.
# The folder has bin/NAME of Debian's packages, and NAME/bin/NAME of PyPI's, each in a virtual environment.
set -u
dir=$1
mkdir -p "$dir/bin" "$dir/debian"
dir=$(cd "$dir" && pwd)

lacks() { echo "peers.sh: $1 is not to be had: it is left out" >&2; }

# debian PROGRAM PACKAGE...: the program comes with the first package and needs the libraries of the others.
debian() {
	program=$1
	shift
	if [ -e "$dir/bin/$program" ] || PATH=$PATH:/sbin:/usr/sbin command -v "$program" >/dev/null; then return; fi
	(cd "$dir/debian" && apt-get -qq download "$@" && for p in "$@"; do dpkg -x "$p"_*.deb . || exit 1; done) >"$dir/debian/log" 2>&1
	at=$(find "$dir/debian" -name "$program" -type f -perm -100 | head -n 1)
	if [ -z "$at" ]; then
		lacks "$program"
	elif [ $# = 1 ]; then
		ln -s "$at" "$dir/bin/$program"
	else
		libraries=$(find "$dir/debian" -name '*.so.*' -exec dirname {} + | sort -u | tr '\n' ':')
		printf '#!/bin/sh\nLD_LIBRARY_PATH=%s exec %s "$@"\n' "$libraries" "$at" >"$dir/bin/$program"
		chmod +x "$dir/bin/$program"
	fi
}

# pypi PROGRAM REQUIREMENT...
pypi() {
	program=$1
	shift
	if [ -e "$dir/$program/bin/$program" ]; then return; fi
	rm -rf "${dir:?}/$program"
	if ! { python3 -m venv "$dir/$program" && "$dir/$program/bin/pip" install --quiet --disable-pip-version-check "$@"; } >"$dir/$program.log" 2>&1; then
		rm -rf "${dir:?}/$program"
		lacks "$program ($dir/$program.log)"
	fi
}

debian ninja ninja-build
debian b3sum b3sum
debian mkfs.xfs xfsprogs libinih1 liburcu8
debian bwrap bubblewrap
if [ "${2:-}" = pypi ]; then
	pypi dvc dvc==3.67.1
	pypi snakemake snakemake==9.27.1
	# dbt-core 1.12 needs a package that PyPI has no file of. DuckDB is the version that dpb has.
	pypi dbt dbt-core==1.11.16 dbt-duckdb==1.11.1 duckdb==1.5.6
	pypi sqlmesh sqlmesh==0.236.4 duckdb==1.5.6
fi
exit 0
