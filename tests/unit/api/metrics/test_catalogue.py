# SPDX-License-Identifier: Apache-2.0
"""Names, and that whatever is written about them is of metrics that there are."""

from __future__ import annotations

import json
import re
from collections import Counter
from pathlib import Path

import pytest

from xlvs.api.metrics.catalogue import FAMILIES
from xlvs.api.metrics.documentation import renewed
from xlvs.api.metrics.family import Kind

ROOT = Path(__file__).parents[4]
METRICS = ROOT / "docs/how-to/metrics.md"
RULES = ROOT / "packaging/prometheus/xlvs.rules.yml"
DASHBOARD = ROOT / "packaging/grafana/xlvs.json"
NAME = re.compile(r"\b(?:xlvs|node_ipvs|process)_[a-z0-9_]*[a-z0-9]\b")
PROCESS = {
    "process_cpu_seconds_total",
    "process_max_fds",
    "process_open_fds",
    "process_resident_memory_bytes",
    "process_start_time_seconds",
    "process_virtual_memory_bytes",
}


def exported():
    names = set(PROCESS)
    for each in FAMILIES:
        ends = ("_bucket", "_count", "_sum") if each.kind is Kind.HISTOGRAM else ("",)
        names |= {each.name + end for end in ends}
    return names


def test_names_differ_in_both_formats():
    # OpenMetrics knows a counter without _total.
    seen = Counter(each.name.removesuffix("_total") for each in FAMILIES)
    assert [name for name, count in seen.items() if count > 1] == []


@pytest.mark.parametrize("family", FAMILIES, ids=lambda each: each.name)
def test_names_say_what_they_are(family):
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.help.endswith(".")
    assert not {"client", "le", "instance", "job"} & set(family.labels)


@pytest.mark.parametrize("path", [RULES, RULES.with_name("xlvs.rules.test.yml"), DASHBOARD])
def test_what_is_asked_for_is_exported(path):
    asked = set(NAME.findall(path.read_text()))
    assert asked
    assert asked - exported() == set()


def test_the_documentation_names_what_there_is():
    histograms = {each.name for each in FAMILIES if each.kind is Kind.HISTOGRAM}
    text = re.sub(r"node_ipvs_…_total", "", METRICS.read_text())
    assert set(NAME.findall(text)) - exported() - histograms == set()
    assert renewed(METRICS.read_text()) == METRICS.read_text(), "run script/metrics-table"


def test_every_alert_is_explained_and_tested():
    alerts = re.findall(r"- alert: (\w+)", RULES.read_text())
    tested = re.findall(r"alertname: (\w+)", RULES.with_name("xlvs.rules.test.yml").read_text())
    assert sorted(alerts) == sorted(tested)
    assert alerts == re.findall(r"^\| `(Xlvs\w+)` \|", METRICS.read_text(), re.MULTILINE)


def test_the_dashboard_can_be_imported():
    found = json.loads(DASHBOARD.read_text())
    panels = [each for each in found["panels"] if each["type"] != "row"]
    assert panels
    assert len({each["id"] for each in found["panels"]}) == len(found["panels"])
    for panel in panels:
        assert all(each["expr"] for each in panel["targets"]), panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
