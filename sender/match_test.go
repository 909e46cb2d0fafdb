package sender

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// lined is a request of many batches. They share their bytes; no test sends them.
func lined(tb testing.TB, version int16, topics, partitions int) *request {
	tb.Helper()
	b, attempts := loaded(tb, 1)
	first := attempts[0].outBatch
	r := b.newRequest(nil)
	r.version = version
	for p := range int32(partitions) {
		for t := range topics {
			acc := b.s.Accumulator().Topic(fmt.Sprint("topic-", t)).Partition(p)
			c := &outBatch{state: first.state, part: acc.Drainer().(*partition), batch: first.batch}
			at, _ := r.topic(acc.Topic())
			r.add(attempt{outBatch: c, topicID: protocol.UUID{1, byte(t), byte(t >> 8)}}, at)
		}
	}
	require.NoError(tb, r.encode())
	return r
}

// answerOf is a response to r as a broker could send it. Every part has the number of its batch as its offset.
func answerOf(r *request) *protocol.ProduceResponse {
	m := &protocol.ProduceResponse{}
	at := map[string]int{}
	for n, one := range r.attempts {
		name := one.part.acc.Topic()
		i, known := at[name]
		if !known {
			i = len(m.Topics)
			at[name] = i
			m.Topics = append(m.Topics, protocol.ProduceTopicResponse{Name: name, ID: one.topicID})
		}
		m.Topics[i].Partitions = append(m.Topics[i].Partitions, protocol.ProducePartitionResponse{
			Index: one.part.acc.Index(), BaseOffset: int64(n), LogAppendTimeMs: -1,
		})
	}
	return m
}

func shuffle(m *protocol.ProduceResponse, rng *rand.Rand) {
	rng.Shuffle(len(m.Topics), func(i, j int) { m.Topics[i], m.Topics[j] = m.Topics[j], m.Topics[i] })
	for i := range m.Topics {
		p := m.Topics[i].Partitions
		rng.Shuffle(len(p), func(i, j int) { p[i], p[j] = p[j], p[i] })
	}
}

func encoded(tb testing.TB, r *request, m *protocol.ProduceResponse) []byte {
	tb.Helper()
	body, err := m.Append(nil, r.version)
	require.NoError(tb, err)
	return body
}

func TestAResponseInAnyOrderIsMatchedByTopicAndPartition(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for _, version := range []int16{3, 9, 12, 13} {
		for _, size := range [][2]int{{1, 1}, {1, 3}, {2, 3}, {1, 40}, {7, 9}, {50, 1}} {
			t.Run(fmt.Sprintf("version %d, %d topics, %d partitions", version, size[0], size[1]), func(t *testing.T) {
				r := lined(t, version, size[0], size[1])
				for range 20 {
					m := answerOf(r)
					shuffle(m, rng)
					require.NoError(t, r.decode(encoded(t, r, m)))
					matched := 0
					for part, one := range r.parts {
						require.Equal(t, r.attempts[part.BaseOffset], one)
						matched++
					}
					require.Equal(t, len(r.attempts), matched)
					require.NotContains(t, r.found, false)
				}
			})
		}
	}
}

// TestMatchingAShuffledResponseIsNotQuadratic compares with a response in the request's order. A search from batch to
// batch takes some 700 times as long, an index about five times.
func TestMatchingAShuffledResponseIsNotQuadratic(t *testing.T) {
	for _, version := range []int16{12, 13} {
		r := lined(t, version, 1, 10_000)
		fastest := func(body []byte) time.Duration {
			best := time.Hour
			for range 3 {
				began := time.Now()
				require.Equal(t, 10_000, read(r, body))
				best = min(best, time.Since(began))
			}
			return best
		}
		m := answerOf(r)
		ordered := fastest(encoded(t, r, m))
		shuffle(m, rand.New(rand.NewPCG(3, 4)))
		require.Less(t, fastest(encoded(t, r, m)), 100*ordered)
	}
}

// TestTheIndexIsSearchedInFewSteps counts the slots between a batch's home and its slot.
func TestTheIndexIsSearchedInFewSteps(t *testing.T) {
	for _, size := range [][2]int{{1, 10_000}, {10_000, 1}, {100, 100}} {
		r := lined(t, 13, size[0], size[1])
		r.places.build(r)
		steps := 0
		for at := range r.attempts {
			one := &r.attempts[at]
			name := protocol.ProduceTopicResponse{ID: one.topicID}
			slot, taken := r.places.seek(r, &name, one.part.acc.Index())
			require.True(t, taken)
			home := r.places.home(r, &name, one.part.acc.Index())
			steps += 1 + (slot-home)&(len(r.places.slots)-1)
		}
		require.Less(t, steps, 3*len(r.attempts), "%v", size)
	}
}

