def chaos() -> None:
    """to come"""
