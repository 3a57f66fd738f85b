"""Synthesizes the app for the tests, without bundling wheels (one test does that for real)."""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
os.environ["PATH"] = f"{ROOT / 'node_modules/.bin'}{os.pathsep}{os.environ['PATH']}"  # jsii runs on the pinned Node

Resource = dict[str, Any]


@dataclass(frozen=True)
class Synthesized:
    """The cloud assembly of one environment."""

    folder: Path
    templates: dict[str, dict[str, Any]]
    """``<region>/<stack>`` → template."""

    def of_type(self, resource_type: str) -> Iterator[tuple[str, Resource]]:
        """Every resource of a type: its ``<region>/<stack>/<logical id>`` and its definition."""
        for stack, template in self.templates.items():
            for logical_id, resource in template["Resources"].items():
                if resource["Type"] == resource_type:
                    yield f"{stack}/{logical_id}", resource

    def functions(self) -> dict[str, Resource]:
        """The platform's own functions, ``<region>/<function name>`` → properties."""
        return {
            f"{path.split('/')[0]}/{resource['Properties']['FunctionName']}": resource["Properties"]
            for path, resource in self.of_type("AWS::Lambda::Function")
            if "FunctionName" in resource["Properties"]  # CDK's provider of custom resources has none
        }


def synthesize(folder: Path, *, checked: bool, **context: str) -> Synthesized:
    """Synthesize the app with this context on top of cdk.json's.

    ``checked`` lets cdk-nag watch: a finding that nobody acknowledged ends the synthesis with the report.
    """
    from aws_cdk import App, Validations
    from cdk_nag import AwsSolutionsChecks

    from cdk.app import build

    settings = json.loads((ROOT / "cdk.json").read_text())["context"]
    app = App(outdir=str(folder), context={**settings, "aws:cdk:bundling-stacks": [], **context})
    if checked:
        Validations.of(app).add_plugins(AwsSolutionsChecks(app))
    assembly = build(app).synth()
    templates = {
        stack.hierarchical_id: stack.template
        for nested in assembly.nested_assemblies
        for stack in nested.nested_assembly.stacks
    }
    return Synthesized(folder, templates)
