package client

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"time"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// floor is no client: it is the least work of one. One goroutine encodes, checksums, writes, reads the answers and
// calls back; there is no lock, no retry, no timer, and no care for errors beyond ending. It shows a client's distance
// from the machine's limit.
type floor struct {
	conn       net.Conn
	in         *bufio.Reader
	topic      string
	partitions int
	limit      int // bytes of a batch
	outcomes   Outcomes
	shared     func(error) // for unmeasured records

	open     *cargo
	flying   []*cargo // in the order of their requests
	free     []*cargo
	next     int     // the partition of the open batch
	sequence []int32 // by partition

	request  protocol.ProduceRequest
	header   []byte
	pieces   [][]byte
	answer   []byte
	response protocol.ProduceResponse
}

// cargo is a batch and its waiting callers.
type cargo struct {
	buf       []byte
	began     int64 // base timestamp in milliseconds
	callbacks []func(error)
}

const (
	floorBatch    = 16384
	floorInFlight = 5
	floorVersion  = 12 // the last with names of topics, and so without a need for metadata
)

func openFloor(cfg Config, outcomes Outcomes) (Client, error) {
	if cfg.Compression != "none" {
		return nil, errors.New("the floor does not compress")
	}
	if cfg.Goroutines > 1 {
		return nil, errors.New("the floor is one goroutine")
	}
	conn, err := net.Dial("tcp", cfg.Servers[0])
	if err != nil {
		return nil, err
	}
	f := &floor{
		conn: conn, in: bufio.NewReader(conn), topic: cfg.Topic, partitions: cfg.Partitions, limit: floorBatch,
		outcomes: outcomes,
		sequence: make([]int32, cfg.Partitions),
	}
	f.shared = func(err error) { outcomes.Done(0, -1, err) }
	if cfg.Tuned {
		f.limit = tunedBatch
	}
	if cfg.Batch > 0 {
		f.limit = cfg.Batch
	}
	for range floorInFlight + 1 {
		f.free = append(f.free, &cargo{buf: make([]byte, 0, f.limit+1024)})
	}
	f.request = protocol.ProduceRequest{Acks: -1, TimeoutMs: 30000, Topics: []protocol.ProduceTopic{
		{Name: cfg.Topic, Partitions: make([]protocol.ProducePartition, 1)},
	}}
	return f, nil
}

func (f *floor) Sender() Sender { return f }
func (f *floor) Settings() []string {
	return []string{fmt.Sprintf("batches of %d bytes, one a request", f.limit)}
}

func (f *floor) Close() error { return f.conn.Close() }

func (f *floor) Send(m Message, at int64, i int) {
	callback := f.shared
	if at >= 0 {
		callback = func(err error) { f.outcomes.Done(i, at, err) } // as for every other client
	}
	if err := f.send(m, callback); err != nil {
		callback(err)
	}
}

func (f *floor) send(m Message, callback func(error)) error {
	c := f.open
	if c != nil && len(c.buf)+len(m.Key)+len(m.Value)+32 > f.limit {
		if err := f.write(); err != nil {
			return err
		}
		c = nil
	}
	if c == nil {
		c = f.free[len(f.free)-1]
		f.free = f.free[:len(f.free)-1]
		c.buf, c.callbacks, c.began = c.buf[:record.BatchHeaderSize], c.callbacks[:0], time.Now().UnixMilli()
		f.open = c
	}
	c.buf = record.AppendRecord(c.buf, int32(len(c.callbacks)), 0, m.Key, m.Value, nil)
	c.callbacks = append(c.callbacks, callback)
	return nil
}

// write sends the open batch. When as many as may be are in flight, it reads an answer first.
func (f *floor) write() error {
	if len(f.flying) == floorInFlight {
		if err := f.read(); err != nil {
			return err
		}
	}
	c := f.open
	f.open = nil
	count := int32(len(c.callbacks))
	h := record.BatchHeader{
		Length: int32(len(c.buf) - record.BatchLengthOverhead), PartitionLeaderEpoch: -1, Magic: 2,
		LastOffsetDelta: count - 1,
		BaseTimestamp:   c.began, MaxTimestamp: c.began, ProducerID: 1, BaseSequence: f.sequence[f.next], Count: count,
	}
	h.Put(c.buf)
	record.SetChecksum(c.buf)
	f.sequence[f.next] = int32((int64(f.sequence[f.next]) + int64(count)) % (math.MaxInt32 + 1))
	f.request.Topics[0].Partitions[0] = protocol.ProducePartition{Index: int32(f.next), Records: c.buf}
	f.next = (f.next + 1) % f.partitions
	f.header = protocol.AppendRequestHeader(append(f.header[:0], 0, 0, 0, 0), protocol.Produce, floorVersion, 0,
		"floor")
	var err error
	if f.header, f.pieces, err = f.request.AppendVectored(f.header, f.pieces[:0], floorVersion); err != nil {
		return err
	}
	size := -4
	for _, p := range f.pieces {
		size += len(p)
	}
	binary.BigEndian.PutUint32(f.pieces[0], uint32(size))
	f.flying = append(f.flying, c)
	vector := net.Buffers(f.pieces)
	_, err = vector.WriteTo(f.conn)
	return err
}

// read takes the next answer and calls back.
func (f *floor) read() error {
	var length [4]byte
	if _, err := io.ReadFull(f.in, length[:]); err != nil {
		return err
	}
	n := int(binary.BigEndian.Uint32(length[:]))
	if n > cap(f.answer) {
		f.answer = make([]byte, n)
	}
	if _, err := io.ReadFull(f.in, f.answer[:n]); err != nil {
		return err
	}
	_, body, err := protocol.DecodeResponseHeader(f.answer[:n], protocol.Produce, floorVersion)
	if err != nil {
		return err
	}
	if err := f.response.Decode(body, floorVersion); err != nil {
		return err
	}
	var failed error
	if code := f.response.Topics[0].Partitions[0].ErrorCode; code != protocol.None {
		failed = &protocol.Error{Code: code}
	}
	c := f.flying[0]
	f.flying = append(f.flying[:0], f.flying[1:]...)
	for _, callback := range c.callbacks {
		callback(failed)
	}
	f.free = append(f.free, c)
	return nil
}

func (f *floor) Flush(context.Context) error {
	if f.open != nil {
		if err := f.write(); err != nil {
			return err
		}
	}
	for len(f.flying) > 0 {
		if err := f.read(); err != nil {
			return err
		}
	}
	return nil
}

func (f *floor) Wait(ctx context.Context, m Message) error {
	if err := f.send(m, f.shared); err != nil {
		return err
	}
	return f.Flush(ctx)
}