func TestReadingAShuffledAnswerAllocatesNothingOnceOneWasRead(t *testing.T) {
	for _, version := range []int16{12, 13} {
		r := lined(t, version, 1, 100)
		m := answerOf(r)
		shuffle(m, rand.New(rand.NewPCG(5, 6)))
		body := encoded(t, r, m)
		require.Less(t, perRound(func() {
			if read(r, body) != 100 {
				t.Error("not all are found")
			}
		}), 0.5)
	}
}

// TestAPartThatComesTwiceOrUnaskedIsNoAnswer: the first one counts, and a batch without a part is in doubt.
func TestAPartThatComesTwiceOrUnaskedIsNoAnswer(t *testing.T) {
	for _, partitions := range []int{4, 40} {
		for _, version := range []int16{12, 13} {
			r := lined(t, version, 1, partitions)
			m := answerOf(r)
			parts := m.Topics[0].Partitions
			parts[1] = parts[0]
			parts[2].Index = 1000
			m.Topics = append(m.Topics, protocol.ProduceTopicResponse{Name: "unasked", ID: protocol.UUID{9},
				Partitions: parts[3:4:4]})
			m.Topics[0].Partitions = parts[:3]
			require.NoError(t, r.decode(encoded(t, r, m)))
			require.Equal(t, []int32{0, noMatch, noMatch, noMatch}, r.matches)
			for at, found := range r.found {
				require.Equal(t, at == 0, found)
			}
		}
	}
}

// TestTwoTopicsOfOneIDDoNotShareAnAnswer: wrong metadata can give two topics of a request the same id.
func TestTwoTopicsOfOneIDDoNotShareAnAnswer(t *testing.T) {
	r := lined(t, 13, 20, 1)
	for i := range r.attempts {
		r.attempts[i].topicID = protocol.UUID{1}
	}
	m := answerOf(r)
	for i := range m.Topics {
		m.Topics[i].ID = protocol.UUID{1}
	}
	m.Topics = m.Topics[10:]
	m.Topics[0].Partitions[0].Index = 5
	require.NoError(t, r.decode(encoded(t, r, m)))
	found := 0
	for _, f := range r.found {
		if f {
			found++
		}
	}
	require.LessOrEqual(t, found, 9)
}

// TestAResponseWithMorePartsThanTheRequestEndsTheConnection: nothing of it counts, and the written batches are in doubt
// until the retry.
func TestAResponseWithMorePartsThanTheRequestEndsTheConnection(t *testing.T) {
	malformed := map[string]func(a *protocol.ProduceResponse){
		"a partition": func(a *protocol.ProduceResponse) {
			a.Topics[0].Partitions = append(a.Topics[0].Partitions, protocol.ProducePartitionResponse{Index: 2})
		},
		"a topic": func(a *protocol.ProduceResponse) {
			a.Topics = append(a.Topics, protocol.ProduceTopicResponse{ID: protocol.UUID{1}})
		},
		"a topic without partitions": func(a *protocol.ProduceResponse) {
			a.Topics = append([]protocol.ProduceTopicResponse{{ID: protocol.UUID{1}}}, a.Topics...)
		},
		"refused records": func(a *protocol.ProduceResponse) {
			part := &a.Topics[0].Partitions[0]
			part.ErrorCode, part.RecordErrors = protocol.InvalidRecord, make([]protocol.RecordError, 3)
		},
		"brokers": func(a *protocol.ProduceResponse) {
			a.NodeEndpoints = make([]protocol.NodeEndpoint,
				mostEndpoints+1)
		},
	}
	for name, edit := range malformed {
		t.Run(name, func(t *testing.T) {
			onRig(t, topicT(1, 3), nil, func(r *rig) {
				r.send(0, "warm").acked()
				r.c.On(protocol.Produce).Nth(1).Do(testbroker.Edit(edit))
				require.Equal(t, int64(1), r.send(0, "once").acked())
				requests := r.c.Produces()
				require.Len(t, requests, 3)
				require.Less(t, requests[1].Connection, requests[2].Connection)
				require.Equal(t, []string{"warm", "once"}, r.values(0))
			})
		})
	}
}

