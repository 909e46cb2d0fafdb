# Measures everything and writes BENCHMARKS.md. It takes about two hours, and wants a quiet machine.
bench:
	cd bench && GOWORK=off go run . suite -data results.json -out ../BENCHMARKS.md -plots docs/bench -readme ../README.md

.PHONY: bench
