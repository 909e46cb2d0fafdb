package transport

import (
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// A broker over quota responds first and then reads nothing from the connection for the throttle time (KIP-219). The
// waiting requests are late through no fault of the broker. If the client cut the connection, it would bypass the
// quota, and without idempotence repeat records on their way into the log. So a throttle moves the deadlines of all
// calls on its connection.

// Throttle notes a response's throttle: from now on the broker reads nothing from the connection for d. All calls in
// flight get d more time, and later calls count their timeout from the end of the throttle. A d below or equal to 0
// changes nothing, and one above Options.MaxThrottle counts as MaxThrottle.
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

// ThrottledUntil returns the end of the throttle, zero when the broker has responded since it began. It may have
// passed.
func (c *Conn) ThrottledUntil() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.throttled
}

// throttleTime returns the throttle time of a response.
func throttleTime(resp protocol.Response, version int16) time.Duration {
	return time.Duration(protocol.ThrottleMs(resp, version)) * time.Millisecond
}
