package testbroker

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/compress"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// Request is a request as a broker got it. Hooks and Requests give copies; their bytes must not be changed.
type Request struct {
	// Number counts the cluster's requests in order of arrival, from 1.
	Number int
	// Time is when the last byte had arrived.
	Time time.Time
	// Broker and Connection are its receivers. Connections are numbered through the whole cluster, from 1.
	Broker     int32
	Connection int
	// Header is the request's header.
	Header protocol.RequestHeader
	// Message is the decoded request; nil for an ApiVersions request in a version too new for the broker.
	Message protocol.Request
	// Size is the request's size in bytes, header included.
	Size int
	// InFlight is how many Produce requests of this connection were not answered at its arrival, itself included.
	InFlight int
	// Acks is the acks of a Produce request.
	Acks int16
	// Parts are the parts of a Produce request, in its order.
	Parts []Part
	// Handled: the broker has finished its work on the request; a request dropped or lost with its connection never
	// gets there. Answered: the whole answer was, or is being, written too, if there is one.
	Handled, Answered bool
}

// Part is a Produce request's batch for one partition, with its outcome.
type Part struct {
	// Topic is empty if the request named an id without a topic, past or present.
	Topic     string
	TopicID   protocol.UUID
	Partition int32
	// Batch is the decoded batch; empty when it could not be decoded.
	Batch record.Batch
	// Raw is the batch as it came.
	Raw []byte
	// Code is the answer's error code and Offset its base offset, once the request is handled; before, 0 and -1. Edits
	// of the answer do not show here.
	Code   protocol.ErrorCode
	Offset int64
	// Appended: the batch was written to the log by this request, so it was no duplicate.
	Appended bool

	// refusal is the code for an invalid batch, with the reason.
	refusal protocol.ErrorCode
	reason  string
	claim   *claimed
}

// seen is a request while the broker has it. The cluster's mutex guards the changing fields.
type seen struct {
	Request
	conn  *conn
	topic []*topic // of each part; nil when there was none
}

// claim is a sequence of a producer in a partition. Two clients with the same producer id, as after Replace, are told
// apart by their client.id: neither is to blame for the other's batches.
type claim struct {
	client   string
	topic    protocol.UUID
	part     int32
	producer int64
	epoch    int16
	sequence int32
}

// claimed is the batch sent by a client under a sequence. As long as the client must take it for possibly written, it
// can send no other batch there.
type claimed struct {
	crc    uint32
	length int32
	// open are the attempts without an answer that proves nothing was written.
	open int
}

// Requests returns all requests, in order of arrival.
func (c *Cluster) Requests() []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	list := make([]Request, len(c.seen))
	for i, s := range c.seen {
		list[i] = s.copy()
	}
	return list
}

// RequestsOf returns the requests of one API, in order of arrival.
func (c *Cluster) RequestsOf(key protocol.APIKey) []Request {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []Request
	for _, s := range c.seen {
		if s.Header.Key == key {
			list = append(list, s.copy())
		}
	}
	return list
}

// Produces returns the Produce requests, in order of arrival.
func (c *Cluster) Produces() []Request { return c.RequestsOf(protocol.Produce) }

// MaxInFlight returns the greatest InFlight of all requests: how many Produce requests a client had in flight on a
// connection.
func (c *Cluster) MaxInFlight() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	most := 0
	for _, s := range c.seen {
		most = max(most, s.InFlight)
	}
	return most
}

// copy returns the request as it is now. The cluster's mutex is held.
func (s *seen) copy() Request {
	r := s.Request
	r.Parts = slices.Clone(r.Parts)
	return r
}

// errClose makes a connection close: Kafka's answer to unacceptable requests.
var errClose = errors.New("the broker closes the connection")

// arrived records a request. After an error the caller closes the connection.
func (c *Cluster) arrived(k *conn, frame []byte) (*seen, error) {
	h, body, err := protocol.DecodeRequestHeader(frame)
	if err != nil {
		c.violation("%s: %v", k, err)
		return nil, errClose
	}
	message, err := c.parse(k, h, body)
	if err != nil {
		return nil, err
	}
	parts := readParts(message, h.Version)

	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-k.done:
		return nil, errClose
	default:
	}
	s := &seen{conn: k, Request: Request{
		Number: len(c.seen) + 1, Time: time.Now(), Broker: k.b.id, Connection: k.number, Header: h, Message: message,
		Size: len(frame), Parts: parts,
	}}
	if m, ok := message.(*protocol.ProduceRequest); ok {
		k.producing++
		s.Acks = m.Acks
		c.inspect(s, m)
	}
	s.InFlight = k.producing
	c.seen = append(c.seen, s)
	c.counts[h.Key]++
	c.wake()
	return s, nil
}

