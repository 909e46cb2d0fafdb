# Measures everything and writes BENCHMARKS.md. It takes most of an hour, and wants a quiet machine. The page
# shows the figures of the last three runs beside each other.
bench:
	cd bench && GOWORK=off go run . suite -data results.json -out ../BENCHMARKS.md -plots docs/bench -readme ../README.md

.PHONY: bench
