package producer_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
)

func TestSendAllKeepsTheSlicesOrder(t *testing.T) {
	bubble(t, topics(1, 3), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 3, nil)
		const n = 1000
		var rs []producer.Record
		want := make([][]string, 3)
		for i := range n {
			part := int32(i*i) % 3
			rs = append(rs, *to(part, fmt.Sprint(i)))
			want[part] = append(want[part], fmt.Sprint(i))
		}
		kept := []producer.Future{{}}
		var indexes []int
		told := make(chan int, n)
		out := p.SendAllFunc(t.Context(), rs, func(i int, _ producer.RecordMetadata, err error) {
			if err == nil {
				told <- i
			}
		}, kept)
		require.Len(t, out, 1+n, "futures are appended")
		require.Equal(t, producer.Future{}, out[0])
		require.NoError(t, p.Flush(t.Context()))
		close(told)
		for i := range told {
			indexes = append(indexes, i)
		}
		require.Len(t, indexes, n)
		seen := map[int]bool{}
		for _, i := range indexes {
			seen[i] = true
		}
		require.Len(t, seen, n, "one callback a record")
		for part := range want {
			require.Equal(t, want[part], written(c, int32(part)))
		}
		offsets := [3]int64{1, 1, 1} // offset 0 is the record of warm
		for i, f := range out[1:] {
			md, err := f.Get(t.Context())
			require.NoError(t, err)
			part := int32(i*i) % 3
			require.Equal(t, part, md.Partition)
			require.Equal(t, offsets[part], md.Offset)
			offsets[part]++
		}
	})
}

func TestSendAllGivesEachRecordItsOwnOutcome(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, nil)
		rs := []producer.Record{
			*to(0, "a"), {Topic: "not legal"}, *to(7, "x"), *to(0, "b"), *sized(2 << 20),
			{Topic: "t", Timestamp: time.UnixMilli(-5)}, *to(0, "c"),
		}
		want := []error{
			nil, producer.ErrInvalidTopic, producer.ErrInvalidPartition, nil, producer.ErrRecordTooLarge,
			producer.ErrInvalidTimestamp, nil,
		}
		errs := make([]error, len(rs))
		calls := make([]int, len(rs))
		out := p.SendAllFunc(t.Context(), rs, func(i int, _ producer.RecordMetadata, err error) {
			errs[i],
				calls[i] = err, calls[i]+1
		}, nil)
		require.NoError(t, p.Flush(t.Context()))
		for i := range rs {
			_, err := out[i].Get(t.Context())
			require.ErrorIs(t, err, want[i])
			require.Equal(t, 1, calls[i])
			require.Equal(t, errs[i], err)
		}
		require.Equal(t, []string{"a", "b", "c"}, written(c, 0))
	})
}

func TestSendAllOfNothing(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, nil)
		require.Empty(t, p.SendAll(t.Context(), nil))
		require.Len(t, p.SendAllFunc(t.Context(), nil, nil, make([]producer.Future, 3)), 3)
	})
}

// small makes a producer's buffer hold only a small part of the sent records.
func small(cfg *producer.Config) {
	cfg.BufferMemory, cfg.BatchSize, cfg.MaxRequestSize = 64<<10, 8<<10, 32<<10
}

func TestSendAllLargerThanTheBufferGoesInPieces(t *testing.T) {
	bubble(t, topics(2, 4), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 4, small)
		var rs []producer.Record
		want := make([][]string, 4)
		for i := range 600 {
			value := fmt.Sprintf("%04d%01000d", i, 0)
			rs = append(rs, *to(int32(i%4), value))
			want[i%4] = append(want[i%4], value)
		}
		for _, f := range p.SendAll(t.Context(), rs) {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
		for part := range want {
			require.Equal(t, want[part], written(c, int32(part)))
		}
	})
}

func TestSendAllAdmitsFittingRecordsAndFailsTheRestNotWritten(t *testing.T) {
	const block, sooner = 2 * time.Second, time.Second
	ends := map[string]func(t *testing.T, p *producer.Producer, rs []producer.Record) ([]producer.Future, time.Duration,
		error){
		"when MaxBlock ends": func(t *testing.T, p *producer.Producer, rs []producer.Record) ([]producer.Future,
			time.Duration, error) {
			return p.SendAll(t.Context(), rs), block, producer.ErrBufferFull
		},
		"when ctx ends": func(t *testing.T, p *producer.Producer, rs []producer.Record) ([]producer.Future,
			time.Duration, error) {
			ctx, cancel := context.WithTimeout(t.Context(), sooner)
			defer cancel()
			return p.SendAll(ctx, rs), sooner, context.DeadlineExceeded
		},
		"when the producer is closed": func(t *testing.T, p *producer.Producer, rs []producer.Record) (
			[]producer.Future, time.Duration, error) {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			t.Cleanup(cancel)
			time.AfterFunc(sooner, func() { _ = p.Close(ctx) })
			return p.SendAll(t.Context(), rs), sooner, producer.ErrClosed
		},
	}
	for name, end := range ends {
		scene(t, name, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
			p := warm(t, c, 1, func(cfg *producer.Config) { small(cfg); cfg.MaxBlock = block })
			c.Hang(1)
			var rs []producer.Record
			for range 300 {
				rs = append(rs, *sized(1000))
			}
			began := time.Now()
			out, took, reason := end(t, p, rs)
			require.Equal(t, took, time.Since(began))
			buffered, _ := p.Buffered()
			require.Greater(t, buffered, 30)
			for _, f := range out[:buffered] {
				require.False(t, isOver(f))
			}
			for _, f := range out[buffered:] {
				notWritten(t, f, reason)
			}
			c.Unhang(1)
			for _, f := range out[:buffered] {
				_, err := f.Get(t.Context())
				require.NoError(t, err)
			}
		})
	}
}