// parse decodes a request's body and checks that the broker speaks it.
func (c *Cluster) parse(k *conn, h protocol.RequestHeader, body []byte) (protocol.Request, error) {
	c.mu.Lock()
	spoken, ok := k.b.versions[h.Key]
	c.mu.Unlock()
	there := ok && spoken.Max >= spoken.Min
	if h.Key == protocol.ApiVersions && (!there || h.Version > spoken.Max) {
		if !there {
			return nil, errClose
		}
		return nil, nil
	}
	if !there || h.Version < max(spoken.Min, protocol.SupportedVersions(h.Key).Min) || h.Version > spoken.Max {
		c.violation("%s: %s version %d, which the broker does not speak", k, h.Key, h.Version)
		return nil, errClose
	}
	var m protocol.Request
	switch h.Key {
	case protocol.Produce:
		m = &protocol.ProduceRequest{}
	case protocol.Metadata:
		m = &protocol.MetadataRequest{}
	case protocol.ApiVersions:
		m = &protocol.ApiVersionsRequest{}
	case protocol.InitProducerID:
		m = &protocol.InitProducerIDRequest{}
	default:
		return nil, errClose
	}
	if err := m.Decode(body, h.Version); err != nil {
		c.violation("%s: %s version %d: %v", k, h.Key, h.Version, err)
		return nil, errClose
	}
	return m, nil
}

// readParts decodes the batches of a Produce request; nil for other requests.
func readParts(m protocol.Request, version int16) []Part {
	produce, ok := m.(*protocol.ProduceRequest)
	if !ok {
		return nil
	}
	var parts []Part
	for _, t := range produce.Topics {
		for _, p := range t.Partitions {
			part := Part{Topic: t.Name, TopicID: t.ID, Partition: p.Index, Raw: p.Records, Offset: -1}
			part.read(version)
			parts = append(parts, part)
		}
	}
	return parts
}

// read decodes and checks the batch.
func (p *Part) read(version int16) {
	batch, rest, err := record.ReadBatch(p.Raw, compress.Decompress, 0)
	if err == nil {
		p.Batch = batch
		err = batch.ValidateProduced()
	}
	switch {
	case errors.Is(err, record.ErrChecksum), errors.Is(err, record.ErrIncomplete):
		p.refusal, p.reason = protocol.CorruptMessage, err.Error()
	case err != nil:
		p.refusal, p.reason = protocol.InvalidRecord, err.Error()
	case len(rest) > 0:
		p.refusal, p.reason = protocol.InvalidRecord, fmt.Sprintf("%d bytes behind the one batch that is allowed",
			len(rest))
	case version < 7 && batch.Header.Codec() == int8(compress.Zstd):
		p.refusal, p.reason = protocol.UnsupportedCompressionType, "zstd before version 7"
	}
}

// inspect looks for requests impossible for a correct client, finds the parts' topics, and notes the used sequences.
// c.mu is held.
func (c *Cluster) inspect(s *seen, m *protocol.ProduceRequest) {
	if m.Acks < -1 || m.Acks > 1 {
		c.violationLocked("%s: acks=%d", s.conn, m.Acks)
	}
	named := make(map[string]bool)
	s.topic = make([]*topic, len(s.Parts))
	for i := range s.Parts {
		p := &s.Parts[i]
		s.topic[i] = c.resolve(p, s.Header.Version)
		place := fmt.Sprintf("%s, request %d, partition %s/%d", s.conn, s.Number, p.Topic, p.Partition)
		if key := fmt.Sprintf("%s %s %d", p.Topic, p.TopicID, p.Partition); named[key] {
			c.violationLocked("%s: named twice", place)
		} else {
			named[key] = true
		}
		if p.refusal != protocol.None {
			c.violationLocked("%s: %s", place, p.reason)
		} else if t := s.topic[i]; t != nil && p.Batch.Header.ProducerID >= 0 {
			client := ""
			if s.Header.ClientID != nil {
				client = *s.Header.ClientID
			}
			c.claim(client, p, t, place)
		}
	}
}

