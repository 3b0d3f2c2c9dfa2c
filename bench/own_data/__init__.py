"""A person's own CSV or Parquet file, for ``train`` and ``predict``: read with errors that help, made ready, kept."""
