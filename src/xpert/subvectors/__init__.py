"""Sub-vector sources: who turns a word into a sub-vector. One method a file; names are in `xpert.registry.SUBVECTORS`."""
