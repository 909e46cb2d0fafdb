package sender

import "github.com/gosamsa/samsa/protocol"

// framed is the size of a Produce request while it is filled: its length, its header, and everything around its batches
// included.
type framed struct {
	version int16
	size    int
	topics  int
}

func newFramed(version int16, clientID string) framed {
	return framed{version: version, size: protocol.ProduceFrameSize(version, clientID)}
}

// longerLength is the largest difference between the length field of a batch and that of an empty one, in bytes.
const longerLength = 4

// space returns the largest batch for a request of limit bytes. partitions is the number of partitions of its topic in
// the request.
func (f *framed) space(limit int, topic string, partitions int) int {
	room := limit - longerLength - f.size - protocol.ProducePartitionSize(f.version, partitions, 0)
	if partitions == 0 {
		room -= protocol.ProduceTopicSize(f.version, f.topics, topic)
	}
	return room
}

// add counts a batch.
func (f *framed) add(topic string, partitions, batch int) {
	f.size += protocol.ProducePartitionSize(f.version, partitions, batch)
	if partitions == 0 {
		f.size += protocol.ProduceTopicSize(f.version, f.topics, topic)
		f.topics++
	}
}
