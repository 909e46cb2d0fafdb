package transport

import (
	"context"
	"fmt"
	"net"
	"runtime/debug"
	"sync"
)

// This file is the gate of the user's code that opens connections: Options.Dialer, and the resolver, which the user can replace by
// net.DefaultResolver. Such code may ignore its context, panic, or call runtime.Goexit. The gate runs it on a goroutine of its own:
//
//   - A hang costs the caller no more than its context allows. The goroutine ends when the user's code returns, and closes the
//     connection that comes too late.
//   - A panic and runtime.Goexit fail the dial.

// UserCalls counts the calls of a Dialer, or of the resolver, that have not returned. At most mostUserCalls of them run for an address:
// code that never returns would otherwise keep one more goroutine with every attempt. The zero value is ready; a nil UserCalls
// neither counts nor limits. It is safe for many goroutines.
type UserCalls struct {
	mu      sync.Mutex
	running map[string]int
}

// mostUserCalls is the limit for one address. The metadata client and a broker may dial the same address at a time, each with
// several attempts behind it to which the user's code has not returned yet.
const mostUserCalls = 8

// begin counts a call. It reports false where too many run for the address.
func (c *UserCalls) begin(address string) bool {
	if c == nil {
		return true
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[address] >= mostUserCalls {
		return false
	}
	if c.running == nil {
		c.running = make(map[string]int)
	}
	c.running[address]++
	return true
}

func (c *UserCalls) end(address string) {
	if c == nil {
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.running[address]--; c.running[address] == 0 {
		delete(c.running, address)
	}
}

// userCall is a call of the user's code that opens connections.
type userCall[T any] struct {
	name    string // of the code, in errors
	address string
	run     func(ctx context.Context) (T, error)
	discard func(T) // gets a result that came too late
}

// result is what a userCall returned.
type result[T any] struct {
	value T
	err   error
}

// await returns the call's result, or the cause of ctx's end. ctx must end at some time.
func (u userCall[T]) await(ctx context.Context, o *Options) (T, error) {
	var none T
	if !o.UserCalls.begin(u.address) {
		return none, fmt.Errorf("%w: the %s has not returned from its last %d calls", ErrUserCode, u.name, mostUserCalls)
	}
	came := make(chan result[T])
	go u.call(ctx, o, came)
	select {
	case r := <-came:
		return r.value, r.err
	case <-ctx.Done():
		return none, context.Cause(ctx)
	}
}

// call is the goroutine of one call.
func (u userCall[T]) call(ctx context.Context, o *Options, came chan<- result[T]) {
	r := result[T]{err: fmt.Errorf("%w: the %s called runtime.Goexit", ErrUserCode, u.name)}
	defer func() {
		o.UserCalls.end(u.address)
		select {
		case came <- r:
		case <-ctx.Done(): // the caller has left
			if r.err == nil {
				u.discard(r.value)
			}
		}
	}()
	defer func() {
		if v := recover(); v != nil {
			text := fmt.Sprint(v)
			r.err = fmt.Errorf("%w: the %s panicked: %.200s", ErrUserCode, u.name, text)
			o.Logger.Error(u.name+" panicked", "address", u.address, "panic", text, "stack", string(debug.Stack()))
		}
	}()
	value, err := u.run(ctx)
	if err != nil {
		// This calls the Error method once, on this goroutine, where the method may block or panic. The library uses the text later.
		err = fmt.Errorf("%w", err)
	}
	r = result[T]{value, err}
}

// cut ends a stream and waits for nothing. Closing a socket does not wait; a stream of another kind may, as a TLS connection does
// whose peer reads nothing. The deadline ends reads and writes until then.
func cut(nc net.Conn) {
	if tcp, ok := nc.(*net.TCPConn); ok {
		_ = tcp.Close()
		return
	}
	_ = nc.SetDeadline(longAgo)
	go func() { _ = nc.Close() }()
}
