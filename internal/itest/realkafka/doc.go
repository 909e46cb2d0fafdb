// Package realkafka starts real Apache Kafka for tests, from the jars on Maven Central, and reads its log back with
// Kafka's own code.
//
// A cluster is one or several KRaft nodes (broker and controller in one process) on ports given by the kernel, with
// their data in a temporary folder. Versions before 3.9, down to 0.11, run as brokers beside a ZooKeeper of their own.
// Requests unknown to a version fail: Reassign and ElectPreferred need 2.4.
//
// Nodes can be killed, hung, stopped and started again. The cluster stops only its own processes. On Linux they die
// with the test's process, also after a panic, an interrupt or a kill; elsewhere they end with [Cluster.Close].
//
// It needs java (17 or newer) and mvn, and reports a missing one: it never skips. The jars of a version are copied once
// (14 to 54 MB, some seconds) into the folder named by the environment variable SAMSA_CACHE, or else into samsa-itest
// in the user's cache folder (os.UserCacheDir). Nothing else needs to be installed.
//
// It is no client and no fake: a test without need of a real broker is faster with kfake.
//
//	cluster := realkafka.Start(t, realkafka.Options{Version: "4.3.1"})
//	err := cluster.CreateTopics(ctx, realkafka.Topic{Name: "orders", Partitions: 3})
//	…send to cluster.Bootstrap()…
//	records, err := cluster.ReadAll(ctx, "orders")
package realkafka
