"""The key of the digests that stand for people in the tables of fraud scoring."""

from aws_cdk import SecretValue

from cdk import names
from cdk.config import Config


def digest_key(config: Config) -> str:
    """In production a reference that CloudFormation resolves, so that the template does not hold it; the operator makes
    the secret, with the same value in every region, before the first deployment."""
    if config.environment == "local":
        return "local"
    return SecretValue.secrets_manager(names.PROFILE_DIGEST_KEY).unsafe_unwrap()
