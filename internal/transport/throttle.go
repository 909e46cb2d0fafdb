package transport

import (
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// A broker over quota responds first and then reads nothing from the connection for the throttle time (KIP-219).
// Requests in flight are late during this time although the broker works. If the client closed the connection, it would
// bypass the quota; and without idempotence its retries would duplicate records that the broker still writes. So a
// throttle moves the deadlines of all calls on its connection.

// Throttle applies the throttle time of a response: from now on the broker reads nothing from the connection for d. All
// calls in flight get d more time, and later calls count their timeout from the end of the throttle. A d below or equal
// to 0 changes nothing, and one above Options.MaxThrottle counts as MaxThrottle.
func (c *Conn) Throttle(d time.Duration) {
	d = min(d, c.opts.MaxThrottle)
	if d <= 0 {
		return
	}
	until := time.Now().Add(d)
	c.mu.Lock()
	defer c.mu.Unlock()
	if until.After(c.throttled) {
		c.throttled = until
	}
	// The read deadline in force may be too early now: see overdue.
	for call := c.head; call != nil; call = call.next {
		call.deadline = call.deadline.Add(d)
	}
	if c.writing == nil {
		return
	}
	if c.writing.NoResponse {
		c.writing.deadline = c.writing.deadline.Add(d)
	}
	c.armWrite(c.bound.Add(d))
}

// ThrottledUntil returns the end of the throttle, which may have passed. It returns zero if the broker has responded
// since the throttle began.
func (c *Conn) ThrottledUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.throttled
}

// throttleTime returns the throttle time of a response.
func throttleTime(resp protocol.Response, version int16) time.Duration {
	return time.Duration(protocol.ThrottleMs(resp, version)) * time.Millisecond
}
