"""The offline rules: a brief is read (`reading`), planned (`planner`) and judged (`critic`)."""
