"""`payments demo` plays and keeps what it promises."""


def test_the_demo_plays_to_its_end(cloud, cli):
    run = cli("demo")

    for scene in ("succeeded", "replayed", "422", "blocked", "declined", "refund.succeeded", "deleted"):
        assert scene in run.stdout.lower(), run.stdout
