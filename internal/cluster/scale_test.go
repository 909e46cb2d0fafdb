package cluster

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/samecost"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
)

// scaled is a client with topics of ten partitions. The test makes the responses, and hands them to the client; the
// client's goroutine does not run.
type scaled struct {
	*Client
	epoch, first int
}

func newScaled(t *testing.T, topics int) *scaled {
	c := &scaled{Client: newClient(config(newWorld()))}
	t.Cleanup(c.Close)
	resp, names := large(topics)
	conn, err := transport.Dial(t.Context(), c.cfg.dial(0), "a:1")
	require.NoError(t, err)
	c.mu.Lock()
	c.conn = conn // requests for new topics do not need a refresh of the known topics first
	c.mu.Unlock()
	c.OnChange(func(*Change) {})
	for _, name := range names {
		c.mu.Lock()
		c.topics.track(name, time.Now())
		c.mu.Unlock()
	}
	c.respond(metadataQuery{topics: names}, resp)
	require.Equal(t, topics, c.Snapshot().Len())
	require.Empty(t, c.topics.due)
	return c
}

// respond makes the client process a response, as after a fetch.
func (c *scaled) respond(q metadataQuery, resp *protocol.MetadataResponse) {
	done := &completion{now: time.Now()}
	c.mu.Lock()
	c.take(q, reply{candidate: candidate{address: "a:1", conn: c.conn}, resp: resp, version: 13}, done)
	c.mu.Unlock()
	c.complete(done)
	c.plan(done.now)
}

// change gives each partition of a topic another leader epoch.
func (c *scaled) change() {
	c.epoch++
	name, id := "topic-7", byte(8)
	c.respond(metadataQuery{topics: []string{name}, refreshRequested: true},
		answerOf(topicOf(name, id, int32(c.epoch), 1, 2, 3, 1, 2, 3, 1, 2, 3, 1)))
}

// hint gives one partition another leader.
func (c *scaled) hint() {
	c.epoch++
	c.ApplyLeaderHints("", []LeaderHint{hintOf("topic-7", 3, int32(c.epoch%3+1), int32(c.epoch))}, nil)
}

// use requests a new topic, and merges the answer about it.
func (c *scaled) use() {
	c.first++
	name := fmt.Sprint("new-", c.first)
	c.mu.Lock()
	// The known topics are never due, even if the test takes long.
	c.refresh, c.knownNext, c.renewAt = false, false, time.Now().Add(time.Hour)
	clear(c.topics.stale)
	c.topics.track(name, time.Now())
	c.mu.Unlock()
	q, _, _ := c.plan(time.Now())
	c.respond(q, answerOf(topicOf(name, 3, 0, 1)))
	if c.Snapshot().Topic(name) == nil {
		panic("the client did not request its new topic alone")
	}
}

// repeat is a round of samecost.Check.
func repeat(c *scaled, step func(*scaled)) {
	for range 20 {
		step(c)
	}
}

// The client passes on only differences of the metadata, so its work for a response or a hint depends only on the size
// of the change.
func TestAResponseCostsTheSameWithManyKnownTopics(t *testing.T) {
	few, many := newScaled(t, 100), newScaled(t, 10_000)
	for name, step := range map[string]func(c *scaled){
		"a topic that has changed": (*scaled).change,
		"a hint":                   (*scaled).hint,
		"a new topic":              (*scaled).use,
	} {
		t.Run(name, func(t *testing.T) {
			samecost.Check(t, func() { repeat(few, step) }, func() { repeat(many, step) })
		})
	}
}
