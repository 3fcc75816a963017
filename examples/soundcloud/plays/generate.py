"""Invents what the players send on one day.

usage: generate.py DAY TRACKS.csv OUTPUT.ndjson

All follows from SEED, the day and the catalogue. As in life, a play may come twice, come after midnight in the file of the next day, have no user, or
name a country in a way of its own. On RELEASE and on the days of ATTACKS more comes than on others.
"""

import csv
import datetime
import itertools
import json
import os
import random
import sys

SEED = os.environ["SEED"]

COUNTRIES = ["DE", "FR", "GB", "SE", "US"]
SPELLINGS = {"DE": "de", "FR": "fr", "GB": "UK", "SE": "se", "US": "??"}
LISTENERS = 300
ROBOTS = 8

RELEASE = datetime.date(2017, 6, 8)  # of SINGLE, for which 250 people in Sweden come who listen to nothing else
SINGLE = 141
ATTACKS = {datetime.date(2017, 6, 5): 40, datetime.date(2017, 6, 9): 500}  # with so many accounts, all over the world: first a try
ALBUM = [111, 112, 113, 114, 115]  # is what all of them play, once


def tastes(tracks):
    """Says for each country how often each track is played beside the others: the first of its charts most."""
    weights = {}
    for country in COUNTRIES:
        order = random.Random(f"{SEED} {country}").sample(tracks, len(tracks))
        weights[country] = [1 / (1 + order.index(track)) for track in tracks]
    return weights


def listens(rng, tracks, tastes):
    """Yields user, country, track, second of the day and seconds played."""
    for user in range(1, LISTENERS + 1):
        country = COUNTRIES[user % len(COUNTRIES)]
        for track in rng.choices(tracks, tastes[country], k=rng.randint(2, 16)):
            yield user, country, track, rng.randrange(86400), rng.randint(5, 240)
    for user in range(9001, 9001 + ROBOTS):  # one track again and again, each just long enough to be paid
        track, begin = rng.choice(tracks), rng.randrange(70000)
        for n in range(rng.randint(60, 120)):
            yield user, COUNTRIES[user % len(COUNTRIES)], track, begin + 35 * n, 31


def news(rng, day):
    """Yields what comes only on special days, as listens does."""
    for user in range(1001, 1251) if day == RELEASE else ():
        for _ in range(rng.randint(1, 5)):
            yield user, "SE", SINGLE, rng.randrange(86400), rng.randint(60, 240)
    for user in range(20001, 20001 + ATTACKS.get(day, 0)):
        begin = rng.randrange(86000)
        for n, track in enumerate(ALBUM):
            yield user, COUNTRIES[user % len(COUNTRIES)], track, begin + 35 * n, 31


def sent(day, tracks):
    """Yields the plays of a day, each with the number of days that it is on its way."""
    rng = random.Random(f"{SEED} {day}")
    midnight = datetime.datetime.combine(day, datetime.time())
    plays = itertools.chain(listens(rng, tracks, tastes(tracks)), news(rng, day))
    for number, (user, country, track, second, seconds) in enumerate(plays):
        play = {
            "event_id": int(f"{day:%Y%m%d}{number:05}"),
            "user_id": None if rng.random() < 0.005 else user,
            "track_id": track,
            "country": SPELLINGS[country] if rng.random() < 0.02 else country,
            "played_at": (midnight + datetime.timedelta(seconds=second)).isoformat(),
            "seconds": seconds,
        }
        for _ in range(2 if rng.random() < 0.015 else 1):
            yield (1 if rng.random() < 0.03 else 0), play


def main(day, catalogue, output):
    day = datetime.date.fromisoformat(day)
    with open(catalogue, encoding="utf-8", newline="") as file:
        tracks = [track for row in csv.DictReader(file) if (track := int(row["track_id"])) != SINGLE]
    with open(output, "w", encoding="utf-8") as file:
        for late in (1, 0):
            for days, play in sent(day - datetime.timedelta(days=late), tracks):
                if days == late:
                    file.write(json.dumps(play) + "\n")


main(*sys.argv[1:])
