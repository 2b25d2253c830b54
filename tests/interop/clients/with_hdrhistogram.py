"""hdrhistogram: reads a run's series.hlog as any other log of HdrHistogram, and must find what the run itself reports."""
import json
import sys
from pathlib import Path

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogReader

WEEK_US = 7 * 24 * 3600 * 1000 * 1000

run = Path(sys.argv[1])
reader = HistogramLogReader(str(run / "series.hlog"), HdrHistogram(1, WEEK_US, 3))
tagged = {}
untagged = HdrHistogram(1, WEEK_US, 3)
while (interval := reader.get_next_interval_histogram()) is not None:
    tag = interval.get_tag()
    if tag is None:
        untagged.add(interval)
    elif "phase=warmup" not in tag:
        metric = tag.split(";")[0]
        tagged.setdefault(metric, HdrHistogram(1, WEEK_US, 3)).add(interval)

compared = 0
for metric in json.loads((run / "report.json").read_text())["metrics"]:
    read = tagged.get(metric["key"])
    if read is None:
        continue
    assert read.get_total_count() == metric["count"], (metric, read.get_total_count())
    for percent, told in ((50, metric["med"]), (90, metric["p90"]), (99, metric["p99"]), (99.9, metric["p999"])):
        # It rounds ranks, where others take the next higher one: up to one value apart.
        rank = 100 / metric["count"]
        low, high = (read.get_value_at_percentile(min(max(at, 0), 100)) / 1000 for at in (percent - rank, percent + rank))
        assert low * 0.998 <= told <= high * 1.002 + 0.002, (metric["key"], percent, low, told, high)
    assert abs(read.get_mean_value() / 1000 - metric["avg"]) <= metric["avg"] / 500 + 0.002, metric
    compared += 1
whole = sum(h.get_total_count() for name, h in tagged.items() if name == "delivery_latency")
assert untagged.get_total_count() >= whole > 0, (untagged.get_total_count(), whole)
assert compared >= 3, sorted(tagged)
print(f"{compared} metrics, {untagged.get_total_count()} deliveries")
