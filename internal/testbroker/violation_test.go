package testbroker

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// expect requires one violation with this text.
func expect(t *testing.T, c *Cluster, what string) {
	t.Helper()
	v := c.Violations()
	require.Len(t, v, 1)
	require.Contains(t, v[0], what)
}

func TestBatchesThatNoClientMakesAreViolations(t *testing.T) {
	damaged := batch(plain, "x")
	damaged[len(damaged)-3]++
	unfinished := seal(batch(plain, "x"), record.BatchHeader{Magic: record.Magic, Count: 1, ProducerID: -1,
		ProducerEpoch: -1, BaseSequence: 5})
	for _, b := range []struct {
		name  string
		batch []byte
		code  protocol.ErrorCode
		what  string
	}{
		{"checksum", damaged, protocol.CorruptMessage, "checksum"},
		{"two", append(batch(plain, "x"), batch(plain, "y")...), protocol.InvalidRecord, "behind the one batch"},
		{"cut", batch(plain, "x")[:65], protocol.CorruptMessage, "incomplete"},
		{"none", nil, protocol.CorruptMessage, "incomplete"},
		{"header", unfinished, protocol.InvalidRecord, "sequence 5"},
	} {
		t.Run(b.name, func(t *testing.T) {
			onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
				require.Equal(t, b.code, connect(t, c, 1).produce("events", 0, b.batch).ErrorCode)
				expect(t, c, b.what)
				require.Empty(t, c.Log("events", 0))
			})
		})
	}
}

func TestZstdBeforeVersionSevenIsAViolation(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		z, err := compress.NewCompressor(compress.Zstd, 3)
		require.NoError(t, err)
		b, err := z.Compress(batch(plain, "x")[:record.BatchHeaderSize:record.BatchHeaderSize],
			batch(plain, "x")[record.BatchHeaderSize:])
		require.NoError(t, err)
		h, err := record.ReadBatchHeader(batch(plain, "x"))
		require.NoError(t, err)
		h.Attributes = int16(compress.Zstd)
		seal(b, h)
		var r protocol.ProduceResponse
		k.do(6, request(-1, "events", 0, b), &r)
		require.Equal(t, protocol.UnsupportedCompressionType, r.Topics[0].Partitions[0].ErrorCode)
		expect(t, c, "zstd")
		k.do(7, request(-1, "events", 0, b), &r)
		require.Equal(t, protocol.None, r.Topics[0].Partitions[0].ErrorCode)
		require.Equal(t, []string{"x"}, values(c, "events", 0))
	})
}

func TestRequestsThatNoClientMakesAreViolations(t *testing.T) {
	header := func(key protocol.APIKey, version int16) []byte {
		return protocol.AppendRequestHeader(make([]byte, 4), key, version, 1, "test")
	}
	for _, b := range []struct {
		name  string
		frame []byte
		what  string
	}{
		{"no header", []byte{0, 0, 0, 0, 1}, "header"},
		{"unknown API", header(1, 11), "API 1"},
		{"old version", header(protocol.Produce, 2), "Produce version 2"},
		{"new version", header(protocol.Metadata, 14), "Metadata version 14"},
		{"body", append(header(protocol.Produce, 8), 1, 2), "malformed"},
	} {
		t.Run(b.name, func(t *testing.T) {
			onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
				k := connect(t, c, 1)
				k.write(b.frame)
				_ = k.gone()
				expect(t, c, b.what)
			})
		})
	}
}

func TestANegativeLengthIsAViolation(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		_, err := k.nc.Write([]byte{255, 255, 255, 255})
		require.NoError(t, err)
		_ = k.gone()
		expect(t, c, "-1 bytes")
	})
}

func TestTooLargeARequestClosesTheConnection(t *testing.T) {
	onEach(t, Config{RequestMaxBytes: 100}, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		_, err := k.nc.Write(binary.BigEndian.AppendUint32(nil, 101))
		require.NoError(t, err)
		_ = k.gone()
	})
}

func TestOddAcksAndPartitionsNamedTwiceAreViolations(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		k := connect(t, c, 1)
		var r protocol.ProduceResponse
		k.do(9, request(2, "events", 0, batch(plain, "x")), &r)
		require.Equal(t, protocol.InvalidRequiredAcks, r.Topics[0].Partitions[0].ErrorCode)
		expect(t, c, "acks=2")
		q := request(-1, "events", 0, batch(plain, "x"))
		q.Topics[0].Partitions = append(q.Topics[0].Partitions, q.Topics[0].Partitions[0])
		k.do(9, q, &r)
		expect(t, c, "twice")
	})
}

func TestABadSoftwareNameIsAViolation(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		var r protocol.ApiVersionsResponse
		connect(t, c, 1).do(3, &protocol.ApiVersionsRequest{SoftwareName: "a b", SoftwareVersion: "1"}, &r)
		require.Equal(t, protocol.InvalidRequest, r.ErrorCode)
		expect(t, c, "a b")
	})
}

func TestASequenceUsedAgainForAnotherBatchIsAViolation(t *testing.T) {
	onEach(t, oneTopic, func(t *testing.T, c *Cluster) {
		first, other := batch(identity{7, 0, 0}, "first"), batch(identity{7, 0, 0}, "other")

		// Refused for certain: the sequence is free.
		c.On(protocol.Produce).Nth(1).Do(Fail(protocol.MessageTooLarge))
		k := connect(t, c, 1)
		require.Equal(t, protocol.MessageTooLarge, k.produce("events", 0, first).ErrorCode)
		c.On(protocol.Produce).Nth(1).Do(DropRequest())
		k.send(12, request(-1, "events", 0, other))
		_ = k.gone()
		require.Empty(t, c.Violations())

		// Dropped: the client cannot know that nothing was written.
		k = connect(t, c, 1)
		c.On(protocol.Produce).Nth(1).Do(Fail(protocol.MessageTooLarge))
		require.Equal(t, protocol.MessageTooLarge, k.produce("events", 0, other).ErrorCode)
		require.Empty(t, c.Violations())
		require.Equal(t, protocol.None, k.produce("events", 0, first).ErrorCode)
		expect(t, c, "used again")
	})
}

// recorder is a testing.TB with a record of its calls.
type recorder struct {
	testing.TB
	cleanup []func()
	errors  []string
}

func (r *recorder) Helper()          {}
func (r *recorder) Cleanup(f func()) { r.cleanup = append(r.cleanup, f) }
func (r *recorder) Failed() bool     { return len(r.errors) > 0 }
func (r *recorder) Logf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}
func (r *recorder) Errorf(format string, args ...any) {
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

func TestViolationsThatNobodyExpectedFailTheTest(t *testing.T) {
	r := &recorder{TB: t}
	c := New(r, oneTopic)
	k := connect(t, c, 1)
	require.Equal(t, protocol.InvalidRecord, k.produce("events", 0, append(batch(identity{7, 0, 0}, "x"), 0)).ErrorCode)
	require.Equal(t, protocol.None, k.produce("events", 0, batch(identity{7, 0, 0}, "x")).ErrorCode)
	for _, f := range r.cleanup {
		f()
	}
	require.Len(t, r.errors, 2)
	require.Contains(t, r.errors[0], "1 bytes behind")
	require.Contains(t, r.errors[1], "producer 7 epoch 0 sequence 0 → NONE offset 0 appended true")
}

func (r *recorder) Fatalf(format string, args ...any) {
	r.Errorf(format, args...)
	panic("fatal")
}
