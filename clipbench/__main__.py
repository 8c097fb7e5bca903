"""`python -m clipbench` is `clipbench`."""

from clipbench.cli import main

main()
