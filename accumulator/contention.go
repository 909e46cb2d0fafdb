package accumulator

const (
	// crowdOf is how many appends are looked at together.
	crowdOf = 64
	// crowdWaits is how many of them have waited where it is crowded. A few always do: for those who take batches and settle them.
	crowdWaits = crowdOf / 4
)

// contention finds out whether many goroutines append to a partition at the same time, so that they cost each other more than the records
// do. Partition.mu guards it.
type contention struct {
	appends, waits int8
	much           bool // it was crowded when it was looked at last, and that was not told yet
}

// count counts an append, which has waited for the lock or not.
func (c *contention) count(waited bool) {
	c.appends++
	if waited {
		c.waits++
	}
	if c.appends == crowdOf {
		*c = contention{much: c.waits >= crowdWaits}
	}
}
