// Package realkafka starts real Apache Kafka for tests, from the jars on Maven Central, and reads back what lies in its log with
// Kafka's own code.
//
// A cluster is one or several KRaft nodes (broker and controller in one process) on ports that the kernel gave, with their data
// in a temporary folder. Versions before 3.9, down to 0.11, run as brokers beside a ZooKeeper of their own. Requests that a version does not
// have fail: Reassign and ElectPreferred need 2.4.
//
// Nodes can be killed, hung, stopped and started again. The cluster stops only the processes that it started. On
// Linux they die with the test's process, also when that one panics, is interrupted or is killed; elsewhere they end with
// [Cluster.Close].
//
// It needs java (17 or newer) and mvn, and says so where they are missing: it never skips. The jars of a version are copied once (14 to 54 MB,
// some seconds) into the folder that the environment variable SAMSA_CACHE names, or else into samsa-itest in the user's
// cache folder (os.UserCacheDir). Nothing else needs to be installed.
//
// It is no client and no fake: what needs no real broker is faster with kfake.
//
//	cluster := realkafka.Start(t, realkafka.Options{Version: "4.3.1"})
//	err := cluster.CreateTopics(ctx, realkafka.Topic{Name: "orders", Partitions: 3})
//	…send to cluster.Bootstrap()…
//	records, err := cluster.ReadAll(ctx, "orders")
package realkafka
