"""What the scenario tests, the demo and the benchmarks share: servers, loads, comparison, and the program itself."""
