// Package testbroker is a Kafka cluster inside a test's process, for producers. It is strict where Kafka is strict,
// records every request, and breaks on command.
//
// It is not a broker to keep data in: there is no storage, no consumer's API, no transaction, and one log a partition
// instead of one a replica. Tests in need of the real Kafka use the real one.
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
// # Checks
//
// Every batch is decoded and checked, compressed ones too. Sequences and epochs are judged as Kafka's brokers do: a
// window of five batches a producer and partition, duplicates answered with success and the first offset, sequence 0 at
// the beginning of a new epoch, any sequence of an unknown producer. An act impossible for a correct client is a
// violation, and fails the test at its end unless the test asked for Violations itself: malformed requests, versions
// unknown to the broker, a wrong checksum, two batches for a partition, acks other than 0, 1 and -1, and a sequence
// used again for another batch while the first may have been written.
//
// # How it behaves
//
// Requests of a connection are handled one at a time and answered in order. Requests are read ahead, and recorded when
// they arrive, so a test sees the requests in flight; a broken connection loses its unhandled requests. acks=0 gets no
// answer, and a closed connection if something was wrong. Brokers have the ids 1, 2, 3 and so on. A stopped broker
// loses its partitions to the next in-sync replica, at once. After a restart it recognises only the last batch of each
// producer. With Config.ReplicationLag a new leader may lack batches written with acks=1.
//
// # Choices
//
// Kafka promises little about its responses, and a client must not rely on more. In everything left open by the
// protocol the test broker is as unhelpful as a broker may be. Config.Seed, the connection's number and the correlation
// id fix the choices for a response, so a seed repeats them although goroutines run in another order; a failing test
// logs the seed. An Edit sees a response in the order of the request, before the shuffle.
//
// It shuffles:
//   - Produce: topics, partitions, record errors, and node endpoints.
//   - Metadata: brokers, topics, partitions, and of each partition the in-sync and the offline replicas.
//   - ApiVersions: APIs, supported and finalized features.
//
// It splits the reads of either end of an in-memory connection: one read in four gets fewer bytes than there are, and
// half of these at most eight. So lengths, headers and bodies arrive in parts.
//
// It omits:
//   - Produce: the log's start offset, the error message, and the optional leader of NOT_LEADER_OR_FOLLOWER, for half
//     of the partitions each. Node endpoints are the addresses of the named leaders.
//   - Metadata: the controller, in half of the responses; the racks of half of the brokers.
//   - ApiVersions: the features of half of the brokers.
//
// It adds an API unknown to producers, Fetch, to the ApiVersions response.
//
// It does not
//   - shuffle replicas: the first one is the preferred leader, and Kafka's tools rely on it.
//   - answer out of the order of the requests, or name a topic, partition, broker or API twice: the protocol forbids
//     both. Edit does it.
//   - omit the cluster id, leader epochs, or the results of a test's Fail, Reject or NotLeader: a broker of one version
//     gives the first two always or never, as its version does. SetClusterID, Edit and Config.Versions change them.
//   - delay anything: tests measure virtual time. Delay, DelayAnswer, DripAnswer, Throttle, Hang and Mute do it.
//   - split on TCP: there the kernel decides.
//   - add unknown tagged fields: the tests of package protocol do.
//   - choose the producer ids: Replace makes two clusters with the same ones.
//
// On the in-memory network all waiting is on channels, sync.Cond and timers, so virtual time passes in a synctest
// bubble. A cluster for use in a bubble must be made in it.
package testbroker
