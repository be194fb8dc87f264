"""How task vectors are summed: one method a file."""
