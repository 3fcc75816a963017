"""Prints what the rules see of each day: a line for each document of dpb show --json that comes in."""

import json
import sys

text = sys.stdin.read().strip()
data = facts = 0
print("day           plays  spam rate  country entropy       data  fingerprint")
while text:
    show, end = json.JSONDecoder().raw_decode(text)
    text = text[end:].lstrip()
    output, fingerprint = show["outputs"][0], show["outputs"][0]["fingerprint"]
    entropy = next(c["entropy"] for c in fingerprint["columns"] if c["name"] == "country")
    size = len(json.dumps(fingerprint, separators=(",", ":")))
    data, facts = data + output["bytes"], facts + size
    print(f"{show['partition'][4:]} {output['rows']:8,} {output['metrics']['spam_rate']:10.3f} {entropy:16.3f} {output['bytes']:10,} {size:12,}  {show['verdict']}")
print(f"{data:58,} {facts:12,}  bytes")
