package producer

import (
	"fmt"
	"log/slog"
	"slices"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// Interceptor sees every record on its way, for tracing, counting or marking. A panic in a method is recovered and
// logged with its stack, and the producer continues with the record.
//
// If an interceptor is also an io.Closer, [Producer.Close] calls its Close after the last outcome, or possibly before
// if the context of [Producer.Close] ends first. The interceptors are closed one after the other, each on a goroutine
// of its own. An interceptor's Close may block: [Producer.Close] waits until its context ends, and then closes the
// other interceptors nevertheless. The error of [Producer.Close] includes an error, a panic and a runtime.Goexit of an
// interceptor's Close.
type Interceptor interface {
	// OnSend runs inside Send on the caller's goroutine, before the partition is chosen, and returns the record to
	// send. OnSend gets a copy of the record, and may change the copy's fields and its list of headers. The bytes of
	// key, value and headers are the caller's: OnSend must not write into them. If OnSend panics or returns nil, the
	// producer uses the record from before this interceptor.
	//
	// OnSend may block. It then delays this Send, even beyond its context and MaxBlock. runtime.Goexit ends the
	// caller's goroutine: Send does not return, and the record is not sent and has no outcome.
	OnSend(r *Record) *Record
	// OnAcknowledgement runs for every record with an outcome, before the record's callback. It gets the RecordMetadata
	// and a nil error, or an error and whatever metadata is known.
	//
	// It should be quick, but may block: later outcomes of the same partition wait, while requests and other partitions
	// go on. It runs on the goroutine of the record's callback, never on the caller's (see [Callback]). After
	// runtime.Goexit the other interceptors and the callback run nevertheless.
	OnAcknowledgement(m RecordMetadata, err error)
}

// interceptorChain runs the interceptors in their order. The zero chain has none and costs a comparison.
type interceptorChain struct {
	list   []Interceptor
	logger *slog.Logger
}

func newInterceptorChain(c *Config) interceptorChain {
	return interceptorChain{list: slices.Clone(c.Interceptors), logger: logOrSilent(c.Logger)}
}

// empty reports whether there is no interceptor: then outcomes need no report.
func (c *interceptorChain) empty() bool { return len(c.list) == 0 }

// onSend returns the record to send: r itself without interceptors, otherwise the copy from the last one.
func (c *interceptorChain) onSend(r *Record) *Record {
	for i := range c.list {
		r = c.intercept(i, r)
	}
	return r
}

// intercept runs one OnSend on a copy of r, so that a panic in the middle leaves r unchanged.
func (c *interceptorChain) intercept(i int, r *Record) *Record {
	offered := *r
	offered.Headers = slices.Clone(r.Headers)
	if changed := c.callOnSend(i, &offered); changed != nil {
		return changed
	}
	return r
}

// callOnSend returns nil after a panic.
func (c *interceptorChain) callOnSend(i int, r *Record) (changed *Record) {
	lockrank.AssertNone("OnSend")
	returned := false
	defer func() {
		if value := recover(); value != nil {
			logPanic(c.logger, "interceptor's OnSend", value, "interceptor", c.name(i))
			changed = nil
		} else if !returned {
			logGoexit(c.logger, "interceptor's OnSend", "interceptor", c.name(i))
		}
	}()
	changed = c.list[i].OnSend(r)
	returned = true
	if changed == nil {
		c.logger.Error("interceptor's OnSend returned no record; it goes on as it was", "interceptor", c.name(i))
	}
	return changed
}

// onAcknowledgement reports an outcome to all interceptors.
func (c *interceptorChain) onAcknowledgement(m RecordMetadata, err error) {
	lockrank.AssertNone("OnAcknowledgement")
	c.acknowledgeFrom(0, m, err)
}

// acknowledgeFrom reports an outcome to interceptor i and all later ones.
func (c *interceptorChain) acknowledgeFrom(i int, m RecordMetadata, err error) {
	next := i
	defer func() {
		if next < len(c.list) {
			// the previous interceptor has called runtime.Goexit; this deferred function runs while its goroutine ends
			c.acknowledgeFrom(next, m, err)
		}
	}()
	for next < len(c.list) {
		next++
		c.callOnAcknowledgement(next-1, m, err)
	}
}

func (c *interceptorChain) callOnAcknowledgement(i int, m RecordMetadata, err error) {
	returned := false
	defer func() {
		if value := recover(); value != nil {
			logPanic(c.logger, "interceptor's OnAcknowledgement", value, "interceptor", c.name(i))
		} else if !returned {
			logGoexit(c.logger, "interceptor's OnAcknowledgement", "interceptor", c.name(i))
		}
	}()
	c.list[i].OnAcknowledgement(m, err)
	returned = true
}

func (c *interceptorChain) name(i int) string { return fmt.Sprintf("%T", c.list[i]) }
