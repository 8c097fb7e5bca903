"""The benchmarks that come with clipbench, one file each: declarations only."""
