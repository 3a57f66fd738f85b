"""What a Lambda function of the local cloud logged lately."""

from local.deploy import aws
from local.settings import Settings


def recent(at: Settings, region: str, function: str, lines: int) -> list[str]:
    """The last lines of a function's log in a region; none when it has not run."""
    name = function if function.startswith("payments-") else f"payments-{function}"
    logs = aws(at, "logs", region)
    groups = logs.describe_log_groups(logGroupNamePrefix=f"/aws/lambda/{name}")["logGroups"]
    found = [
        event
        for group in groups
        if group["logGroupName"].endswith(name)
        for event in logs.filter_log_events(logGroupName=group["logGroupName"])["events"]
    ]
    latest = sorted(found, key=lambda event: int(event["timestamp"]))[-lines:]
    return [f"{region} {event['message'].rstrip()}" for event in latest]
