package sender

import (
	"flag"
	"io"
)

// Replay is replay, for the simulation of the whole producer, which stands outside of this package.
func Replay(log io.Reader) (events int, err error) { return replay(log) }

// SimulationRuns says which seeds a simulation runs: -seed and -count, or as many as usual from the first one on.
func SimulationRuns(usual int) (first int64, count int) {
	count = usual
	flag.Visit(func(f *flag.Flag) {
		if f.Name == "count" {
			count = *simCount
		}
	})
	return *simSeed, count
}
