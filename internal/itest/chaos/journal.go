package chaos

import (
	"bytes"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// Fate is a producer's report about a record.
type Fate string

// The fates. A client without a distinction between the two kinds of failure tells Maybe.
const (
	Acked      Fate = "acknowledged"
	NotWritten Fate = "not written"
	Maybe      Fate = "maybe written"
)

// Outcome is a record's fate, its place if it was acknowledged, and the error if it was not.
type Outcome struct {
	Fate      Fate
	Partition int32
	Offset    int64
	Err       string
}

// Sent is one record handed by a sender to a producer, and its outcome.
type Sent struct {
	Sender, N int
	Key       []byte
	At        time.Duration // since the run's beginning

	mu      sync.Mutex
	told    []Outcome // by the callback, once if all is well
	toldAt  time.Duration
	future  Outcome // by the future
	futures int
}

// Tell is called by the client's callback. Only the first telling's time counts.
func (s *Sent) Tell(o Outcome, at time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) == 0 {
		s.toldAt = at
	}
	s.told = append(s.told, o)
}

// TellFuture notes the outcome from the client's future, for clients with futures.
func (s *Sent) TellFuture(o Outcome) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.future = o
	s.futures++
}

// Told returns the first outcome and its time, and false while there is none.
func (s *Sent) Told() (Outcome, time.Duration, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.told) == 0 {
		return Outcome{}, 0, false
	}
	return s.told[0], s.toldAt, true
}

// value is the record's value: its sender, its number, and bytes computed from both, to reveal a record with foreign
// bytes. Sizes differ, to make batches differ.
func (s *Sent) value() []byte {
	size := 40 + (s.N*37+s.Sender*11)%160
	if s.N%50 == 49 {
		size = 2000
	}
	b := fmt.Appendf(make([]byte, 0, size), "%d %d ", s.Sender, s.N)
	for i := len(b); i < size; i++ {
		b = append(b, byte('a'+(i*(s.Sender+3)+s.N)%26))
	}
	return b
}

// parseValue returns sender and number of a value.
func parseValue(value []byte) (sender, n int, ok bool) {
	first, rest, _ := bytes.Cut(value, []byte(" "))
	second, _, _ := bytes.Cut(rest, []byte(" "))
	sender, err1 := strconv.Atoi(string(first))
	n, err2 := strconv.Atoi(string(second))
	return sender, n, err1 == nil && err2 == nil
}
