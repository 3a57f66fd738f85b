"""The settings of training's functions."""

import msgspec


class Settings(msgspec.Struct, frozen=True, rename="upper"):
    """See docs/interfaces.md, "Settings"."""

    fraud_scores_table: str = "fraud-scores"
    fraud_rules_table: str = "fraud-rules"
    fraud_models_bucket: str = ""
    """This region's; the name ends with the region, and another region's differs in that only."""
    training_days: int = 60
    """How many days of due labels a run learns from, is calibrated on and is judged by."""
    label_days: int = 30
    """How old a charge must be to count as good because nobody has said otherwise: most disputes have come by then."""
    held_out_days: int = 7
    """Days for the gate, the newest; as many before them calibrate. Whole weeks, because fraud has a weekly rhythm."""
    shadow_seconds: int = 79_200
    """How long champion and challenger are asked side by side."""
    shadow_charges: int = 1_000
    """Fewer charges with both scores say too little: a block rate of 0.2 % would be two charges."""
    least_frauds: int = 500
    """Of the days that train. Fewer frauds than features times some eight make trees of single cases."""
    least_good: int = 10_000
    """Of the days that train: the strictest knot of the calibration lies at 0.2 % of as many, which is 20 charges."""
