package producer

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/weakly"
)

// roomWait is how long a Send waits for room in the buffer before the producer logs a warning.
const roomWait = 750 * time.Millisecond

// roomWatch checks with a timer how long Sends have waited for room. The timer runs only while a Send waits. Each
// waiting Send costs one atomic read.
type roomWatch struct {
	on atomic.Bool

	mu    lockrank.Mutex[lockrank.ProducerRoom]
	timer *time.Timer
	ended bool
}

// watch starts the timer, unless it runs already.
func (w *roomWatch) watch(p *Producer) {
	if !w.on.Load() && w.on.CompareAndSwap(false, true) {
		w.after(p, roomWait)
	}
}

func (w *roomWatch) after(p *Producer, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case w.ended:
	case w.timer == nil:
		w.timer = time.AfterFunc(d, weakly.Do(p, (*Producer).lookAtRoom))
	default:
		w.timer.Reset(d)
	}
}

// end stops the watch for good.
func (w *roomWatch) end() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if w.timer != nil {
		w.timer.Stop()
	}
}

// lookAtRoom logs a warning if a Send has waited too long, and ends the watch. The next Send without room starts the
// watch again, so a Send that waits for ever does not keep a timer running.
func (p *Producer) lookAtRoom() {
	since, waits := p.acc.OldestWait()
	if !waits {
		p.room.on.Store(false)
		if _, waits = p.acc.OldestWait(); waits { // this Send began to wait before the watch was ended above
			p.room.watch(p)
		}
		return
	}
	if rest := roomWait - time.Since(since); rest > 0 {
		p.room.after(p, rest)
		return
	}
	p.room.on.Store(false)
	p.cfg.Logger.Warn("the buffer is full: Send waits for room, at most for max.block.ms",
		"buffer.memory", p.cfg.BufferMemory, "reason", p.acc.WhyPending())
}
