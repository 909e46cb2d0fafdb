package producer

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/record"
	"github.com/gosamsa/samsa/sender"
)

// closer is the one end of a producer. mu guards what stands below it.
type closer struct {
	begin sync.Once
	abort sync.Once
	end   sync.Once

	interceptors *interceptorClosing
	ended        chan struct{} // closed when nothing of the producer runs any more

	mu   sync.Mutex
	left sender.Left
	why  error
	err  error // valid when ended is closed
}

func (c *closer) init(l *listener) {
	c.interceptors, c.ended = l.chain.newClosing(l.Run), make(chan struct{})
}

// Close refuses new records, delivers what is buffered, and ends the producer: its connections and goroutines. When ctx ends
// first, what is left fails with [ErrClosed], and the error is a [*CloseError] that says how many records that were and how
// many of them may have been written. It also says how many records failed unheard: with no callback, and their Future never
// asked. Its text names what the oldest record waited for. Without either, Close returns nil.
//
// Close returns when all of this is done, or when ctx ends, whatever brokers and the user's code do. After the last record it cuts
// every connection, closes the interceptors, and waits until callbacks, interceptors and the log handler have returned. What has not
// returned when ctx ends keeps its goroutine until it returns. An interceptor's Close that has not returned is an error.
//
// Called from inside a callback, an interceptor's Close or a log handler it fails at once with [ErrInCallback]. Calling it twice is fine:
// the end that comes first counts for all.
func (p *Producer) Close(ctx context.Context) error {
	if p.listener.InCallback() || p.logMark.isOnStack() {
		return fmt.Errorf("samsa: close: %w", ErrInCallback)
	}
	if ctx == nil {
		ctx = context.Background()
	}
	c := &p.closer
	c.begin.Do(func() {
		p.closed.Store(true)
		p.close(record.ErrClosed)
		p.acc.Close(&record.Error{Partition: -1, Err: record.ErrClosed})
	})
	if err := p.acc.Flush(ctx); err != nil {
		c.abort.Do(func() {
			left := p.sender.Abort(record.ErrClosed)
			c.mu.Lock()
			c.left, c.why = left, err
			c.mu.Unlock()
		})
	}
	c.end.Do(func() {
		// Close cuts all connections before its first wait.
		p.sender.Cut()
		p.cluster.Close()
		p.acc.ReportUnheard()
		go p.finish(ctx)
	})
	select {
	case <-c.ended:
	case <-ctx.Done():
	}
	return p.closeResult(ctx)
}

// finish ends what runs after the connections. Its waits for library and user code end with ctx. Then it goes on with what comes next, and
// the end is when all of it has returned.
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
	failed, _ := c.interceptors.outcome()
	c.mu.Lock()
	c.err = p.closeError(c.why, failed)
	c.mu.Unlock()
	close(c.ended)
}

// closeResult is what Close returns when the producer, or ctx, has ended.
func (p *Producer) closeResult(ctx context.Context) error {
	c := &p.closer
	select {
	case <-c.ended:
		return c.err
	default:
	}
	failed, pending := c.interceptors.outcome()
	c.mu.Lock()
	defer c.mu.Unlock()
	why := c.why
	if why == nil && pending != nil {
		why = errors.Join(accumulator.ContextError(ctx), pending)
	}
	return p.closeError(why, failed)
}

// closeError puts the error of Close together; closer.mu is held.
func (p *Producer) closeError(why, interceptors error) error {
	left, unheard := p.closer.left, p.acc.Unheard()
	if left.Records == 0 && unheard == 0 && why == nil {
		return interceptors
	}
	return &CloseError{Left: left.Records, MaybeWritten: left.MaybeWritten, Unheard: unheard, Err: errors.Join(why, interceptors)}
}
