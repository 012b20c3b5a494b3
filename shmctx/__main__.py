"""`python -m shmctx` is the command `shmctx`."""

from shmctx.cli.main import main

if __name__ == "__main__":
    main()
