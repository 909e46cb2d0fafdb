// Package cluster knows which brokers there are and which of them leads each partition, from metadata that it asks for when
// it is needed, when it grows old, and when somebody says that it is wrong. Everybody reads it from immutable snapshots.
//
// It sends no records and opens no connection to leaders: package sender does. Its own connection carries metadata, and the few
// requests that any broker can answer.
//
//	client := cluster.New(cluster.Config{Bootstrap: []string{"a:9092", "b:9092"}, Transport: &transport.Options{}})
//	defer client.Close()
//	topic, err := client.Topic(ctx, "orders") // waits for it, at most as long as ctx
//	if err != nil {
//		return err // says what each server did, or what the brokers say of the topic
//	}
//	leader, ok := client.Snapshot().Leader("orders", topic.Partitions[0].Index)
//
// A Client has one goroutine, and one more for each server that it is just asking. It does nothing before it is asked for a
// topic, and an idle one wakes only for metadata.max.age.ms.
package cluster
