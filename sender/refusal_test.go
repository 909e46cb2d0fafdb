package sender

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

func withZstd(c *Config) { c.Accumulator.Compressor, _ = compress.NewCompressor(compress.Zstd, 3) }

// tooOldForZstd restarts broker 1 as one without zstd, as after a rollback.
func tooOldForZstd(r *rig) {
	r.c.StopBroker(1)
	r.c.SetVersions(1, map[protocol.APIKey]protocol.VersionRange{protocol.Produce: {Min: 3, Max: 5}})
	r.c.StartBroker(1)
}

func TestABrokerThatBecameTooOldMakesNoDoubtfulBatchNotWritten(t *testing.T) {
	plain := func(c *Config) {
		withZstd(c)
		c.Idempotent, c.Acks = false, 1
	}
	for name, change := range map[string]func(*Config){"plain": plain, "idempotent": withZstd} {
		t.Run(name, func(t *testing.T) {
			onRig(t, topicT(1, 1), change, func(r *rig) {
				r.send(0, "warm").acked()
				r.c.On(protocol.Produce).Nth(1).Do(testbroker.HoldAnswer(r.t.Context().Done()))
				s := r.send(0, "doubt")
				r.c.WaitRecords(r.ctx, "t", 2)
				tooOldForZstd(r)
				_ = s.failed(true)
				require.Equal(t, []string{"warm", "doubt"}, r.values(0))
			})
		})
	}
}

func TestConnectionsThatBreakAtOnceAreNotMadeWithoutEnd(t *testing.T) {
	var dials atomic.Int32
	change := func(c *Config) {
		c.Acks, c.Idempotent = 0, false
		dial := c.Transport.Dialer
		c.Transport.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			dials.Add(1)
			return dial(ctx, network, address)
		}
	}
	onRig(t, topicT(1, 1), change, func(r *rig) {
		r.send(0, "warm").acked()
		dials.Store(0)
		r.c.On(protocol.Produce).Do(testbroker.DropRequest())
		for range 1000 {
			var a accumulator.AppendResult
			r.part(0).Append(&record.Record{Topic: "t", Value: []byte("v")}, accumulator.Callback{}, nil, &a)
			time.Sleep(time.Millisecond)
		}
		// reconnect.backoff.ms grows from 50 to 1000; the metadata client may dial as well.
		require.Less(t, dials.Load(), int32(40))
	})
}

func TestABatchThatIsRebuiltPastItsTimeLeavesTheTimerAlone(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) {
		c.Accumulator.Linger, c.Workers, c.DeliveryTimeout = 10*time.Millisecond, 1, 31*time.Second
	}, func(r *rig) {
		r.send(0, "warm").acked()
		p := r.part(0).Drainer().(*partition)
		release := make(chan struct{})
		p.s.workers.submit(func() { <-release }) // the worker is busy
		r.c.On(protocol.Produce).Nth(1).Do(testbroker.Fail(protocol.MessageTooLarge))
		a, b := r.send(0, "a"), r.send(0, "b")
		time.Sleep(40 * time.Second)
		p.mu.Lock()
		rebuilding, due := p.delivery.RecordsAtWorkers(), p.due
		p.mu.Unlock()
		require.Equal(t, 2, rebuilding)
		require.True(t, due.IsZero() || due.After(time.Now()), "the timer fires again and again")
		close(release)
		_ = a.failed(false)
		_ = b.failed(false)
	})
}

func TestADeliveryTimeoutBelowASecondHoldsWithoutALeader(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) {
		c.DeliveryTimeout, c.RequestTimeout = 300*time.Millisecond, 100*time.Millisecond
	}, func(r *rig) {
		r.send(0, "warm").acked()
		r.c.MoveLeader("t", 0, -1)
		r.client.Refresh()
		time.Sleep(2 * time.Second)
		began := time.Now()
		_ = r.send(0, "x").failed(false)
		require.Equal(t, 300*time.Millisecond, time.Since(began))
	})
}

// TestABugOfTheCoreIsLogged: the operator and the developers must see it, with any outcome of the records.
func TestABugOfTheCoreIsLogged(t *testing.T) {
	var log bytes.Buffer
	onRig(t, topicT(1, 1), func(c *Config) { c.Logger = slog.New(slog.NewTextHandler(&log, nil)) }, func(r *rig) {
		r.send(0, "x").acked()
		p := r.part(0).Drainer().(*partition)
		p.applyOutcome(&delivery.Outcome{Kind: delivery.Bug,
			Err: &record.Error{Topic: "t", Err: errors.New("an impossible step")}})
	})
	require.Contains(t, log.String(), "level=ERROR")
	require.Contains(t, log.String(), "an impossible step")
}
