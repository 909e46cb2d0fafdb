package producer

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// For each API the contents of a complete frame may end too early, at any byte. The client must detect this and discard
// the whole answer. Then the same producer accepts the good answer, and the record is written once.
func TestAnAnswerThatEndsAfterAnyByteIsNotBelieved(t *testing.T) {
	for _, key := range []protocol.APIKey{protocol.ApiVersions, protocol.Metadata, protocol.InitProducerID,
		protocol.Produce} {
		t.Run(key.String(), func(t *testing.T) {
			var mu sync.Mutex
			next, length := 0, 0
			p, m := through(t, func(x *exchange) error {
				mu.Lock()
				defer mu.Unlock()
				if x.key != key || next >= len(x.answer)-4 {
					return x.pass()
				}
				cut := binary.BigEndian.AppendUint32(nil, uint32(next))
				cut = append(cut, x.answer[4:4+next]...)
				next++
				length = len(x.answer) - 4
				return x.write(cut)
			})
			_, err := p.Send(context.Background(), hostileRecord(), nil).Get(context.Background())
			require.NoError(t, err)
			require.Equal(t, 1, m.c.Records("t"))
			mu.Lock()
			defer mu.Unlock()
			require.Positive(t, length)
			require.Equal(t, length, next, "every place had its turn")
		})
	}
}

// requireInOrder sends n records. It checks that each is acknowledged, and is in the log once and in order.
func requireInOrder(t *testing.T, p *Producer, m *meddler, n int, asynchronously bool) {
	t.Helper()
	ctx := context.Background()
	var futures []Future
	for i := range n {
		r := hostileRecord()
		r.Value = fmt.Append(nil, i)
		futures = append(futures, p.Send(ctx, r, nil))
		if !asynchronously {
			_, err := futures[i].Get(ctx)
			require.NoError(t, err)
		}
	}
	for _, f := range futures {
		_, err := f.Get(ctx)
		require.NoError(t, err)
	}
	log := m.c.Log("t", 0)
	require.Len(t, log, n)
	for i, r := range log {
		require.Equal(t, fmt.Sprint(i), string(r.Value))
	}
}

func TestAnAnswerThatComesTwiceIsNobodysAnswer(t *testing.T) {
	for _, asynchronously := range []bool{false, true} {
		p, m := through(t, func(x *exchange) error {
			if x.key != protocol.Produce {
				return x.pass()
			}
			return x.write(append(x.answer[:len(x.answer):len(x.answer)], x.answer...))
		})
		requireInOrder(t, p, m, 30, asynchronously)
	}
}

// Bytes without a request only end the connection, for every kind of first request.
func TestBytesThatNobodyAskedForCostNoRecord(t *testing.T) {
	for name, bytes := range map[string][]byte{
		"a frame": frame(8, "\x00\x00\x00\x05abcd"), "zeros": make([]byte, 100), "half a frame": frame(20, "half"),
		"text": []byte("HTTP/1.1 408 Request Timeout\r\n\r\n"),
	} {
		t.Run(name, func(t *testing.T) {
			p, m := through(t, func(x *exchange) error {
				if err := x.pass(); err != nil || x.key != protocol.Produce && x.key != protocol.InitProducerID {
					return err
				}
				return x.write(bytes)
			})
			requireInOrder(t, p, m, 20, false)
		})
	}
}

func TestAnswersOutOfOrderAreNotMixedUp(t *testing.T) {
	ctx := context.Background()
	var mu sync.Mutex
	var holding, held bool // hold back the next answer to Produce; the answer is held back
	var kept []byte
	cameIn := make(chan struct{}, 1)
	p, m := through(t, func(x *exchange) error {
		mu.Lock()
		defer mu.Unlock()
		switch {
		case x.key != protocol.Produce || !holding:
			return x.pass()
		case !held:
			held, kept = true, x.answer
			cameIn <- struct{}{}
			return nil
		}
		holding, held = false, false
		return x.write(append(x.answer, kept...))
	})
	requireInOrder(t, p, m, 2, false)
	_, err := p.Send(ctx, &Record{Topic: "t", Partition: InPartition(1), Value: []byte("0")}, nil).Get(ctx)
	require.NoError(t, err)
	for i := range 20 {
		mu.Lock()
		holding = true
		mu.Unlock()
		first := p.Send(ctx, &Record{Topic: "t", Partition: InPartition(0), Value: fmt.Append(nil, i+2)}, nil)
		<-cameIn
		second := p.Send(ctx, &Record{Topic: "t", Partition: InPartition(1), Value: fmt.Append(nil, i+1)}, nil)
		for _, f := range []Future{first, second} {
			_, err := f.Get(ctx)
			require.NoError(t, err)
		}
	}
	for partition, n := range []int{22, 21} {
		log := m.c.Log("t", int32(partition))
		require.Len(t, log, n)
		for i, r := range log {
			require.Equal(t, fmt.Sprint(i), string(r.Value))
		}
	}
}
