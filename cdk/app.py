"""Entry point of the CDK CLI (cdk.json): a stage per region, and one for what is no region's own."""

from aws_cdk import App, Tags

from cdk.config import REGIONS, read
from cdk.stage import GlobalStage, PlatformStage


def build(app: App) -> App:
    """Fill an app with the deployment that its context describes. Raises config.ConfigError if there is none."""
    config = read(app.node.try_get_context)
    for region in REGIONS:
        PlatformStage(app, region, config=config.seen_from(region))
    if config.domain and not config.vault_base_only:
        GlobalStage(app, "global", config=config, domain=config.domain)
    Tags.of(app).add("application", "payments")
    Tags.of(app).add("environment", config.environment)
    return app


if __name__ == "__main__":
    build(App()).synth()
