package producer

import (
	"context"
	"fmt"
	"sync"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/record"
	"github.com/gosamsa/samsa/sender"
)

// closer is the state of Close, shared by all its calls. mu guards the fields below it.
type closer struct {
	begin sync.Once
	abort sync.Once
	end   sync.Once
	count sync.Once // of the unobserved failures

	interceptors *interceptorClosing
	ended        chan struct{} // closed when all goroutines and user code of the producer have returned

	mu              lockrank.Mutex[lockrank.ProducerCloser]
	left            sender.Undelivered
	why             error
	unobserved      int64
	firstUnobserved error
}

func (c *closer) init(l *listener) {
	c.interceptors, c.ended = l.chain.newClosing(l.Run), make(chan struct{})
}

// Close refuses new records, delivers the buffered ones, and ends the producer: its connections and goroutines. If ctx
// ends first, the remaining records fail with [ErrClosed], and the error is a [*CloseError]. It has the number of these
// records, of records that may be written, and of callbacks that have not returned; do not read the results of such
// callbacks yet. Its text names the obstacle of the oldest record. Close also returns a *CloseError for failures
// without an observer, neither a callback nor a call of the Future, and for an interceptor's Close that has not
// returned. Close returns nil if all records were acknowledged or their failures were observed, and all user code has
// returned.
//
// Give Close a context of its own. The context of a stopped service has ended already: with it Close fails every
// buffered record.
//
// After the last record Close cuts every connection, closes the interceptors, and waits until callbacks, interceptors
// and the log handler have returned. Close returns when these steps are done or ctx ends, even if brokers or the user's
// code hang. User code that has not returned when ctx ends keeps its goroutine until it returns.
//
// Inside a callback, an interceptor's Close or a log handler, Close fails at once with [ErrInCallback]. A second Close
// waits for the callbacks, interceptors and log handler that the first call left running. The first call decides which
// records fail, and every call reports these.
func (p *Producer) Close(ctx context.Context) error {
	if p.listener.InCallback() || p.logMark.isOnStack() {
		return fmt.Errorf("samsa: close: %w", ErrInCallback)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	c := &p.closer
	late := ctx.Err() != nil
	c.begin.Do(func() {
		p.closed.Store(true)
		p.close(record.ErrClosed)
		p.acc.Close(&record.Error{Partition: -1, Err: record.ErrClosed})
	})
	err := p.waiting.wait(ctx) // closing wakes the waiting calls
	if err == nil {
		err = p.acc.Flush(ctx)
	}
	if err != nil {
		c.abort.Do(func() {
			if late {
				err = fmt.Errorf("its context ended before Close began, give it one of its own: %w", err)
			}
			p.countUnobserved() // without the failures of this step
			left := p.sender.Abort(record.ErrClosed)
			c.mu.Lock()
			c.left, c.why = left, err
			c.mu.Unlock()
		})
	}
	c.end.Do(func() {
		// Close cuts all connections before its first wait.
		p.room.end()
		p.sender.Cut()
		p.cluster.Close()
		p.countUnobserved()
		go p.finish(ctx)
	})
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	return p.closeResult(ctx)
}

// countUnobserved counts and logs the unobserved failures so far.
func (p *Producer) countUnobserved() {
	c := &p.closer
	c.count.Do(func() {
		p.acc.ReportUnobserved()
		n, first := p.acc.Unobserved(), p.acc.FirstUnobserved()
		c.mu.Lock()
		defer c.mu.Unlock()
		c.unobserved, c.firstUnobserved = n, first
	})
}

// finish ends the parts of the producer that outlive the connections, one after the other. When ctx ends, finish stops
// waiting for a part and goes on with the next one. It closes ended after all parts have returned.
func (p *Producer) finish(ctx context.Context) {
	c := &p.closer
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		p.sender.Wait()
	}()
	select {
	case <-stopped:
	case <-ctx.Done():
	}
	c.interceptors.run(ctx)
	p.log.Close()
	p.log.Flush(ctx)

	<-stopped
	c.interceptors.wait()
	p.log.Flush(context.Background())
	close(c.ended)
}

// closeResult returns the result of Close after the end of the producer or of ctx.
func (p *Producer) closeResult(ctx context.Context) error {
	failed, pending := p.closer.interceptors.outcome()
	c := &p.closer
	c.mu.Lock()
	why := c.why
	e := &CloseError{Undelivered: c.left.Records, MaybeWritten: c.left.MaybeWritten, Unobserved: c.unobserved,
		FirstUnobserved: c.firstUnobserved}
	c.mu.Unlock()
	if ctx.Err() != nil {
		e.PendingCallbacks = p.acc.PendingCallbacks()
	}
	switch {
	case e.Undelivered == 0 && e.PendingCallbacks == 0 && pending == nil:
		why = nil // a later call has waited for the leftovers of the first one
	case why == nil:
		why = accumulator.ContextError(ctx)
	}
	if why == nil && e.Unobserved == 0 {
		return failed
	}
	e.Err = inOneLine(why, pending, failed)
	return e
}

// inOneLine joins errors like [errors.Join], but on one line. It ignores nil errors.
func inOneLine(errs ...error) (all error) {
	for _, err := range errs {
		switch {
		case all == nil:
			all = err
		case err != nil:
			all = fmt.Errorf("%w; %w", all, err)
		}
	}
	return all
}
