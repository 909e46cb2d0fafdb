package transport

import (
	"context"
	"fmt"
	"runtime/debug"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// This file is the gate for the user's code that opens connections: Options.Dialer, and the resolver, which a user can
// replace through net.DefaultResolver. Such code may ignore its context, panic, or call runtime.Goexit. The gate runs
// it on a goroutine of its own:
//
//   - If the code hangs, the caller waits only until its context ends. The goroutine ends when the user's code returns,
//     and closes the late connection.
//   - A panic and runtime.Goexit fail the dial.
//   - The error is frozen: see freeze.
//
// Until the end of the first exchange, the setup of a dialer's connection runs on the dialer's goroutine, because the
// connection's methods are the user's code too.

// UserCalls counts the running calls of a Dialer, or of the resolver. At most mostUserCalls calls run for one address.
// Without this limit, code that never returns would block one more goroutine with every attempt. The zero value is
// ready; a nil UserCalls neither counts nor limits. It is safe for many goroutines.
type UserCalls struct {
	mu      lockrank.Mutex[lockrank.TransportUserCalls]
	running map[string]int
}

// mostUserCalls is the limit for one address. The metadata client and the sender may dial the same address at the same
// time, each with several attempts still inside the user's code.
const mostUserCalls = 8

// begin counts a call. It returns false if mostUserCalls calls are running for the address.
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

// userCall is a call of the user's code for opening connections, or of code on a connection of the user's.
type userCall[T any] struct {
	name    string // of the code, for errors
	address string
	run     func(ctx context.Context) (T, error)
	discard func(T) // gets a result after the caller has stopped waiting
	// exited returns the reason why run called runtime.Goexit, nil if unknown.
	exited func() error
}

// result is the result of a userCall.
type result[T any] struct {
	value T
	err   error
}

// await returns the call's result, or the cause of ctx's end. ctx must end at some time.
func (u userCall[T]) await(ctx context.Context, o *Options) (T, error) {
	var none T
	if !o.UserCalls.begin(u.address) {
		return none, fmt.Errorf("%w: the %s has not returned from its last %d calls", ErrUserCode, u.name,
			mostUserCalls)
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
	lockrank.AssertNone(u.name)
	var r result[T]
	returned := false
	defer func() {
		if !returned {
			r.err = u.goexit()
		}
		o.UserCalls.end(u.address)
		select {
		case came <- r:
		case <-ctx.Done(): // the caller has stopped waiting
			if r.err == nil {
				u.discard(r.value)
			}
		}
	}()
	r.value, r.err = u.run(ctx)
	returned = true
}

// goexit returns the error of a call that runtime.Goexit ended.
func (u userCall[T]) goexit() error {
	if u.exited != nil {
		if err := u.exited(); err != nil {
			return err
		}
	}
	return fmt.Errorf("%w: the %s called runtime.Goexit", ErrUserCode, u.name)
}

// runUser calls the user's code on the current goroutine. It returns a panic as an error, and freezes the code's error.
func runUser[T any](o *Options, name, address string, code func() (T, error)) (value T, err error) {
	defer func() {
		if v := recover(); v != nil {
			text := shorten(fmt.Sprint(v), 200)
			err = fmt.Errorf("%w: the %s panicked: %s", ErrUserCode, name, text)
			o.Logger.Error(name+" panicked", "address", address, "panic", text, "stack", string(debug.Stack()))
		}
	}()
	if value, err = code(); err != nil {
		err = freeze(err)
	}
	return value, err
}
