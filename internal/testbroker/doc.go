// Package testbroker is a Kafka cluster inside a test's process, for producers. It is strict where Kafka is strict, records
// every request, and breaks on command.
//
// It is not a broker to keep data in: there is no storage, no consumer's API, no transaction, and one log a partition
// instead of one a replica. Where the real Kafka is needed, tests use the real one.
//
//	func TestRetryAfterALostAnswer(t *testing.T) {
//		synctest.Test(t, func(t *testing.T) {
//			c := testbroker.New(t, testbroker.Config{Brokers: 3, Topics: map[string]int32{"events": 12}})
//			c.On(protocol.Produce).Partition("events", 0).Nth(1).Do(testbroker.DropAnswer())
//			p := start(t, c.Bootstrap(), c.Dial) // the client under test, dialling with c.Dial
//			p.send("events", 0, "hello")
//			require.Len(t, c.WaitProduces(t.Context(), 2), 2)
//			require.Len(t, c.Log("events", 0), 1)
//		})
//	}
//
// # What it checks
//
// Every batch is decoded and checked, compressed ones too. Sequences and epochs are judged as Kafka's brokers do: a window of
// five batches a producer and partition, duplicates answered with success and the first offset, a new epoch that begins with
// sequence 0, any sequence where nothing is known of the producer. What a correct client never does is a violation, which
// fails the test at its end unless the test asked for Violations itself: malformed requests, versions that the broker does
// not speak, a wrong checksum, two batches for a partition, acks other than 0, 1 and -1, and a sequence used again for
// another batch while the first may have been written.
//
// # How it behaves
//
// Requests of a connection are handled one at a time and answered in order. Requests are read ahead, and recorded when they
// arrive, so that a test sees what is in flight; what was not handled when a connection breaks is lost. acks=0 gets no
// answer, and a closed connection if something was wrong. Brokers have the ids 1, 2, 3 and so on. A stopped broker loses
// what it leads to the next in-sync replica, at once. A broker that was stopped recognises again only the last batch of each
// producer. With Config.ReplicationLag a new leader may lack what was written with acks=1.
//
// # What it chooses
//
// Kafka promises little about its responses, and a client must not rely on more. In everything that the protocol leaves open the test
// broker is as unhelpful as a broker may be. Config.Seed, the connection's number and the correlation id fix the choices for a response,
// so that a seed repeats them although goroutines run in another order; a test that fails logs the seed. An Edit sees a response in the
// order of the request, before the shuffle.
//
// It shuffles:
//   - Produce: topics, partitions, record errors, and node endpoints.
//   - Metadata: brokers, topics, partitions, and of each partition the in-sync and the offline replicas.
//   - ApiVersions: APIs, supported and finalized features.
//
// It splits what either end of an in-memory connection reads: one read in four gets fewer bytes than there are, and half of these at
// most eight. So lengths, headers and bodies arrive in parts.
//
// It omits:
//   - Produce: the log's start offset, the error message, and the leader that NOT_LEADER_OR_FOLLOWER may name, for half of the partitions each.
//     Node endpoints are those of the leaders that are named.
//   - Metadata: the controller, in half of the responses; the racks of half of the brokers.
//   - ApiVersions: the features of half of the brokers.
//
// It adds an API that no producer knows, Fetch, to the ApiVersions response.
//
// It does not
//   - shuffle replicas: the first one is the preferred leader, and Kafka's tools rely on that.
//   - answer out of the order of the requests, or name a topic, partition, broker or API twice: the protocol forbids both. Edit does it.
//   - omit the cluster id, leader epochs, or what a test ordered with Fail, Reject or NotLeader: a broker of one version gives the first two
//     always or never, and has them only where its version has. SetClusterID, Edit and Config.Versions change that.
//   - delay anything: tests measure virtual time. Delay, DelayAnswer, DripAnswer, Throttle, Hang and Mute do it.
//   - split on TCP, where the kernel decides.
//   - add tagged fields that nobody knows: the tests of package protocol do.
//   - choose the producer ids: two clusters that give the same ones are what Replace is for.
//
// On the in-memory network all waiting is on channels, sync.Cond and timers, so that virtual time passes in a synctest
// bubble. A cluster that is used in a bubble must be made in it.
package testbroker
