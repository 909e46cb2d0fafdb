package sender

import (
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// Some error codes say that the metadata is out of date (see protocol.ErrorCode.RefreshMetadata). Others do not, and a former leader may
// answer with them all the same: NOT_ENOUGH_REPLICAS when the other replicas have left it, REQUEST_TIMED_OUT when no replica follows it. So
// the client requests metadata, whatever the code, when a leader has refused a partition's batches for a while.
const (
	refusalsInARow = 3
	refusedFor     = time.Second
)

// refusals counts how often in a row the present leader has refused a partition's batches. partition.mu guards it.
type refusals struct {
	count int
	since time.Time
}

// add takes the code of an answer. It reports whether the metadata is due; then counting starts again.
func (r *refusals) add(code protocol.ErrorCode, now time.Time) bool {
	if code == protocol.None || code == protocol.DuplicateSequenceNumber {
		r.count = 0
		return false
	}
	if r.count++; r.count == 1 {
		r.since = now
		return false
	}
	if r.count < refusalsInARow && now.Sub(r.since) < refusedFor {
		return false
	}
	r.count = 0
	return true
}
