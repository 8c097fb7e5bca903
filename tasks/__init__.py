"""The bundled benchmarks: declarations only, one file per dataset."""
