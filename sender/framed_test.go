package sender

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// sizedRequest is a request filled by hand.
func sizedRequest(clientID string) *request {
	b := &broker{s: &Sender{cfg: Config{Transport: &transport.Options{ClientID: clientID}, Acks: -1}}}
	return b.newRequest(nil)
}

// put adds a batch of a topic.
func (r *request) put(size *framed, name string, batch []byte) {
	at, partitions := r.topic(name)
	size.add(name, partitions, len(batch))
	if at < 0 {
		at = r.addTopic(name, protocol.UUID{1, byte(len(r.body.Topics)), byte(len(r.body.Topics) >> 8)})
	}
	t := &r.body.Topics[at]
	t.Partitions = append(t.Partitions, protocol.ProducePartition{Records: batch})
}

// encoded is the size of the request as framed.
func (r *request) encoded(t *testing.T, version int16) (n int) {
	t.Helper()
	r.version = version
	require.NoError(t, r.encode())
	for _, b := range r.call.Buffers {
		n += len(b)
	}
	return n
}

func TestTheSizeOfARequestIsThatOfItsFrame(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		t.Run(fmt.Sprint("version ", version), func(t *testing.T) {
			random := rand.New(rand.NewPCG(uint64(version), 0))
			r := sizedRequest("größe")
			size := newFramed(version, "größe")
			for range 400 {
				name := fmt.Sprint(random.IntN(300))
				name += strings.Repeat("x", 249-len(name))
				r.put(&size, name, make([]byte, random.IntN(20_000)>>random.IntN(15)))
			}
			require.Equal(t, r.encoded(t, version), size.size)
		})
	}
}

// The largest batch for the space makes the request as long as the limit, or a few bytes less.
func TestSpaceIsTheRoomOfARequest(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		for _, limit := range []int{1000, 1400, 20_000, 100_000} {
			for _, name := range []string{"old", strings.Repeat("new", 83)} {
				r := sizedRequest("client")
				size := newFramed(version, "client")
				r.put(&size, "old", make([]byte, 100))
				_, partitions := r.topic(name)
				r.put(&size, name, make([]byte, size.space(limit, name, partitions)))
				n := r.encoded(t, version)
				require.LessOrEqual(t, n, limit)
				require.GreaterOrEqual(t, n, limit-longerLength)
			}
		}
	}
}

func BenchmarkSizeOfABatch(b *testing.B) {
	b.ReportAllocs()
	size := newFramed(13, "client")
	for b.Loop() {
		if size.space(1<<30, "orders", 5) > 0 {
			size.add("orders", 5, 16384)
			size.size = 100
		}
	}
}
