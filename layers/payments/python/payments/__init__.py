"""The shared domain of the platform: values first, then the few modules that do I/O with them."""