// resolve finds a part's topic, nil if there is none, and fills in its name. c.mu is held.
func (c *Cluster) resolve(p *Part, version int16) *topic {
	if version < 13 {
		t := c.topics[p.Topic]
		if t != nil {
			p.TopicID = t.id
		}
		return t
	}
	t := c.byID[p.TopicID]
	if t == nil {
		return nil
	}
	p.Topic = t.name
	if t.deleted {
		return nil
	}
	return t
}

// claim notes the arrival of a batch under its sequence. c.mu is held.
func (c *Cluster) claim(client string, p *Part, t *topic, place string) {
	h := &p.Batch.Header
	key := claim{client, t.id, p.Partition, h.ProducerID, h.ProducerEpoch, h.BaseSequence}
	old := c.claims[key]
	if old == nil || old.crc != h.CRC || old.length != h.Length {
		if old != nil && old.open > 0 {
			c.violationLocked("%s: producer %d epoch %d sequence %d is used again for another batch while the first may be written",
				place, h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		}
		old = &claimed{crc: h.CRC, length: h.Length}
		c.claims[key] = old
	}
	old.open++
	p.claim = old
}

// answered notes a request just before its answer, with the client's knowledge after it. response is nil if there is
// none.
func (c *Cluster) answered(s *seen, response protocol.Response) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s.Answered = true
	if s.Header.Key == protocol.Produce {
		s.conn.producing--
	}
	if answer, ok := response.(*protocol.ProduceResponse); ok {
		s.settle(answer)
	}
	c.wake()
}

// settle frees the sequences of the parts with a code that proves the batch was not written.
func (s *seen) settle(answer *protocol.ProduceResponse) {
	parts := make(map[partName][]*Part, len(s.Parts))
	for i := range s.Parts {
		p := &s.Parts[i]
		name := partName{topic: p.Topic, index: p.Partition}
		if s.Header.Version >= 13 {
			name = partName{id: p.TopicID, index: p.Partition}
		}
		parts[name] = append(parts[name], p)
	}
	for i := range answer.Topics {
		t := &answer.Topics[i]
		for _, r := range t.Partitions {
			name := partName{topic: t.Name, index: r.Index}
			if s.Header.Version >= 13 {
				name = partName{id: t.ID, index: r.Index}
			}
			for _, p := range parts[name] {
				if p.claim != nil && r.ErrorCode.WriteOutcomeWith(s.Acks) == protocol.NotWritten {
					p.claim.open--
					p.claim = nil
				}
			}
		}
	}
}

// Violations returns the clients' acts impossible for a correct client, and forgets them: the asking test has expected
// them. The violations left at the test's end fail the test.
func (c *Cluster) Violations() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	v := c.violations
	c.violations = nil
	return v
}

func (c *Cluster) violation(format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.violationLocked(format, args...)
}

// violationLocked is violation with c.mu held.
func (c *Cluster) violationLocked(format string, args ...any) {
	c.violations = append(c.violations, fmt.Sprintf(format, args...))
	c.wake()
}

// softwareName matches the software names and versions of clients accepted by Kafka.
var softwareName = regexp.MustCompile(`^[a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])?$`)

// trace returns the last n requests, a line each.
func (c *Cluster) trace(n int) string {
	var b strings.Builder
	list := c.Requests()
	for _, r := range list[max(0, len(list)-n):] {
		fmt.Fprintf(&b, "%s\n", r)
	}
	return b.String()
}

// String returns the request in a line.
func (r Request) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s #%d broker %d conn %d %s v%d", r.Time.Format("15:04:05.000000"), r.Number, r.Broker,
		r.Connection, r.Header.Key, r.Header.Version)
	if r.Header.Key == protocol.Produce {
		fmt.Fprintf(&b, " acks=%d", r.Acks)
	}
	for _, p := range r.Parts {
		h := &p.Batch.Header
		fmt.Fprintf(&b, " [%s/%d: %d records", p.Topic, p.Partition, h.Count)
		if h.ProducerID >= 0 {
			fmt.Fprintf(&b, ", producer %d epoch %d sequence %d", h.ProducerID, h.ProducerEpoch, h.BaseSequence)
		}
		if r.Handled {
			fmt.Fprintf(&b, " → %s offset %d appended %t", p.Code.Name(), p.Offset, p.Appended)
		}
		b.WriteString("]")
	}
	switch {
	case !r.Handled:
		b.WriteString(" not handled")
	case !r.Answered:
		b.WriteString(" not answered")
	}
	return b.String()
}
