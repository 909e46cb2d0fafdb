package loggate

import (
	"context"
	"log/slog"
	"time"

	"github.com/gosamsa/samsa/internal/fifo"
	"github.com/gosamsa/samsa/internal/lockrank"
)

// LevelTrace is the level of trace lines.
const LevelTrace = slog.LevelDebug - 4

const (
	// MostLines is how many lines wait for the handler at most.
	MostLines = 1000
	// MostTraceLines is the same for lines below slog.LevelDebug. A trace is useful only if it is complete.
	MostTraceLines = 1 << 16
	// Dropped is the message of the line with the counts of lost lines: the attribute "lines" has their number, "trace"
	// the number of lost trace lines.
	Dropped = "log lines were dropped"
)

// Gate hands lines to a handler. A nil Gate has none. It is safe for many goroutines.
type Gate struct {
	handler slog.Handler
	around  func(work func())
	trace   bool

	// mu is a leaf: nothing is locked under it, and the handler runs outside it.
	mu      lockrank.Mutex[lockrank.LogGate]
	queue   fifo.Queue[line]
	waiting counts // of queue, without its notices
	lost    counts // since the last notice
	running bool   // the goroutine exists
	failed  bool   // the handler's last call did not return
	idle    chan struct{}
	limit   limiter
}

// counts has numbers of lines and of trace lines.
type counts struct{ lines, traces int }

// line is a record in the queue.
type line struct {
	record slog.Record
	trace  bool
	notice counts // of lost lines, if this line is a notice of them
}

// New returns a gate before a logger's handler; nil for a nil logger and for slog.DiscardHandler. It asks the handler
// once whether the handler wants trace lines, on the caller's goroutine. The gate's goroutine runs inside around;
// around may be nil.
func New(l *slog.Logger, around func(work func())) *Gate {
	if l == nil || l.Handler() == slog.DiscardHandler {
		return nil
	}
	if around == nil {
		around = func(work func()) { work() }
	}
	g := &Gate{handler: l.Handler(), around: around}
	g.limit.init(g.windowOver)
	g.trace = g.wantsTrace()
	return g
}

// wantsTrace asks the handler. A panic counts as no.
func (g *Gate) wantsTrace() bool {
	defer func() { _ = recover() }()
	return g.handler.Enabled(context.Background(), LevelTrace)
}

// Logger returns the logger in front of the gate.
func (g *Gate) Logger() *slog.Logger {
	if g == nil {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(&handler{gate: g, wrap: func(attrs []slog.Attr) []slog.Attr { return attrs }})
}

// Close queues the lines still held back by the limit, and stops its timer. Lines may follow.
func (g *Gate) Close() {
	if g == nil {
		return
	}
	g.mu.Lock()
	for _, r := range g.limit.close() {
		g.pushLocked(line{record: r})
	}
	start := g.startLocked()
	g.mu.Unlock()
	if start {
		go g.run()
	}
}

// Flush waits until the handler has got every line, or ctx ends. It reports whether the handler has.
func (g *Gate) Flush(ctx context.Context) bool {
	if g == nil {
		return true
	}
	g.mu.Lock()
	if !g.running {
		g.mu.Unlock()
		return true
	}
	if g.idle == nil {
		g.idle = make(chan struct{})
	}
	idle := g.idle
	g.mu.Unlock()
	select {
	case <-idle:
		return true
	case <-ctx.Done():
		return false
	}
}

// push queues a line.
func (g *Gate) push(l line) {
	g.mu.Lock()
	g.pushLocked(l)
	start := g.startLocked()
	g.mu.Unlock()
	if start {
		go g.run()
	}
}

func (g *Gate) pushLocked(l line) {
	if l.trace && g.waiting.traces >= MostTraceLines || !l.trace && g.waiting.lines >= MostLines {
		g.lost.add(l.trace, 1)
		return
	}
	if g.lost != (counts{}) {
		g.queue.Push(g.noticeLocked())
	}
	g.waiting.add(l.trace, 1)
	g.queue.Push(l)
}

// noticeLocked returns the line about lost ones.
func (g *Gate) noticeLocked() line {
	r := slog.NewRecord(time.Now(), slog.LevelWarn, Dropped, 0)
	r.AddAttrs(slog.Int("lines", g.lost.lines), slog.Int("trace", g.lost.traces))
	l := line{record: r, notice: g.lost}
	g.lost = counts{}
	return l
}

func (c *counts) add(trace bool, n int) {
	if trace {
		c.traces += n
	} else {
		c.lines += n
	}
}

// startLocked reports whether the caller must start the goroutine.
func (g *Gate) startLocked() bool {
	if g.running || g.queue.Len() == 0 {
		return false
	}
	g.running = true
	return true
}

// run is the gate's goroutine.
func (g *Gate) run() { g.around(g.handleAll) }

// handleAll gives the queued lines to the handler.
func (g *Gate) handleAll() {
	returned := false
	defer func() {
		if !returned {
			go g.run() // the handler has called runtime.Goexit
		}
	}()
	for l, ok := g.next(); ok; l, ok = g.next() {
		g.handle(l)
	}
	returned = true
}

// next takes the oldest line off the queue. Without a line the goroutine ends.
func (g *Gate) next() (l line, ok bool) {
	g.mu.Lock()
	if g.queue.Len() == 0 && g.lost != (counts{}) && !g.failed {
		g.queue.Push(g.noticeLocked())
	}
	if g.queue.Len() == 0 {
		idle := g.idle
		g.running, g.idle = false, nil
		g.mu.Unlock()
		if idle != nil {
			close(idle)
		}
		return line{}, false
	}
	l = g.queue.Pop()
	if l.notice == (counts{}) {
		g.waiting.add(l.trace, -1)
	}
	g.mu.Unlock()
	return l, true
}

// handle gives one line to the handler.
func (g *Gate) handle(l line) {
	lockrank.AssertNone("a log handler")
	returned := false
	defer func() {
		_ = recover()
		g.handled(l, returned)
	}()
	ctx := context.Background()
	if g.handler.Enabled(ctx, l.record.Level) {
		_ = g.handler.Handle(ctx, l.record) // slog.Logger ignores it too
	}
	returned = true
}

// handled notes whether the handler returned. If it did not, the line counts as lost.
func (g *Gate) handled(l line, returned bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch g.failed = !returned; {
	case returned:
	case l.notice != counts{}:
		g.lost.lines += l.notice.lines
		g.lost.traces += l.notice.traces
	default:
		g.lost.add(l.trace, 1)
	}
}

// windowOver is the limit's timer.
func (g *Gate) windowOver() {
	g.mu.Lock()
	for _, r := range g.limit.windowOver(time.Now()) {
		g.pushLocked(line{record: r})
	}
	start := g.startLocked()
	g.mu.Unlock()
	if start {
		g.run()
	}
}
