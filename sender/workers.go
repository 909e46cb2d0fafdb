package sender

import (
	"runtime"
	"sync"

	"github.com/gosamsa/samsa/internal/lockrank"
)

// workers compress and rebuild batches: this costs processor time, and must not delay other goroutines. Goroutines
// exist only while there is work, at most limit at a time. The queue needs no bound: its batches are within
// buffer.memory.
type workers struct {
	limit int
	wait  sync.WaitGroup

	mu      lockrank.Mutex[lockrank.SenderWorkers]
	queue   []func()
	running int
}

func (w *workers) init(limit int) {
	if limit <= 0 {
		limit = runtime.GOMAXPROCS(0)
	}
	w.limit = limit
}

// submit lets a worker run job. Jobs start in the order of submission. After Stop they still run: they own batches.
func (w *workers) submit(job func()) {
	w.mu.Lock()
	w.queue = append(w.queue, job)
	start := w.running < w.limit
	if start {
		w.running++
	}
	w.mu.Unlock()
	if start {
		w.wait.Go(w.run)
	}
}

func (w *workers) run() {
	for {
		w.mu.Lock()
		if len(w.queue) == 0 {
			w.queue = nil
			w.running--
			w.mu.Unlock()
			return
		}
		job := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.mu.Unlock()
		job()
	}
}
