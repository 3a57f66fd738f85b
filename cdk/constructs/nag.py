"""Acknowledged findings of cdk-nag: one finding, one construct, one reason."""

from aws_cdk import Acknowledgment, Validations
from constructs import IConstruct


def acknowledge(construct: IConstruct, finding: str, reason: str) -> None:
    """Accept one finding (``AwsSolutions-IAM5[Resource::*]``) on a construct and what is inside it."""
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))
