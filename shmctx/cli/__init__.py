"""The commands `shmctx` and `shmctx-recover`. The only importers of click and rich."""
