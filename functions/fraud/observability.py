"""The fraud function's logger. What it logs: ids, scores and codes; never an email or IP address."""

from aws_lambda_powertools import Logger

logger = Logger()
