// Package cluster knows the brokers and the leader of each partition. It requests metadata on demand, when the metadata
// grows old, and when a caller reports it as wrong. Its callers read immutable snapshots.
//
// It sends no records and opens no connection to leaders: package sender does. Its own connection carries metadata, and
// the few requests for any broker.
//
//	client := cluster.New(cluster.Config{Bootstrap: []string{"a:9092", "b:9092"}, Transport: &transport.Options{}, …})
//	defer client.Close()
//	topic, err := client.Topic(ctx, "orders") // waits for it, at most as long as ctx
//	if err != nil {
//		return err // says what each server did, or what the brokers say of the topic
//	}
//	leader, ok := client.Snapshot().Leader("orders", 0)
//
// A Client has one goroutine, and one more for each server with a request in progress. It sends nothing before the
// first call, and an idle client wakes only for metadata.max.age.ms.
//
// The client requests a new topic at once, together with other new topics, and ignores the backoff of the known topics.
// At most one request for new topics precedes a due request for known topics: for Refresh, RefreshTopic, AwaitLeader,
// metadata.max.age.ms, or to forget idle topics.
//
// # Another cluster behind the same addresses
//
// A cluster can be discarded and recreated, and a DNS name can move to another cluster. A Metadata response with
// another cluster id than the snapshot's starts a new snapshot: brokers, topics, topic ids, leader epochs and pending
// suspicions of the former cluster are discarded, and topics in use are requested at once. A response without a cluster
// id proves nothing, so the snapshot keeps its id and its contents.
//
// Only a bootstrap server can change the cluster: the address of a broker may belong to another cluster by now, for
// example after a reassignment of addresses, and its response counts as no answer. (With
// metadata.recovery.strategy=none every server can.)
//
// During a failover, bootstrap servers of both clusters may answer in alternation. The client cannot know the right
// cluster, so the snapshot belongs to the cluster of the last accepted response. A snapshot never mixes two clusters,
// and Client.Do returns the id of the cluster with each response, so callers can tell the cluster of a producer id.
// Three rules keep changes rare:
//
//   - The client keeps its connection while the connection works, and a server belongs to one cluster. Thus a change
//     needs a new connection: after the end of the present one, for Rebootstrap, or to leave a server without news for
//     several requests.
//   - After a change, the next refresh waits for retry.backoff.ms. Each further change within five times
//     retry.backoff.max.ms doubles the wait, up to retry.backoff.max.ms, and topics in use wait for it too. Only the
//     first request for a topic has no wait.
//   - Leaders named by a produce response (Client.ApplyLeaderHints) count only if the response is of the snapshot's
//     cluster.
//
// Each change is a warning in the log, at most once in retry.backoff.max.ms.
package cluster
