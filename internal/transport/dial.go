package transport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// shortestShare is the least time for one address of a name with further addresses.
const shortestShare = time.Second

// Dial connects to a broker ("host:port") and learns its versions of the requests. If a name has several addresses,
// Dial tries each in turn, with its share of the time, until it finds a broker. Dial takes at most
// Options.SetupTimeout, and ends when ctx ends; later ctx does not affect the connection. The error is an *Error that
// describes the server found at the address.
func Dial(ctx context.Context, o *Options, address string) (*Conn, error) {
	opts := o.withDefaults()
	bounded, cancel := context.WithTimeoutCause(ctx, opts.SetupTimeout,
		fmt.Errorf("%w after %v", ErrSetupTimeout, opts.SetupTimeout.Round(time.Millisecond)))
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

// resolve returns the addresses of a host name. A user's dialer resolves names itself.
func (o *Options) resolve(ctx context.Context, address string) ([]string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if o.Dialer != nil || net.ParseIP(host) != nil {
		return []string{address}, nil
	}
	found, err := userCall[[]string]{name: "resolver", address: host, discard: func([]string) {},
		run: func(ctx context.Context) ([]string, error) {
			return runUser(o, "resolver", host, func() ([]string, error) { return o.lookup(ctx, host) })
		}}.await(ctx, o)
	if err == nil && len(found) == 0 {
		err = &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	if err != nil {
		return nil, plain(err)
	}
	targets := make([]string, len(found))
	for i, ip := range found {
		targets[i] = net.JoinHostPort(ip, port)
	}
	return targets, nil
}

// dialOne makes a connection to one target. It gets an equal share of the time that remains for this target and the
// later ones.
func dialOne(ctx context.Context, opts *Options, address, target string, waiting int) (*Conn, error) {
	if deadline, ok := ctx.Deadline(); ok && waiting > 1 {
		share := max(time.Until(deadline)/time.Duration(waiting), shortestShare)
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, share, fmt.Errorf("%w after %v", ErrSetupTimeout, share))
		defer cancel()
	}
	s := setup{opts: opts, address: address, target: target}
	var c *Conn
	var err error
	if opts.Dialer == nil {
		c, err = s.run(ctx)
	} else {
		c, err = userCall[*Conn]{
			name: "dialer", address: target, run: s.run, exited: s.exited, discard: func(c *Conn) { c.Close(nil) },
		}.await(ctx, opts)
	}
	if err == nil {
		return c, nil
	}
	if s.connected.Load() {
		return nil, explainTimeout(ctx, opts.whySilent(address), err)
	}
	if opts.Dialer != nil {
		return nil, explainTimeout(ctx,
			"the dialer returned no connection: a dialer that makes TLS connections needs a TLS listener", err)
	}
	return nil, explainTimeout(ctx, "no connection", err)
}

// setup makes a Conn to one target. If the user has set a dialer, the whole setup runs on the dialer's goroutine.
type setup struct {
	opts            *Options
	address, target string
	connected       atomic.Bool // the dialer has returned a stream
	stream          byteStream
}

func (s *setup) run(ctx context.Context) (*Conn, error) {
	var err error
	if s.stream, err = s.opts.dial(ctx, s.target); err != nil {
		return nil, err
	}
	ready := false
	defer func() {
		if !ready { // also after runtime.Goexit
			cut(s.stream)
		}
	}()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	if err := s.opts.setBuffers(s.stream); err != nil {
		return nil, fmt.Errorf("the socket's buffers cannot be set: %w", err)
	}
	s.connected.Store(true)
	c, err := start(ctx, s.opts, s.stream, s.address)
	ready = err == nil
	return c, err
}

// exited returns why the user's connection called runtime.Goexit, if it did.
func (s *setup) exited() error {
	if user, ok := s.stream.(*userConn); ok {
		return user.failed()
	}
	return nil
}

// dial opens the byte stream.
func (o *Options) dial(ctx context.Context, target string) (byteStream, error) {
	if o.Dialer == nil {
		var d net.Dialer
		nc, err := d.DialContext(ctx, "tcp", target)
		if err != nil {
			return nil, plain(err)
		}
		return guard(nc, o.Logger), nil
	}
	nc, err := runUser(o, "dialer", target, func() (net.Conn, error) {
		nc, err := o.Dialer(ctx, "tcp", target)
		for _, end := range []error{io.EOF, syscall.ECONNRESET} {
			if errors.Is(err, end) {
				err = fmt.Errorf("%w: the server closed the connection during the dial: a dialer that makes TLS connections needs a TLS listener", end)
				break
			}
		}
		return nc, err
	})
	switch {
	case err != nil:
		return nil, plain(err)
	case nc == nil:
		return nil, errors.New("the dialer returned neither a connection nor an error")
	}
	return guard(nc, o.Logger), nil
}

// setBuffers sets the socket's buffers, if the stream has any.
func (o *Options) setBuffers(stream byteStream) error {
	switch stream := stream.(type) {
	case *net.TCPConn:
		return o.setBuffersOf(stream)
	case *userConn:
		if socket, ok := stream.nc.(bufferedSocket); ok {
			return stream.protect("SetWriteBuffer or SetReadBuffer", func() error { return o.setBuffersOf(socket) })
		}
	}
	return nil
}

// bufferedSocket is a connection with buffers.
type bufferedSocket interface {
	SetWriteBuffer(bytes int) error
	SetReadBuffer(bytes int) error
}

func (o *Options) setBuffersOf(socket bufferedSocket) error {
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

// longAgo is a deadline in the past: it ends reads and writes at once.
var longAgo = time.Unix(1, 0)

// start runs the first exchange on a new stream, and returns a Conn for it.
func start(ctx context.Context, opts *Options, stream byteStream, address string) (*Conn, error) {
	stop := context.AfterFunc(ctx, func() { cut(stream) }) // ends reads and writes
	h := handshake{stream: stream, reader: new(frameReader), opts: opts, address: address,
		version: opts.Versions.of(address, time.Now())}
	apis, err := h.apiVersions()
	switch {
	case err == nil:
		opts.Versions.answered(address, h.version)
	case h.ended && ctx.Err() == nil:
		opts.Versions.ended(address, h.version, time.Now())
	}
	c := &Conn{
		nc: stream, address: address, opts: opts, apis: apis, log: opts.Logger,
		writeSem: make(chan struct{}, 1), closed: make(chan struct{}), quietSince: time.Now(),
	}
	var remote string
	if err == nil {
		remote, err = c.prepare()
	}
	// Up to here the end of ctx ends blocked methods of the user's connection.
	if !stop() && err == nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		return nil, err
	}
	if user, ok := stream.(*userConn); ok {
		user.start(func(err error) { c.end(readError(err)) })
	}
	c.Throttle(h.throttle)
	c.log.Debug("connected", "address", address, "remote", remote, "apis", len(apis))
	opts.History.note(address, answeredHello)
	go c.read(h.reader, nil)
	return c, nil
}

// prepare sets the first deadlines, checks the capabilities of the stream, and returns its remote address.
func (c *Conn) prepare() (remote string, err error) {
	if err := c.nc.SetDeadline(time.Time{}); err != nil {
		return "", fmt.Errorf("the connection has no deadlines: %w", err)
	}
	if c.opts.MaxIdle > 0 {
		c.armed = c.quietSince.Add(c.opts.MaxIdle)
		if err := c.nc.SetReadDeadline(c.armed); err != nil {
			return "", fmt.Errorf("the connection has no deadlines: %w", err)
		}
	}
	look := func(nc net.Conn) { // the address may be nil
		c.roomy = roomFor(nc, c.opts.SendBuffer)
		if addr := nc.RemoteAddr(); addr != nil {
			remote = addr.String()
		}
	}
	switch stream := c.nc.(type) {
	case *net.TCPConn:
		c.out.vectored = true
		look(stream)
	case *userConn:
		err = stream.protect("NetConn or RemoteAddr", func() error { look(stream.nc); return nil })
	}
	return remote, err
}

// explainTimeout replaces a bare timeout by an error with the name of the timeout and the step in progress.
func explainTimeout(ctx context.Context, doing string, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return fmt.Errorf("%w: %s", context.Cause(ctx), doing)
}
