package transport

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"reflect"
	"slices"
	"strings"
	"syscall"
)

// This file copies errors of the user's code. The methods Error, Is, As, Unwrap and Timeout of such an error are the
// user's code as well: they may block or panic, and errors.Is calls them on any goroutine, under any lock. freeze calls
// these methods once, inside the gate (user.go), and returns an error without the user's types.

const (
	// maxErrorText is the longest text of a frozen error, in bytes.
	maxErrorText = 4 << 10
	// maxErrorNodes is the largest number of errors visited by freeze in a tree. A tree may have cycles.
	maxErrorNodes = 64
)

// frozenError is a copy of an error of the user's code.
type frozenError struct {
	text    string
	timeout bool
	known   []error // the original and its wrapped errors, if they are the standard library's
}

// Error returns the original's text.
func (e *frozenError) Error() string { return e.text }

// Timeout reports whether the original was a timeout.
func (e *frozenError) Timeout() bool { return e.timeout }

// Unwrap returns the errors of the standard library in the original's tree.
func (e *frozenError) Unwrap() []error { return e.known }

// sentinels are the errors that freeze passes to a user's Is method.
var sentinels = []error{
	io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, net.ErrClosed, os.ErrDeadlineExceeded, context.Canceled,
	context.DeadlineExceeded,
	errors.ErrUnsupported, syscall.ECONNREFUSED, syscall.ECONNRESET, syscall.ECONNABORTED, syscall.EPIPE,
}

// standardPackages are packages of the standard library. Their error types call the user's code only through wrapped
// errors.
var standardPackages = map[string]bool{
	"bufio": true, "context": true, "crypto/tls": true, "crypto/x509": true, "encoding/asn1": true,
	"encoding/pem": true, "errors": true,
	"fmt": true, "internal/poll": true, "io": true, "io/fs": true, "net": true, "net/http": true, "net/netip": true,
	"net/textproto": true,
	"net/url":       true, "os": true, "os/exec": true, "strconv": true, "syscall": true,
}

// freeze returns err if its tree has types of the standard library only, and a frozen copy otherwise. It calls methods
// of err, so it may panic, block, or end its goroutine.
func freeze(err error) error {
	text := err.Error() // also of a standard type: if its fields make Error fail, it fails here
	f := freezer{left: maxErrorNodes}
	if len(text) <= maxErrorText && f.isStandard(err) {
		return err
	}
	f = freezer{left: maxErrorNodes, frozen: &frozenError{text: shorten(text, maxErrorText)}}
	f.visit(err)
	return f.frozen
}

// shorten returns the first bytes of text.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "..."
}

// freezer walks through the tree of an error.
type freezer struct {
	left       int // the number of errors left to visit
	frozen     *frozenError
	hasTimeout bool // timeout is decided, by the first error with a method Timeout
}

// isStandard reports whether the tree has types of the standard library only.
func (f *freezer) isStandard(err error) bool {
	if f.left--; f.left < 0 || !hasStandardType(err) {
		return false
	}
	if op, ok := err.(*net.OpError); ok && (!isStandardAddr(op.Source) || !isStandardAddr(op.Addr)) { //nolint:errorlint // the walk is by hand
		return false
	}
	for _, inner := range unwrap(err) {
		if !f.isStandard(inner) {
			return false
		}
	}
	return true
}

// visit copies from the tree of an error into the frozen one.
func (f *freezer) visit(err error) {
	if sub := (freezer{left: f.left}); sub.isStandard(err) {
		f.left = sub.left
		f.add(err)
		var t interface{ Timeout() bool }
		if errors.As(err, &t) {
			f.setTimeout(t)
		}
		return
	}
	if f.left--; f.left < 0 {
		return
	}
	if t, ok := err.(interface{ Timeout() bool }); ok {
		f.setTimeout(t)
	}
	if x, ok := err.(interface{ Is(error) bool }); ok {
		for _, s := range sentinels {
			if x.Is(s) {
				f.add(s)
			}
		}
	}
	if x, ok := err.(interface{ As(any) bool }); ok {
		var number syscall.Errno
		if x.As(&number) {
			f.add(number)
		}
		var unresolved *net.DNSError
		if x.As(&unresolved) && (&freezer{left: maxErrorNodes}).isStandard(unresolved) {
			f.add(unresolved)
		}
	}
	if op, ok := err.(*net.OpError); ok && op != nil { //nolint:errorlint // the walk is by hand
		f.addOpError(op)
	}
	for _, inner := range unwrap(err) {
		f.visit(inner)
	}
}

// addOpError adds a copy of op if the reason of op is standard. The copy has no addresses, because their types may be
// the user's.
func (f *freezer) addOpError(op *net.OpError) {
	if op.Err == nil || !(&freezer{left: maxErrorNodes}).isStandard(op.Err) {
		return
	}
	f.add(&net.OpError{Op: op.Op, Net: op.Net, Err: op.Err})
}

// setTimeout sets timeout from t. As in errors.As, the first error with the method decides.
func (f *freezer) setTimeout(t interface{ Timeout() bool }) {
	if !f.hasTimeout {
		f.frozen.timeout, f.hasTimeout = t.Timeout(), true
	}
}

// add adds a standard error, unless an added error already matches it.
func (f *freezer) add(err error) {
	if !slices.ContainsFunc(f.frozen.known, func(has error) bool { return errors.Is(has, err) }) {
		f.frozen.known = append(f.frozen.known, err)
	}
}

// unwrap returns the errors wrapped by err.
func unwrap(err error) []error {
	var inner []error
	switch x := err.(type) { //nolint:errorlint // the walk is by hand
	case interface{ Unwrap() error }:
		inner = []error{x.Unwrap()}
	case interface{ Unwrap() []error }:
		inner = slices.Clone(x.Unwrap())
	}
	return slices.DeleteFunc(inner, func(err error) bool { return err == nil })
}

// hasStandardType reports whether v has a type of a standard package, and is no nil pointer.
func hasStandardType(v any) bool {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		if reflect.ValueOf(v).IsNil() {
			return false
		}
		t = t.Elem()
	}
	return standardPackages[t.PkgPath()]
}

func isStandardAddr(a net.Addr) bool { return a == nil || hasStandardType(a) }
