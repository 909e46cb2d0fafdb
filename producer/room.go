package producer

import (
	"sync/atomic"
	"time"

	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/weakly"
)

// roomWait is how long a Send waits for room in the buffer before the producer warns of it.
const roomWait = 750 * time.Millisecond

// roomWatch looks at the Sends that wait for room, while there are any. A waiting Send costs one atomic read, however
// many wait.
type roomWatch struct {
	on atomic.Bool

	mu    lockrank.Mutex[lockrank.ProducerRoom]
	timer *time.Timer
	ended bool
}

// watch begins to look, if nothing does.
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

// lookAtRoom warns if a Send has waited for long, and ends the watch. The next waiting Send begins another one, so no
// timer runs for ever beside a Send without an end.
func (p *Producer) lookAtRoom() {
	since, waits := p.acc.OldestWait()
	if !waits {
		p.room.on.Store(false)
		if _, waits = p.acc.OldestWait(); waits { // it came before the line above
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
