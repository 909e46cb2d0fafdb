package producer

import (
	"context"
	"errors"
	"fmt"
	"io"
)

// interceptorClosing is the end of the interceptors with a Close method.
type interceptorClosing struct {
	chain  *interceptorChain
	around func(work func())
	all    []*interceptorClose
}

// interceptorClose is the Close of one interceptor. err is valid when done is closed.
type interceptorClose struct {
	name   string
	closer io.Closer
	done   chan struct{}
	err    error
}

// newClosing returns the closing of all interceptors with a Close method. It calls each Close inside around.
func (c *interceptorChain) newClosing(around func(work func())) *interceptorClosing {
	e := &interceptorClosing{chain: c, around: around}
	for i := range c.list {
		if closer, ok := c.list[i].(io.Closer); ok {
			e.all = append(e.all, &interceptorClose{name: c.name(i), closer: closer, done: make(chan struct{})})
		}
	}
	return e
}

// run closes the interceptors one after the other, each on a goroutine of its own. When ctx ends, run stops waiting for
// a hanging Close and closes the remaining interceptors.
func (e *interceptorClosing) run(ctx context.Context) {
	for _, one := range e.all {
		go e.around(func() { e.close(one) })
		select {
		case <-one.done:
		case <-ctx.Done():
		}
	}
}

func (e *interceptorClosing) close(one *interceptorClose) {
	defer close(one.done)
	one.err = fmt.Errorf("samsa: interceptor %s: Close called runtime.Goexit", one.name)
	defer func() {
		if value := recover(); value != nil {
			logPanic(e.chain.logger, "interceptor's Close", value, "interceptor", one.name)
			one.err = fmt.Errorf("samsa: interceptor %s: panic in Close: %v", one.name, value)
		}
	}()
	err := one.closer.Close()
	if err != nil {
		err = fmt.Errorf("samsa: interceptor %s: %w", one.name, err)
	}
	one.err = err
}

// wait waits until every Close has returned.
func (e *interceptorClosing) wait() {
	for _, one := range e.all {
		<-one.done
	}
}

// outcome returns the failures so far, and the Close that has not returned.
func (e *interceptorClosing) outcome() (failed, pending error) {
	for _, one := range e.all {
		select {
		case <-one.done:
			failed = errors.Join(failed, one.err)
		default:
			pending = errors.Join(pending, fmt.Errorf("samsa: interceptor %s: Close has not returned", one.name))
		}
	}
	return failed, pending
}
