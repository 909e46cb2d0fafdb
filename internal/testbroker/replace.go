package testbroker

import (
	"maps"
	"slices"
)

// ClusterID is the cluster's id if neither Config.ClusterID nor Replace says another one.
const ClusterID = "testbroker-cluster-id_"

// Replace discards the cluster and starts another one with the id behind the same addresses, as "docker compose down -v
// && up" does. In one step:
//
//   - It resets all connections. Unhandled requests are lost.
//   - It discards all topics. Those of Config exist again as new topics, with new ids, empty logs and leader epoch 0.
//     Topics made by CreateTopic or AddPartitions do not come back; the log of a discarded topic stays readable with
//     BatchesOf.
//   - It restarts producer ids at the first value.
//   - It ends SetClusterID, FreezeMetadata, Deny and SetSettings.
//
// Stopped brokers stay stopped, hanging brokers go on hanging, and hooks and rules stay in force.
func (c *Cluster) Replace(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.id = id
	for _, t := range c.topics {
		t.deleted = true
	}
	clear(c.topics)
	clear(c.denied)
	c.nextProducerID = firstProducerID
	for _, b := range c.brokers {
		b.clusterID, b.frozen = "", nil
		b.disconnect()
	}
	for _, name := range slices.Sorted(maps.Keys(c.cfg.Topics)) {
		c.createTopic(name, c.cfg.Topics[name])
	}
	c.wake()
}

// ID returns the cluster's id.
func (c *Cluster) ID() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.id
}

// SetClusterID makes one broker give another cluster's id in its Metadata responses. All else stays: the broker still
// has the brokers, topics and logs of this cluster. An empty id ends it. For servers of two complete clusters behind
// the same addresses, start two Clusters with different Config.ClusterID: their brokers have the same addresses, so a
// dialer can choose between the two Dial methods.
func (c *Cluster) SetClusterID(broker int32, id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.broker(broker).clusterID = id
}
