//go:build race

package sender

import (
	"bytes"
	"context"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/record"
)

// onWrite is a connection that calls f with the bytes of a write, before the write.
type onWrite struct {
	net.Conn
	f func(b []byte)
}

func (c onWrite) Write(b []byte) (int, error) {
	c.f(b)
	return c.Conn.Write(b)
}

// This is the purpose of the poison: a batch whose buffer is freed during its write does not pass a broker.
func TestABufferThatIsGivenBackTooEarlyIsRefusedByTheBroker(t *testing.T) {
	mark := strings.Repeat("written too late ", 2000)
	var once sync.Once
	var r *rig
	early := func(b []byte) {
		if !bytes.Contains(b, []byte(mark)) {
			return
		}
		once.Do(func() {
			// The bug: the outcome's hold and the connection's are both gone before the bytes are.
			batch := r.s.topics["t"][0].delivery.Window()[0].Owner().(*outBatch).batch
			batch.Release()
			batch.Release()
		})
	}
	onRig(t, topicT(1, 1), func(c *Config) {
		options := *c.Transport
		dial := options.Dialer
		options.Dialer = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			return onWrite{nc, early}, nil
		}
		c.Transport = &options
		c.Retries = 0
	}, func(rig *rig) {
		r = rig
		r.send(0, "warm").acked()
		_ = r.append(0, &record.Record{Topic: "t", Value: []byte(mark)}).failed(false)
		violations := r.c.Violations()
		require.NotEmpty(t, violations)
		require.Contains(t, violations[0], "malformed record batch")
		require.Equal(t, []string{"warm"}, r.values(0))
	})
}
