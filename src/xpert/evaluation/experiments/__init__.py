"""The paper's experiments on explanations, a table or figure a file; each returns rows, and lays them out as a table."""
