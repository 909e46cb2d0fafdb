package testbroker

import (
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

// socketBuffer is how many bytes one direction of an in-memory connection holds before a Write waits, as the buffers of
// a loopback socket do.
const socketBuffer = 128 << 10

// stream is one direction of an in-memory connection: a bounded buffer between a writer and a reader. All waiting is on
// a sync.Cond: it counts as durably blocked inside a testing/synctest bubble.
type stream struct {
	mu   sync.Mutex
	cond sync.Cond

	// held[off:] are the bytes written and not yet read.
	held []byte
	off  int

	// readErr is Read's error once held is empty, after the writer's close. writeErr is Write's error after the
	// reader's close. lost is for both, at once, and drops the held bytes.
	readErr, writeErr, lost error
	// readClosed and writeClosed are for an end's own close.
	readClosed, writeClosed error

	readLimit, writeLimit limit

	pieces *rand.Rand
}

// limit is a deadline.
type limit struct {
	timer  *time.Timer
	passed bool
	// change counts the deadlines; it disarms the timer of an earlier one.
	change uint64
}

func newStream(pieces rand.Source) *stream {
	s := &stream{pieces: rand.New(pieces)}
	s.cond.L = &s.mu
	return s
}

// setLimit sets a deadline; the zero time is none. l is one of s's limits.
func (s *stream) setLimit(l *limit, at time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l.change++
	l.passed = false
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
	if at.IsZero() {
		return
	}
	left := time.Until(at)
	if left <= 0 {
		l.passed = true
		s.cond.Broadcast()
		return
	}
	change := l.change
	l.timer = time.AfterFunc(left, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if l.change == change {
			l.passed = true
			s.cond.Broadcast()
		}
	})
}

func (l *limit) stop() {
	l.change++
	if l.timer != nil {
		l.timer.Stop()
		l.timer = nil
	}
}

// read waits for at least one byte.
func (s *stream) read(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.readClosed != nil:
			return 0, s.readClosed
		case s.lost != nil:
			return 0, s.lost
		case s.readLimit.passed:
			return 0, os.ErrDeadlineExceeded
		case len(b) == 0:
			return 0, nil
		case s.off < len(s.held):
			n := copy(b[:s.piece(min(len(b), len(s.held)-s.off))], s.held[s.off:])
			s.off += n
			if s.off == len(s.held) {
				s.held, s.off = s.held[:0], 0
			}
			s.cond.Broadcast()
			return n, nil
		case s.readErr != nil:
			return 0, s.readErr
		}
		s.cond.Wait()
	}
}

// piece returns how many of n bytes a read gets: one in four gets fewer than there are, and one in eight only a few.
func (s *stream) piece(n int) int {
	switch s.pieces.IntN(8) {
	case 0:
		return 1 + s.pieces.IntN(min(n, 8))
	case 1:
		return 1 + s.pieces.IntN(n)
	}
	return n
}

// write waits until all of b is in the buffer.
func (s *stream) write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	written := 0
	for {
		switch {
		case s.writeClosed != nil:
			return written, s.writeClosed
		case s.lost != nil:
			return written, s.lost
		case s.writeErr != nil:
			return written, s.writeErr
		case s.writeLimit.passed:
			return written, os.ErrDeadlineExceeded
		}
		if room := socketBuffer - (len(s.held) - s.off); room > 0 && len(b) > 0 {
			n := min(room, len(b))
			s.held = append(s.held[:copy(s.held, s.held[s.off:])], b[:n]...)
			s.off = 0
			b = b[n:]
			written += n
			s.cond.Broadcast()
		}
		if len(b) == 0 {
			return written, nil
		}
		s.cond.Wait()
	}
}

// closeWrite is the writer's close: the reader gets the held bytes and then toReader.
func (s *stream) closeWrite(err, toReader error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.writeClosed, s.readErr = err, toReader
	s.writeLimit.stop()
	s.cond.Broadcast()
}

// closeRead is the reader's close: the held bytes are lost and the writer gets an error. It reports whether anything
// was lost.
func (s *stream) closeRead(err, toWriter error) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	unread := s.off < len(s.held)
	s.readClosed, s.writeErr = err, toWriter
	s.held, s.off = nil, 0
	s.readLimit.stop()
	s.cond.Broadcast()
	return unread
}

// reset loses the held bytes; both ends get err.
func (s *stream) reset(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lost == nil {
		s.lost = err
	}
	s.held, s.off = nil, 0
	s.cond.Broadcast()
}
