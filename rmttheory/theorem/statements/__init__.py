"""The statements: each module lists its claims in ``CLAIMS``."""
