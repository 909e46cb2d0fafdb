package sender

import (
	"context"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// A producer identity means nothing outside its cluster: another cluster may have assigned the same producer id to
// another producer, and would answer "duplicate" for unknown batches. The metadata reports a replaced cluster too late,
// for the sender may have reached a server of the new one before. So the client checks each connection for identities
// once, when it is made: its server names its cluster, and a request takes only batches of that cluster (see
// partition.next). Kafka 4.4 has the same check in ApiVersions (KIP-1242); a Metadata request for no topics does it
// with all versions.

// clusterOf returns the cluster id of a new connection's server, or an error if the metadata has another cluster.
// Without idempotence there is no check. Then, and if the server does not report an id, the server counts as one of
// assumed, the cluster of the metadata before the dial. So the connection ends when the metadata's cluster changes.
func (b *broker) clusterOf(conn *transport.Conn, assumed string, timeout time.Duration) (string, error) {
	if !b.s.cfg.Idempotent {
		return assumed, nil
	}
	const namesCluster = 2
	version, err := conn.Version(protocol.Metadata)
	if err != nil || version < namesCluster {
		return assumed, nil // the server cannot say
	}
	// A throttled ApiVersions response mutes the connection, and the timeout counts from the end of the throttle.
	muted := max(time.Until(conn.ThrottledUntil()), 0)
	ctx, cancel := context.WithTimeout(b.s.ctx, muted+timeout)
	defer cancel()
	var resp protocol.MetadataResponse
	if err := conn.Do(ctx, b.clusterQuestion(version), &resp); err != nil {
		b.checksByTopic = !b.checksByTopic
		return "", fmt.Errorf("the Metadata request for its cluster id failed: %w", err)
	}
	if resp.ErrorCode == protocol.RebootstrapRequired {
		return "", &transport.Error{Address: conn.Address(), Err: &protocol.Error{Code: resp.ErrorCode}}
	}
	if resp.ClusterID == nil || *resp.ClusterID == "" { // also with other error codes: the server cannot say
		return assumed, nil
	}
	if expected := b.s.cfg.Cluster.Snapshot().ClusterID; !protocol.SameCluster(*resp.ClusterID, expected) {
		return "", b.stranger(conn, *resp.ClusterID, expected)
	}
	return *resp.ClusterID, nil
}

// clusterQuestion returns the request for the cluster id. It names no topic, or after a failure the topic at the head
// of the ready queue: some servers that are almost Kafka do not answer a request for no topics.
func (b *broker) clusterQuestion(version int16) *protocol.MetadataRequest {
	req := &protocol.MetadataRequest{Topics: []protocol.MetadataRequestTopic{}, AllowAutoTopicCreation: version < 4}
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.checksByTopic && b.ready.Len() > 0 {
		name := b.ready.At(0).part.acc.Topic()
		req.Topics = append(req.Topics, protocol.MetadataRequestTopic{Name: &name})
	}
	return req
}

// stranger notes that the broker's address leads to another cluster, and returns an error with that. After the second
// time in a row, the fourth, the eighth and so on, the client starts again from the bootstrap servers. After the others
// it only requests metadata from the known servers: the broker may have another address, or its address may lead to
// both clusters in turn, so the next attempt can meet the right one.
func (b *broker) stranger(conn *transport.Conn, found, expected string) error {
	b.mu.Lock()
	b.strangers++
	startOver := b.strangers >= 2 && b.strangers&(b.strangers-1) == 0
	b.mu.Unlock()
	if startOver {
		b.s.cfg.Cluster.Rebootstrap()
	}
	return fmt.Errorf("server %s belongs to cluster %.64q, and the metadata is of cluster %.64q", conn.Address(), found,
		expected)
}

// leaveFormerCluster closes the connection if its server does not belong to the cluster of the metadata.
func (b *broker) leaveFormerCluster() {
	b.mu.Lock()
	conn, clusterID := b.conn, b.cluster
	b.mu.Unlock()
	if conn != nil && !protocol.SameCluster(clusterID, b.s.cfg.Cluster.Snapshot().ClusterID) {
		conn.Close(record.ErrClusterReplaced)
	}
}
