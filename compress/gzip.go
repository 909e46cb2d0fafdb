package compress

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/gzip"
)

// gzipEngine writes one gzip member a call. Levels go to the library as they are; -1 is its own default, near zlib's 6.
type gzipEngine struct {
	level  int
	states sync.Pool // of *gzipState
}

type gzipState struct {
	w   *gzip.Writer
	out appender
}

// appender is an io.Writer onto a byte slice.
type appender struct{ b []byte }

func (a *appender) Write(p []byte) (int, error) {
	a.b = append(a.b, p...)
	return len(p), nil
}

func newGzip(level int) *gzipEngine { return &gzipEngine{level: level} }

func (g *gzipEngine) compress(dst, src []byte) ([]byte, error) {
	s, _ := g.states.Get().(*gzipState)
	if s == nil {
		w, err := gzip.NewWriterLevel(io.Discard, g.level)
		if err != nil {
			return nil, err
		}
		s = &gzipState{w: w}
	}
	s.out.b = dst
	s.w.Reset(&s.out)
	_, err := s.w.Write(src)
	if err == nil {
		err = s.w.Close()
	}
	out := s.out.b
	s.out.b = nil // the pool keeps the state, not the caller's bytes
	g.states.Put(s)
	return out, err
}

// gunzippers holds readers, which are much larger than what they usually read.
var gunzippers sync.Pool // of *gunzipper

type gunzipper struct {
	r  gzip.Reader
	in bytes.Reader
}

func gunzip(dst, src []byte, max int) ([]byte, error) {
	g, _ := gunzippers.Get().(*gunzipper)
	if g == nil {
		g = new(gunzipper)
	}
	g.in.Reset(src)
	out, err := g.read(dst, len(src), max)
	g.in.Reset(nil)
	gunzippers.Put(g)
	return out, err
}

func (g *gunzipper) read(dst []byte, n, max int) ([]byte, error) {
	if err := g.r.Reset(&g.in); err != nil {
		return nil, corrupt(err)
	}
	// Room grows with what arrives. One byte more than allowed is asked for, to tell the end from too much.
	start := len(dst)
	for {
		if len(dst) == cap(dst) {
			dst = slices.Grow(dst, clamp(max-(len(dst)-start)+1, 512, 2*n))
		}
		m, err := g.r.Read(dst[len(dst):cap(dst)])
		dst = dst[:len(dst)+m]
		if len(dst)-start > max {
			return nil, tooLarge(max)
		}
		if err == io.EOF {
			return dst, nil
		}
		if err != nil {
			return nil, corrupt(err)
		}
	}
}

// clamp returns n, but at most the larger of floor and most; floor counts only where n allows it.
func clamp(n, floor, most int) int { return min(n, max(floor, most)) }

func corrupt(err error) error {
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("%w: %w", ErrCorrupt, err)
}

func corruptf(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrCorrupt, fmt.Sprintf(format, args...))
}

func tooLarge(max int) error { return fmt.Errorf("%w (%d bytes)", ErrTooLarge, max) }