// A SendAll that waits for room does not reserve room for its later records: a small Send to another partition gets the
// free room.
func TestSendAllHoldsNoRoomWhileItWaits(t *testing.T) {
	bubble(t, topics(2, 2), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 2, small)
		c.Hang(1) // leads partition 0
		var rs []producer.Record
		for range 300 {
			rs = append(rs, *sized(1000))
		}
		var out []producer.Future
		done := make(chan struct{})
		go func() {
			defer close(done)
			out = p.SendAll(t.Context(), rs)
		}()
		synctest.Wait()
		_, used := p.Buffered()
		require.LessOrEqual(t, used, int64(32<<10), "half is for the partitions of other brokers")
		began := time.Now()
		for range 50 {
			_, err := p.Send(t.Context(), to(1, "x"), nil).Get(t.Context())
			require.NoError(t, err)
		}
		require.Zero(t, time.Since(began))
		c.Unhang(1)
		<-done
		for _, f := range out {
			_, err := f.Get(t.Context())
			require.NoError(t, err)
		}
	})
}

func TestSendAllWithoutMetadataWaitsOnce(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := start(t, c, func(cfg *producer.Config) { cfg.MaxBlock = time.Second })
		began := time.Now()
		out := p.SendAll(t.Context(), []producer.Record{{Topic: "no"}, {Topic: "nothing"}, {Topic: "no"}})
		require.Equal(t, time.Second, time.Since(began))
		for _, f := range out {
			_, err := f.Get(t.Context())
			require.Error(t, err)
			require.False(t, producer.MaybeWritten(err))
			require.True(t, producer.Retriable(err))
			require.ErrorIs(t, err, producer.ErrUnknownTopic)
		}
	})
}

// unnamed returns n records of topic t without a partition.
func unnamed(n int) []producer.Record {
	rs := make([]producer.Record, n)
	for i := range rs {
		rs[i] = producer.Record{Topic: "t", Value: fmt.Appendf(nil, "record %d", i)}
	}
	return rs
}

// SendAll appends records without a partition in runs. The records keep the order of the slice, even if the buffer has
// room for only a few at a time.
func TestSendAllOfRecordsForOnePartitionKeepsTheirOrder(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		for name, change := range map[string]func(*producer.Config){
			"room for all":    nil,
			"room for some":   func(cfg *producer.Config) { cfg.BufferMemory, cfg.BatchSize = 2048, 600 },
			"as in a mixture": func(cfg *producer.Config) { cfg.BatchSize = 300 },
		} {
			p := warm(t, c, 1, change)
			rs := unnamed(1000)
			if name == "as in a mixture" {
				for i := 0; i < len(rs); i += 37 {
					rs[i].Partition = producer.InPartition(0) // not for the fast path
				}
			}
			called := make([]int, len(rs))
			futures := p.SendAllFunc(t.Context(), rs, func(i int, m producer.RecordMetadata, err error) {
				if err == nil {
					called[i]++
				}
			}, nil)
			require.Len(t, futures, len(rs))
			first, err := futures[0].Get(t.Context())
			require.NoError(t, err)
			for i, f := range futures {
				md, err := f.Get(t.Context())
				require.NoError(t, err, name)
				require.Equal(t, first.Offset+int64(i), md.Offset, name)
			}
			require.NoError(t, p.Flush(t.Context()))
			require.Equal(t, slices.Repeat([]int{1}, len(rs)), called, name)
		}
	})
}

func TestSendAllCanceledInTheMiddleOfARun(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.Linger = time.Minute })
		outcome := make([]error, 100)
		futures := p.SendAllFunc(t.Context(), unnamed(100),
			func(i int, _ producer.RecordMetadata, err error) { outcome[i] = err }, nil)
		for _, i := range []int{0, 50, 51, 99} {
			require.True(t, futures[i].Cancel())
			synctest.Wait()
			require.ErrorIs(t, outcome[i], producer.ErrCanceled)
			outcome[i] = nil
		}
		require.NoError(t, p.Flush(t.Context()))
		require.Equal(t, make([]error, 100), outcome)
	})
}

// max.block.ms bounds the whole call: when it is over, the remaining records fail even if they fit into the buffer.
func TestSendAllSendsNothingMoreWhenItsTimeHasPassed(t *testing.T) {
	bubble(t, topics(1, 1), func(t *testing.T, c *testbroker.Cluster) {
		p := warm(t, c, 1, func(cfg *producer.Config) { cfg.MaxBlock = time.Second })
		rs := append(slices.Repeat([]producer.Record{{Topic: "nowhere"}}, 128), unnamed(100)...)
		for i, f := range p.SendAll(t.Context(), rs) {
			_, err := f.Get(t.Context())
			if i < 128 {
				require.ErrorIs(t, err, producer.ErrUnknownTopic)
			} else {
				require.ErrorIs(t, err, producer.ErrBufferFull)
				require.False(t, producer.MaybeWritten(err))
			}
		}
	})
}
