"""CloudWatch metrics that alarms and the dashboard look at, by the minute."""

from aws_cdk import Duration
from aws_cdk import aws_cloudwatch as cloudwatch

from cdk import names

MINUTE = Duration.minutes(1)

CHECK_PERIOD = Duration.hours(6)
CHECK_PERIODS = 5
"""The balance check and reconciliation are daily: after 30 hours one is missing, however long the last one took."""


def own(name: str, statistic: str = "Sum") -> cloudwatch.Metric:
    """A metric that the platform's functions write themselves."""
    return metric(names.METRICS, name, statistic, {})


def executions(machine: str, name: str) -> cloudwatch.Metric:
    """How many executions of the state machine of this ARN have ended so: ``ExecutionsFailed``."""
    return metric("AWS/States", name, "Sum", {"StateMachineArn": machine})


def api(name: str, statistic: str, of: str = names.API) -> cloudwatch.Metric:
    """A metric of a REST API's stage."""
    return metric("AWS/ApiGateway", name, statistic, {"ApiName": of, "Stage": names.API_STAGE})


def route(name: str, statistic: str, of: str) -> cloudwatch.Metric:
    """A metric of one route of the merchants' API: ``/api/v1/tokens/POST``."""
    resource, method = of.rsplit("/", 1)
    dimensions = {"ApiName": names.API, "Stage": names.API_STAGE, "Resource": resource, "Method": method}
    return metric("AWS/ApiGateway", name, statistic, dimensions)


def function(name: str, statistic: str, of: str) -> cloudwatch.Metric:
    """A metric of a Lambda function."""
    return metric("AWS/Lambda", name, statistic, {"FunctionName": of})


def queue(name: str, of: str) -> cloudwatch.Metric:
    """A metric of a queue."""
    return metric("AWS/SQS", name, "Maximum", {"QueueName": of})


def metric(namespace: str, name: str, statistic: str, dimensions: dict[str, str]) -> cloudwatch.Metric:
    """Any metric."""
    return cloudwatch.Metric(
        namespace=namespace, metric_name=name, statistic=statistic, dimensions_map=dimensions, period=MINUTE
    )
