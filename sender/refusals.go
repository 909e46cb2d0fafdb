package sender

import (
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// Some error codes mean that the metadata is out of date (see protocol.ErrorCode.RefreshMetadata). Others do not, and a
// former leader may answer with them all the same: NOT_ENOUGH_REPLICAS when the other replicas have left it,
// REQUEST_TIMED_OUT when no replica follows it. So the client requests metadata after a while of refusals by a leader,
// with any code.
const (
	refusalsInARow = 3
	refusedFor     = time.Second
	// movesInARow is the number of refusals for outdated metadata without a warning: leaders move.
	movesInARow = 3
)

// refusals counts how often in a row the present leader has refused a partition's batches. partition.mu guards it.
type refusals struct {
	count int // since the metadata was requested
	since time.Time
	row   int
}

// isWorthAWarning reports whether a warning is due after the last refusal, with this code. tired is the result of add.
func (r *refusals) isWorthAWarning(code protocol.ErrorCode, tired bool) bool {
	most := refusalsInARow
	if code.RefreshMetadata() {
		most = movesInARow + 1
	}
	return code.Retriable() && (r.row == most || r.row > most && tired)
}

// add takes the code of an answer. It reports whether the metadata is due; then counting starts again.
func (r *refusals) add(code protocol.ErrorCode, now time.Time) bool {
	if code == protocol.None || code == protocol.DuplicateSequenceNumber {
		*r = refusals{}
		return false
	}
	r.row++
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
