"""The one logger of the platform. Card data never reaches it: values that cross the vault's wall carry none."""

from aws_lambda_powertools import Logger

logger = Logger()
