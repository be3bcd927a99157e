"""The models and files that pages begin with."""

from docs.conftest import given

__all__ = ["given"]
