"""Language models: one module or sub-package per provider."""

__all__: list[str] = []
