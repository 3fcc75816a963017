"""Says of each play how sure it is that a robot made it.

usage: classify.py PLAYS.csv OUTPUT.csv

Robots play one track again and again: the confidence is the share of a user's plays of the day that are of one track, and the less the fewer plays
there are. Or they are a crowd of accounts that play the same track for the same time. From THRESHOLD on a play is spam.
"""

import collections
import csv
import os
import sys

THRESHOLD = float(os.environ["THRESHOLD"])
ENOUGH = 20  # plays, so many that half of the evidence is there
CROWD = 30  # accounts


def confidences(plays):
    """Returns the confidence for each user."""
    tracks = collections.defaultdict(collections.Counter)
    for play in plays:
        tracks[play["user_id"]][play["track_id"]] += 1
    return {user: max(counts.values()) / (counts.total() + ENOUGH) for user, counts in tracks.items()}


def crowds(plays):
    """Returns the pairs of a track and seconds that a crowd played."""
    accounts = collections.defaultdict(set)
    for play in plays:
        accounts[play["track_id"], play["seconds"]].add(play["user_id"])
    return {what for what, users in accounts.items() if len(users) >= CROWD}


def main(source, output):
    with open(source, encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        plays = list(reader)
    of, crowded = confidences(plays), crowds(plays)
    with open(output, "w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, [*reader.fieldnames, "confidence", "is_spam"], lineterminator="\n")
        writer.writeheader()
        for play in plays:
            if play["user_id"]:
                confidence = 0.99 if (play["track_id"], play["seconds"]) in crowded else of[play["user_id"]]
                play |= {"confidence": f"{confidence:.3f}", "is_spam": str(confidence >= THRESHOLD).lower()}
            writer.writerow(play)


main(*sys.argv[1:])
