package transport

import (
	"math/rand/v2"
	"time"
)

// Backoff is Kafka's backoff between attempts (KIP-580). The delay starts at Initial and doubles with every failure, up
// to Max. Every delay has a jitter of 20 %, so that many clients do not reconnect at the same moment.
type Backoff struct {
	Initial, Max time.Duration
}

// Delay returns how long to wait after the given number of failures in a row. Without failures the delay is 0.
func (b Backoff) Delay(failures int) time.Duration {
	if failures <= 0 || b.Initial <= 0 {
		return 0
	}
	d := b.Initial
	for i := 1; i < failures && d < b.Max; i++ {
		d *= 2
	}
	if d > b.Max {
		d = max(b.Max, b.Initial)
	}
	return time.Duration(float64(d) * (0.8 + 0.4*rand.Float64()))
}
