"""Published benchmarks on any model and decoder: `sets` reads them, `decoders` writes outputs, `report` counts."""
