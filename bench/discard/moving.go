package discard

import (
	"fmt"

	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// movingTopic is the format of the names of moving topics.
const movingTopic = "moving-%d"

// MovingTopic is the name of a topic with so many partitions and two brokers. Before each batch of an idempotent
// producer but a partition's first one, the leadership moves to the other broker: the former leader refuses the batch,
// and its response names the new leader.
func MovingTopic(partitions int) string { return fmt.Sprintf(movingTopic, partitions) }

func isMoving(name string) bool {
	var partitions int32
	_, err := fmt.Sscanf(name, movingTopic, &partitions)
	return err == nil
}

// partitionKey is a partition by the id of its topic.
type partitionKey struct {
	topic protocol.UUID
	index int32
}

// moved is the broker's memory of a partition with a moved leadership: the number of moves, and the batch refused last.
type moved struct {
	epoch    int32
	producer int64
	sequence int32
}

// leader returns the present leader of a partition, one of the brokers from 1 on, and its epoch. The caller holds mu.
func (b *Broker) leader(key partitionKey, brokers int32) (id, epoch int32) {
	epoch = b.moves[key].epoch
	return 1 + (key.index+epoch)%brokers, epoch
}

// refuse reports whether a batch for a moving topic meets a former leader, and completes the response then.
func (b *Broker) refuse(t *protocol.ProduceTopic, h *record.BatchHeader, r *protocol.ProduceResponse,
	answer *protocol.ProducePartitionResponse) bool {
	key := partitionKey{t.ID, answer.Index}
	if key.topic.IsZero() {
		key.topic = idOf(t.Name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	last := b.moves[key]
	if !isMoving(b.names[key.topic]) || h.BaseSequence <= 0 || last.producer == h.ProducerID &&
		last.sequence == h.BaseSequence {
		return false
	}
	b.moves[key] = moved{last.epoch + 1, h.ProducerID, h.BaseSequence}
	id, epoch := b.leader(key, 2)
	answer.ErrorCode, answer.BaseOffset = protocol.NotLeaderOrFollower, -1
	answer.CurrentLeader = &protocol.LeaderIDAndEpoch{LeaderID: id, LeaderEpoch: epoch}
	r.NodeEndpoints = []protocol.NodeEndpoint{{NodeID: id, Host: b.host, Port: b.port}}
	return true
}
