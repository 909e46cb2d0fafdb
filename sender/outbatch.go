package sender

import (
	"strconv"
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// outBatch is a sealed batch on its way: the core's view of it, and its bytes.
type outBatch struct {
	state delivery.Batch
	part  *partition
	batch *accumulator.Batch

	stamped uint64 // the core's numbering of the identity and sequence in the bytes
	summed  bool   // the bytes have their checksum

	sent *broker // the broker of the last request; nil if no request had the batch

	rescheduleOnWrite atomic.Bool // a connection's write was in the way of its next attempt

	name int // in the trace
}

// String returns the batch's name in the trace.
func (c *outBatch) String() string { return strconv.Itoa(c.name) }

// attempt is one journey of a batch to a broker, in a request.
type attempt struct {
	*outBatch
	number  uint32
	topicID protocol.UUID // the topic's id at that time
}

// isStale reports whether the core has given the attempt up: its end has no effect, and its partition may be forgotten.
func (t attempt) isStale() bool { return t.number != t.state.Attempt() }

// stamp writes the batch's identity, sequence and checksum into its bytes. A retry under the same sequence keeps its
// bytes.
func (c *outBatch) stamp(idempotent bool) {
	if idempotent && c.stamped != c.state.Numbering() {
		id := c.state.Identity()
		record.SetProducer(c.batch.Bytes(), id.ID, id.Epoch, c.state.Sequence())
		c.stamped, c.summed = c.state.Numbering(), false
	}
	if !c.summed {
		record.SetChecksum(c.batch.Bytes())
		c.summed = true
	}
}

// beingWritten reports whether a connection that was given up still writes the batch under its old sequence: the batch
// cannot get another one yet. The end of the write schedules the partition.
func (c *outBatch) beingWritten() bool {
	c.rescheduleOnWrite.Store(true) // set before the read; writeDone releases before it reads the flag
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
