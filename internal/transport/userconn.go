package transport

import (
	"fmt"
	"log/slog"
	"net"
	"runtime/debug"
	"time"
)

// userConn is a connection of the user's dialer that is no plain socket. A panic in its methods ends the connection, not the program.
type userConn struct {
	net.Conn
	log *slog.Logger
}

// guard wraps a dialer's connection. A socket needs no guard, and is written to in another way.
func guard(nc net.Conn, log *slog.Logger) net.Conn {
	if _, socket := nc.(*net.TCPConn); socket || nc == nil {
		return nc
	}
	return &userConn{nc, log}
}

// unguarded returns the dialer's own connection.
func unguarded(nc net.Conn) net.Conn {
	if c, ok := nc.(*userConn); ok {
		return c.Conn
	}
	return nc
}

// recovered is deferred around a method. After a panic it sets the method's error.
func (c *userConn) recovered(method string, err *error) {
	if v := recover(); v != nil {
		text := fmt.Sprint(v)
		*err = fmt.Errorf("%w: %s of the dialer's connection panicked: %.200s", ErrUserCode, method, text)
		c.log.Error("connection panicked", "method", method, "panic", text, "stack", string(debug.Stack()))
	}
}

func (c *userConn) Read(b []byte) (n int, err error) {
	defer c.recovered("Read", &err)
	return c.Conn.Read(b)
}

// Write counts a byte as written if it panics: nobody knows what has left.
func (c *userConn) Write(b []byte) (n int, err error) {
	n = 1
	defer c.recovered("Write", &err)
	return c.Conn.Write(b)
}

func (c *userConn) Close() (err error) {
	defer c.recovered("Close", &err)
	return c.Conn.Close()
}

func (c *userConn) SetDeadline(t time.Time) (err error) {
	defer c.recovered("SetDeadline", &err)
	return c.Conn.SetDeadline(t)
}

func (c *userConn) SetReadDeadline(t time.Time) (err error) {
	defer c.recovered("SetReadDeadline", &err)
	return c.Conn.SetReadDeadline(t)
}

func (c *userConn) SetWriteDeadline(t time.Time) (err error) {
	defer c.recovered("SetWriteDeadline", &err)
	return c.Conn.SetWriteDeadline(t)
}
