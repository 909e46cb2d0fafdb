package transport

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"
)

// shortestShare is the least time that one address of a name gets while others wait.
const shortestShare = time.Second

// Dial connects to a broker ("host:port") and learns which requests it speaks. Where a name has several addresses, each is
// tried in turn, with its share of the time, until one of them is a broker. It takes at most Options.SetupTimeout, and ends
// when ctx does; ctx has no meaning for the connection afterwards. The error is an *Error that tells what was found instead
// of a broker.
func Dial(ctx context.Context, o *Options, address string) (*Conn, error) {
	opts := o.withDefaults()
	bounded, cancel := context.WithTimeoutCause(ctx, opts.SetupTimeout, fmt.Errorf("%w after %v", ErrSetupTimeout, opts.SetupTimeout.Round(time.Millisecond)))
	defer cancel()
	targets, err := opts.resolve(bounded, address)
	if err != nil {
		err = explainTimeout(bounded, "the name was not resolved", err)
		return nil, &Error{Address: address, Timeout: isTimeout(err), Err: err}
	}
	var failures []error
	for i, target := range targets {
		c, err := dialOne(bounded, opts, address, target, len(targets)-i)
		if err == nil {
			return c, nil
		}
		if len(targets) > 1 {
			err = fmt.Errorf("%s: %w", target, err)
		}
		failures = append(failures, err)
		if bounded.Err() != nil {
			break
		}
	}
	err = errors.Join(failures...)
	if len(failures) == 1 {
		err = failures[0]
	}
	return nil, &Error{Address: address, Timeout: isTimeout(err), Err: err}
}

// resolve returns the addresses that stand behind one address. A dialer of the user's resolves names itself.
func (o *Options) resolve(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if o.Dialer != nil || net.ParseIP(host) != nil {
		return []string{address}, nil
	}
	found, err := userCall[[]string]{name: "resolver", address: host, discard: func([]string) {}, run: func(ctx context.Context) ([]string, error) {
		return o.lookup(ctx, host)
	}}.await(ctx, o)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	targets := make([]string, len(found))
	for i, ip := range found {
		targets[i] = net.JoinHostPort(ip, port)
	}
	return targets, nil
}

// dialOne makes a connection to one target. While others wait behind it, it gets an equal share of the time that is left.
func dialOne(ctx context.Context, opts *Options, address, target string, waiting int) (*Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && waiting > 1 {
		share := max(time.Until(deadline)/time.Duration(waiting), shortestShare)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, share, fmt.Errorf("%w after %v", ErrSetupTimeout, share))
		defer cancel()
	}
	nc, err := opts.open(ctx, target)
	if err != nil {
		return nil, explainTimeout(ctx, "no connection", err)
	}
	c, err := start(ctx, opts, nc, address)
	if err != nil {
		cut(nc)
		return nil, explainTimeout(ctx, opts.whySilent(address), err)
	}
	return c, nil
}

// open opens the byte stream.
func (o *Options) open(ctx context.Context, target string) (net.Conn, error) {
	nc, err := o.dial(ctx, target)
	if err != nil {
		return nil, err
	}
	if err := o.setBuffers(nc); err != nil {
		cut(nc)
		return nil, fmt.Errorf("the socket's buffers cannot be set: %w", err)
	}
	return nc, nil
}

func (o *Options) dial(ctx context.Context, target string) (net.Conn, error) {
	if o.Dialer == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", target)
	}
	return userCall[net.Conn]{name: "dialer", address: target, discard: cut, run: func(ctx context.Context) (net.Conn, error) {
		nc, err := o.Dialer(ctx, "tcp", target)
		if nc == nil && err == nil {
			err = errors.New("the dialer returned neither a connection nor an error")
		}
		return guard(nc, o.Logger), err
	}}.await(ctx, o)
}

// setBuffers sets the socket's buffers, where the stream has any.
func (o *Options) setBuffers(nc net.Conn) error {
	socket, ok := unguarded(nc).(interface {
		SetWriteBuffer(bytes int) error
		SetReadBuffer(bytes int) error
	})
	if !ok {
		return nil
	}
	if o.SendBuffer > 0 {
		if err := socket.SetWriteBuffer(o.SendBuffer); err != nil {
			return err
		}
	}
	if o.ReceiveBuffer > 0 {
		return socket.SetReadBuffer(o.ReceiveBuffer)
	}
	return nil
}

// longAgo is a deadline that ends reads and writes at once.
var longAgo = time.Unix(1, 0)

// start has the first exchange on a new stream, and makes a Conn of it.
func start(ctx context.Context, opts *Options, nc net.Conn, address string) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { cut(nc) }) // reads and writes end
	h := handshake{stream: nc, reader: new(frameReader), opts: opts, address: address, version: opts.Versions.of(address, time.Now())}
	apis, err := h.apiVersions()
	switch {
	case err == nil:
		opts.Versions.answered(address, h.version)
	case h.ended && ctx.Err() == nil:
		opts.Versions.ended(address, h.version, time.Now())
	}
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	c := &Conn{
		nc: nc, address: address, opts: opts, apis: apis, log: opts.Logger,
		turn: make(chan struct{}, 1), closed: make(chan struct{}), quietSince: time.Now(),
	}
	c.out, c.roomy = newWriter(unguarded(nc), opts.SendBuffer)
	if err := nc.SetDeadline(time.Time{}); err != nil {
		return nil, fmt.Errorf("the connection has no deadlines: %w", err)
	}
	if opts.MaxIdle > 0 {
		c.armed = c.quietSince.Add(opts.MaxIdle)
		if err := nc.SetReadDeadline(c.armed); err != nil {
			return nil, fmt.Errorf("the connection has no deadlines: %w", err)
		}
	}
	c.Throttle(h.throttle)
	c.log.Debug("connected", "address", address, "remote", nc.RemoteAddr(), "apis", len(apis))
	opts.History.note(address, answeredHello)
	go c.read(h.reader, nil)
	return c, nil
}

// explainTimeout replaces an error that only means "time over" by one that says which time, and what was going on.
func explainTimeout(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %s", context.Cause(ctx), doing)
}
