"""What shmctx costs, each figure beside its peer in the same run.

One script per question (`python -m bench.get`, ...); `python -m bench` runs all, `python -m bench.demo` the main job.
"""
