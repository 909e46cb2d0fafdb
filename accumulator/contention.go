package accumulator

const (
	// crowdOf is how many appends are looked at together.
	crowdOf = 64
	// crowdWaits is how many of them have waited at a contended partition. A few always do: for the goroutines that
	// take batches and settle them.
	crowdWaits = crowdOf / 4
)

// contention finds out whether many goroutines append to a partition at the same time, and cost each other more than
// the records do. Partition.mu guards it.
type contention struct {
	appends, waits int8
	much           bool // the partition was contended at the last look, not reported yet
}

// count counts an append, with or without a wait for the lock.
func (c *contention) count(waited bool) {
	c.appends++
	if waited {
		c.waits++
	}
	if c.appends == crowdOf {
		*c = contention{much: c.waits >= crowdWaits}
	}
}
