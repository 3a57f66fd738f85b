"""What stands in for AWS and the outside world on one machine. Start reading at `cli.py`, then `platform.py`."""
