package accumulator

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

func (p *Partition) lingers() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.lingering
}

func TestCloseStopsTheLingerTimer(t *testing.T) {
	for name, end := range map[string]func(a *Accumulator, p *Partition, close func()){
		"idle":     func(a *Accumulator, p *Partition, close func()) { a.expediteAll(); settleAll(p); close() },
		"flushed":  func(a *Accumulator, _ *Partition, close func()) { a.expediteAll(); close() },
		"buffered": func(a *Accumulator, _ *Partition, close func()) { close(); a.expediteAll() },
		"canceled": func(_ *Accumulator, p *Partition, close func()) { close(); p.open.root.Cancel(0) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newTest(Config{Linger: 100 * time.Second})
				p := a.Topic("t").Partition(0)
				put(t, p, "x")
				require.True(t, p.lingers())
				end(a, p, func() { a.Close(&record.Error{Err: record.ErrClosed}) })
				require.False(t, p.lingers())
				require.False(t, p.linger.Stop(), "it was stopped already")
				settleAll(p)
				requireEmpty(t, a)
			})
		})
	}
}

// Records buffered before the close of a partition linger on, and are sent.
func TestAClosedPartitionsRecordsLingerOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newTest(Config{Linger: 100 * time.Second})
		p := a.Topic("t").Partition(0)
		put(t, p, "x")
		a.Close(&record.Error{Err: record.ErrClosed})
		time.Sleep(100 * time.Second)
		synctest.Wait()
		require.True(t, p.Ready())
		settleAll(p)
		requireEmpty(t, a)
	})
}
