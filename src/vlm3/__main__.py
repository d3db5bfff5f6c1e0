"""`python -m vlm3`: the command line."""

from vlm3.cli.main import main

if __name__ == "__main__":
    main(prog_name="vlm3")
