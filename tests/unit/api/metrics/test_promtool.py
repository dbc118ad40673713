# SPDX-License-Identifier: Apache-2.0
"""What Prometheus's own tool says of metrics, rules and the example configuration."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.unit.api.metrics.scraping import text
from tests.unit.datapath_plan.build import World, add, add_service

PACKAGING = Path(__file__).parents[4] / "packaging/prometheus"


def promtool(*words, stdin=None):
    done = subprocess.run(
        ["promtool", *words], input=stdin, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done


def test_metrics_follow_the_conventions():
    world = World()
    world.do(add_service(), add(1))
    done = promtool("check", "metrics", stdin=text(world))
    assert (done.stdout, done.stderr) == ("", "")


def test_rules_are_right_and_fire():
    promtool("check", "rules", "--lint-fatal", str(PACKAGING / "xlvs.rules.yml"))
    promtool("test", "rules", str(PACKAGING / "xlvs.rules.test.yml"))


def test_the_example_is_a_configuration(tmp_path):
    shutil.copy(PACKAGING / "xlvs.rules.yml", tmp_path)
    example = (PACKAGING / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(example.replace("/etc/prometheus/", ""))
    promtool("check", "config", str(tmp_path / "prometheus.yml"))


def test_the_dashboard_asks_what_prometheus_understands(tmp_path):
    panels = json.loads((PACKAGING.parent / "grafana/xlvs.json").read_text())["panels"]
    asked = [each["expr"] for panel in panels for each in panel.get("targets", [])]
    assert asked
    rules = [
        {"record": f"panel:{n}", "expr": each.replace("$__rate_interval", "1m")}
        for n, each in enumerate(asked)
    ]
    # JSON is YAML.
    (tmp_path / "rules.yml").write_text(
        json.dumps({"groups": [{"name": "dashboard", "rules": rules}]})
    )
    promtool("check", "rules", str(tmp_path / "rules.yml"))
