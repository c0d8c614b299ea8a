"""The compiled kernel of the native engine: C sources, their build, and their binding to Python."""
