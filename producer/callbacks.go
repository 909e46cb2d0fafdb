package producer

import (
	"bytes"
	"log/slog"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/gosamsa/samsa/record"
)

// Callback is called once with the record's outcome: its place and a nil error, or an error and of the place what is known.
//
// Callbacks of one partition run in the order of sending, those of different partitions at the same time. They may take
// their time and may call Send and Get; what waits for a slow one counts in buffer.memory. For a record that failed before
// it was buffered the callback runs before Send returns, on its goroutine; else on one of the producer's. A panic is
// recovered and logged.
type Callback func(Metadata, error)

// listener is what the accumulator tells of users' code. mu guards the two maps.
type listener struct {
	chain  interceptorChain
	logger *slog.Logger

	mu     sync.Mutex
	inside map[uint64]int // goroutines that run callbacks now, by how many deep
	logged map[string]time.Time
}

func newListener(cfg *Config) *listener {
	return &listener{
		chain: newInterceptorChain(cfg), logger: logOrSilent(cfg.Logger),
		inside: make(map[uint64]int), logged: make(map[string]time.Time),
	}
}

// Enter marks this goroutine as one that runs callbacks, so that Flush and Close can tell.
func (l *listener) Enter() any {
	id := goroutineID()
	l.mu.Lock()
	l.inside[id]++
	l.mu.Unlock()
	return id
}

// Leave ends what Enter began.
func (l *listener) Leave(token any) {
	id := token.(uint64)
	l.mu.Lock()
	if l.inside[id]--; l.inside[id] == 0 {
		delete(l.inside, id)
	}
	l.mu.Unlock()
}

// InCallback tells whether the calling goroutine runs a callback of this producer.
func (l *listener) InCallback() bool {
	id := goroutineID()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.inside[id] > 0
}

// Acknowledges tells whether there are interceptors.
func (l *listener) Acknowledges() bool { return !l.chain.empty() }

// OnAcknowledgement runs the interceptors.
func (l *listener) OnAcknowledgement(md record.Metadata, err error) {
	l.chain.onAcknowledgement(md, err)
}

// Panicked logs a callback's panic with its stack.
func (l *listener) Panicked(value any) { logPanic(l.logger, "callback", value) }

// mostLogged bounds the memory of what was logged; beyond it everything is forgotten and logged anew.
const mostLogged = 1000

// Unheard logs failures that nobody listens for, at most once a second for each topic and reason.
func (l *listener) Unheard(n int, err *record.Error) {
	key := err.Topic + "\x00" + err.Err.Error()
	now := time.Now()
	l.mu.Lock()
	last, known := l.logged[key]
	fresh := !known || now.Sub(last) >= time.Second
	if fresh {
		if len(l.logged) >= mostLogged {
			clear(l.logged)
		}
		l.logged[key] = now
	}
	l.mu.Unlock()
	if fresh {
		l.logger.Error("records failed with no callback and nobody asking", "topic", err.Topic, "records", n, "error", err)
	}
}

// goroutineID returns the number of the calling goroutine, from the head of its stack trace. Go has no other way to ask
// whether Flush was called from inside a callback, where it would wait for its own caller. It is read once for a run of
// callbacks, not for each.
func goroutineID() uint64 {
	var buf [64]byte
	head := bytes.TrimPrefix(buf[:runtime.Stack(buf[:], false)], []byte("goroutine "))
	if i := bytes.IndexByte(head, ' '); i > 0 {
		head = head[:i]
	}
	id, _ := strconv.ParseUint(string(head), 10, 64)
	return id
}

// plural returns "1 thing" or "n things"; without a thing only the number, with a space after it.
func plural(n int64, thing string) string {
	text := strconv.FormatInt(n, 10) + " " + thing
	if n != 1 && thing != "" {
		text += "s"
	}
	return text
}
