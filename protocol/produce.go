package protocol

import "slices"

// ProduceRequest hands record batches to the leader of their partitions. It is spoken in versions 3 to 13:
//
//   - 7 may carry zstd (KIP-110)
//   - 9 is flexible
//   - 12 adds partitions to the transaction by itself (KIP-890)
//   - 13 names topics by id instead of by name (KIP-516)
//
// The other versions change only the response.
type ProduceRequest struct {
	// TransactionalID is nil for a producer without transactions.
	TransactionalID *string
	// Acks is 0 (no answer is sent), 1 (the leader's) or -1 (all replicas in sync).
	Acks int16
	// TimeoutMs is how long the leader waits for the replicas in sync, in milliseconds.
	TimeoutMs int32
	Topics    []ProduceTopic
}

// ProduceTopic holds the batches of one topic. A request must not name a topic twice.
type ProduceTopic struct {
	// Name is sent up to version 12.
	Name string
	// ID is sent from version 13 on.
	ID         UUID
	Partitions []ProducePartition
}

// ProducePartition holds the batch of one partition.
type ProducePartition struct {
	Index int32
	// Records is one record batch; nil is null. Decode does not copy it: it lies in the decoded body.
	Records []byte
}

// Key returns Produce.
func (*ProduceRequest) Key() APIKey { return Produce }

// Append appends the request's body, the records copied into it.
func (m *ProduceRequest) Append(dst []byte, version int16) ([]byte, error) {
	w := newWriter(dst, Produce, version)
	m.write(&w, version)
	return w.finish("request")
}

// AppendVectored writes the request for one vectored write. Everything but the records is appended to hdr; bufs gets,
// in the order of the wire, the pieces of hdr and between them the Records, not copied. The earlier contents of hdr
// (the frame's length and the request's header) lead the first piece.
//
// AppendVectored grows hdr at most once, before it writes, so the pieces in bufs stay parts of hdr. A caller changes
// the length or correlation id in the returned hdr or the first piece; the two share memory. With
// [ProduceRequest.EncodedSize] bytes of room in hdr, and room in bufs for two slices a partition and one more, it
// allocates nothing. On an error it returns hdr and bufs unchanged.
func (m *ProduceRequest) AppendVectored(hdr []byte, bufs [][]byte, version int16) ([]byte, [][]byte, error) {
	header, _ := m.EncodedSize(version)
	w := newWriter(slices.Grow(hdr, header), Produce, version)
	w.vectored, w.bufs = true, bufs
	m.write(&w, version)
	w.cut()
	hdr, err := w.finish("request")
	if err != nil {
		return hdr, bufs, err
	}
	return hdr, w.bufs, nil
}

// EncodedSize returns how many bytes AppendVectored appends to hdr, and how many bytes the body has with its records.
func (m *ProduceRequest) EncodedSize(version int16) (header, total int) {
	s := sizer{flexible: Produce.flexible(version)}
	s.string(m.TransactionalID)
	s.fixed += 2 + 4
	s.array(len(m.Topics))
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 13 {
			s.fixed += len(t.ID)
		} else {
			s.string(&t.Name)
		}
		s.array(len(t.Partitions))
		for j := range t.Partitions {
			s.fixed += 4
			s.records(t.Partitions[j].Records)
			s.noTags()
		}
		s.noTags()
	}
	s.noTags()
	return s.fixed, s.fixed + s.data
}

// A producer needs a request's length before it chooses another batch. The three sizes below add up to exactly the
// bytes of a framed request without a transaction.

// ProduceFrameSize returns the size of a request without topics: the frame's length, the request's header, and the
// body.
func ProduceFrameSize(version int16, clientID string) int {
	// Length, API, version, correlation id, client id; transactional id, acks, timeout, topics.
	size := 4 + 2 + 2 + 4 + 2 + min(len(clientID), maxString) + 2 + 2 + 4 + 4
	if Produce.flexible(version) {
		// the tags of the header and of the body; shorter lengths of the transactional id and the topics
		size += 2 - 1 - 3
	}
	return size
}

// ProduceTopicSize returns by how much a topic without partitions makes a request with so many topics longer. From
// version 13 on the name is not sent.
func ProduceTopicSize(version int16, topics int, name string) int {
	if !Produce.flexible(version) {
		return 2 + len(name) + 4
	}
	size := countGrowth(topics) + 1 + 1
	if version >= 13 {
		return size + len(UUID{})
	}
	return size + UvarintSize(uint64(len(name))+1) + len(name)
}

// ProducePartitionSize returns the bytes added to a request by a partition with a batch, in a topic with so many
// partitions.
func ProducePartitionSize(version int16, partitions, batch int) int {
	if !Produce.flexible(version) {
		return 4 + 4 + batch
	}
	return countGrowth(partitions) + 4 + UvarintSize(uint64(batch)+1) + batch + 1
}

// countGrowth returns by how much one element more makes the length of an array longer in flexible versions.
func countGrowth(n int) int { return UvarintSize(uint64(n)+2) - UvarintSize(uint64(n)+1) }

// write writes the body.
func (m *ProduceRequest) write(w *writer, version int16) {
	w.nullableString(m.TransactionalID)
	w.int16(m.Acks)
	w.int32(m.TimeoutMs)
	w.arrayLen(len(m.Topics))
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 13 {
			w.uuid(t.ID)
		} else {
			w.string(t.Name)
		}
		w.arrayLen(len(t.Partitions))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			w.int32(p.Index)
			w.records(p.Records)
			w.noTags()
		}
		w.noTags()
	}
	w.noTags()
}

// Decode fills the request from a body. The Records lie in the body.
func (m *ProduceRequest) Decode(body []byte, version int16) error {
	r := newReader(body, Produce, version)
	m.TransactionalID = r.nullableString(m.TransactionalID)
	m.Acks = r.int16()
	m.TimeoutMs = r.int32()
	m.Topics = resize(m.Topics, r.arrayLen(3))
	for i := range m.Topics {
		t := &m.Topics[i]
		if version >= 13 {
			t.Name, t.ID = "", r.uuid()
		} else {
			t.Name, t.ID = r.string(t.Name), UUID{}
		}
		t.Partitions = resize(t.Partitions, r.arrayLen(6))
		for j := range t.Partitions {
			p := &t.Partitions[j]
			p.Index = r.int32()
			p.Records = r.nullableBytes()
			r.skipTags()
		}
		r.skipTags()
	}
	r.skipTags()
	return r.finish("request")
}

// sizer adds up the bytes of a writer: small fields and records apart.
type sizer struct {
	flexible    bool
	fixed, data int
}

// length adds the length of n bytes or elements; an inflexible length takes size bytes.
func (s *sizer) length(n, size int) {
	if s.flexible {
		size = UvarintSize(uint64(n) + 1)
	}
	s.fixed += size
}

func (s *sizer) array(n int) { s.length(n, 4) }

func (s *sizer) string(v *string) {
	if v == nil {
		s.length(-1, 2)
		return
	}
	s.length(len(*v), 2)
	s.fixed += len(*v)
}

func (s *sizer) records(b []byte) {
	n := len(b)
	if b == nil {
		n = -1
	}
	s.length(n, 4)
	s.data += len(b)
}

func (s *sizer) noTags() {
	if s.flexible {
		s.fixed++
	}
}
