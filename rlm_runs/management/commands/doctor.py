"""`manage.py doctor` checks database, broker, workers, sandboxes, endpoints and disk, and says what to do."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentParser
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand

from rlm_runs.doctor.findings import Finding, Status
from rlm_runs.doctor.report import examine

_STYLES = {Status.OK: "SUCCESS", Status.WARN: "WARNING", Status.FAIL: "ERROR"}


class Command(BaseCommand):
    """A command that prints all findings. Exits with code 1 if any check fails; warnings leave it 0."""

    help = "Checks the installation and says what to do about each problem."
    requires_system_checks = ()

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Adds --json."""
        parser.add_argument("--json", action="store_true", help="print one JSON array")

    def handle(self, *args: Any, **options: Any) -> None:
        """Prints each finding when it is made."""
        findings = []
        for finding in examine():
            findings.append(finding)
            if not options["json"]:
                self._print(finding)
        if options["json"]:
            self.stdout.write(json.dumps([asdict(finding) for finding in findings], indent=2))
        failed = sum(finding.status is Status.FAIL for finding in findings)
        if failed:
            if not options["json"]:
                self.stdout.write(f"{failed} of {len(findings)} checks failed")
            sys.exit(1)

    def _print(self, finding: Finding) -> None:
        style = getattr(self.style, _STYLES[finding.status])
        self.stdout.write(f"{style(f'{finding.status:5}')}{finding.subject:22}{' '.join(finding.found.split())}")
        if finding.advice:
            self.stdout.write(f"{'':27}→ {finding.advice}")
