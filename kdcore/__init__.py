"""Knowledge distillation in PyTorch: spec and inputs in, student and honest report out.

Importing this package loads no torch. The torch-free part (`kdcore.spec`, `kdcore.errors`,
`kdcore.catalog`, `kdcore.report`, `kdcore.progress`) is what a web process may import; the
rest trains. The front door is `kdcore.run.run`.
"""

__version__ = "0.1.0"
