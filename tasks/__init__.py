"""The bundled benchmarks, one file per data set: declarations only."""
