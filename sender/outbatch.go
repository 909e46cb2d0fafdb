package sender

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// batch is a sealed batch on its way: what the core knows of it, and its bytes.
type outBatch struct {
	state  batchState
	part   *partition
	batch  *accumulator.Batch
	packed bool // its bytes are final: compressed, or not to be
	summed bool // it has its checksum

	try  uint32  // counts its attempts; the answer to an earlier one than the last means nothing any more
	sent *broker // where it was sent last

	rescheduleOnWrite atomic.Bool // a connection's write was in the way of its next attempt

	abandoned *record.Error // it failed while a worker had it, which settles it then
	name      int           // in the trace
}

// attempt is one journey of a batch to a broker, in a request.
type attempt struct {
	*outBatch
	try     uint32
	topicID protocol.UUID // what the topic was then
}

// beingWritten reports whether a connection that was given up still writes the batch under its old sequence, so that it cannot
// get another one yet. The partition is scheduled when that is over.
func (c *outBatch) beingWritten() bool {
	c.rescheduleOnWrite.Store(true) // first said, then looked; letGo does it the other way round
	return c.batch.Retained()
}

// writeDone is called when a connection has written the batch, or has failed to.
func (t attempt) writeDone() {
	t.batch.Release()
	if t.rescheduleOnWrite.Swap(false) {
		t.part.mu.Lock()
		t.part.scheduleLocked(time.Now())
		t.part.mu.Unlock()
	}
}