// TestRefusedRecordsAreAtMostTheBatchs: another batch of the request has room for as many.
func TestRefusedRecordsAreAtMostTheBatchs(t *testing.T) {
	r := lined(t, 13, 1, 2)
	m := answerOf(r)
	part := &m.Topics[0].Partitions[0]
	n := int(r.attempts[0].state.Count())
	part.ErrorCode, part.RecordErrors = protocol.InvalidRecord, make([]protocol.RecordError, n)
	require.NoError(t, r.decode(encoded(t, r, m)))
	part.RecordErrors = make([]protocol.RecordError, n+1)
	require.ErrorIs(t, r.decode(encoded(t, r, m)), protocol.ErrMalformed)
}

// TestALongResponseTakesNoMemory: the broker answers the request for one batch with 300,000 topics, and then with
// words.
func TestALongResponseTakesNoMemory(t *testing.T) {
	onRig(t, topicT(1, 1), func(c *Config) { c.Accumulator.Linger = time.Hour }, func(r *rig) {
		r.send(0, "warm").acked()
		word := string(make([]byte, 30_000))
		r.c.On(protocol.Produce).InTurn(
			testbroker.Edit(func(a *protocol.ProduceResponse) {
				a.Topics = make([]protocol.ProduceTopicResponse,
					300_000)
			}),
			testbroker.Pass(),
			testbroker.Reject(protocol.InvalidRecord, word, map[int32]string{0: word}),
		)
		require.Equal(t, int64(1), r.send(0, "twice").acked())
		_ = r.send(0, "refused").failed(false)
		require.Equal(t, int64(2), r.send(0, "again").acked())
		synctest.Wait() // the request is free after the outcome
		b := r.s.brokers[1]
		b.mu.Lock()
		defer b.mu.Unlock()
		require.NotEmpty(t, b.free)
		for _, q := range b.free {
			require.LessOrEqual(t, cap(q.answer.Topics), 10)
			for _, topic := range q.answer.Topics[:cap(q.answer.Topics)] {
				for _, part := range topic.Partitions[:cap(topic.Partitions)] {
					require.Nil(t, part.ErrorMessage)
					require.Nil(t, part.RecordErrors)
				}
			}
		}
	})
}

// TestFreeRequestsAreFewAndSmall: however large requests were, and however their topics changed, a broker keeps room
// for some batches.
func TestFreeRequestsAreFewAndSmall(t *testing.T) {
	b, attempts := loaded(t, 1)
	fill := func(topics, partitions int) *request {
		r := b.newRequest(nil)
		r.version = 13
		for t := range topics {
			for p := range int32(partitions) {
				acc := b.s.Accumulator().Topic(fmt.Sprint("topic-", t)).Partition(p)
				c := &outBatch{state: attempts[0].state, part: acc.Drainer().(*partition), batch: attempts[0].batch}
				at, _ := r.topic(acc.Topic())
				r.add(attempt{outBatch: c, topicID: protocol.UUID{1, byte(t), byte(t >> 8)}}, at)
			}
		}
		require.NoError(t, r.encode())
		require.NoError(t, r.decode(encoded(t, r, answerOf(r))))
		return r
	}
	kept := func() (batches int) {
		for _, r := range b.free {
			for _, topic := range r.body.Topics[:cap(r.body.Topics)] {
				batches += cap(topic.Partitions)
			}
			for _, topic := range r.answer.Topics[:cap(r.answer.Topics)] {
				batches += cap(topic.Partitions)
			}
		}
		return batches
	}
	var all []*request
	for range 50 {
		all = append(all, fill(1, 3))
	}
	for _, r := range all {
		b.recycle(r)
	}
	require.Len(t, b.free, mostFree)
	// Long lists wander from topic to topic.
	for n := range 30 {
		r := fill(n+1, 1)
		b.recycle(r)
		b.recycle(fill(1, 200*(n+1)))
		require.LessOrEqual(t, kept(), 2*mostFreeRoom)
	}
	for _, r := range b.free {
		require.LessOrEqual(t, cap(r.attempts), 2*mostFreeRoom)
	}
	sum := 0
	for _, r := range b.free {
		sum += r.room
	}
	require.Equal(t, sum, b.freeRoom)
}
