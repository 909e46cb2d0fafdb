package whole

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/producer"
	"github.com/gosamsa/samsa/protocol"
)

// requestFault is a possible fault of one request. act may say Pass: it does not fit.
type requestFault struct {
	name string
	of   protocol.APIKey
	act  func(w *world, d draws, r *testbroker.Request) testbroker.Action
}

// anyAPI are faults of all requests.
const anyAPI protocol.APIKey = -1

var requestFaults = []requestFault{
	{"slow request", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.Delay(d.upTo(choose(d, 100*time.Millisecond, 3*time.Second, 40*time.Second)))
	}},
	{"late answer", anyAPI, func(w *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.DelayAnswer(d.upTo(2 * w.cfg.RequestTimeout))
	}},
	{"lost request", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return breaking(d, testbroker.DropRequest())
	}},
	{"lost answer", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return breaking(d, testbroker.DropAnswer())
	}},
	{"silence", anyAPI, func(*world, draws, *testbroker.Request) testbroker.Action {
		return testbroker.SwallowAnswer()
	}},
	{"torn answer", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		torn := testbroker.CutAnswer(1 + d.IntN(40))
		if d.oneIn(3) {
			return torn.And(testbroker.SwallowAnswer())
		}
		return breaking(d, torn)
	}},
	{"drips", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.DripAnswer(1+d.IntN(20), d.upTo(50*time.Millisecond))
	}},
	{"throttle", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.Throttle(d.upTo(choose(d, 100*time.Millisecond, 5*time.Second)))
	}},
	{"nonsense", anyAPI, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		if d.oneIn(2) {
			return testbroker.WrongCorrelationID()
		}
		return testbroker.Garbage([]byte{0, 0, 0, 6, 1, 2, 3, 4, 5, 6})
	}},
	{"not written", protocol.Produce, (*world).notWritten},
	{"maybe written", protocol.Produce, (*world).maybeWritten},
	{"wrong leader", protocol.Produce, func(w *world, d draws, r *testbroker.Request) testbroker.Action {
		return at(d, r, testbroker.NotLeader(1+d.Int32N(int32(w.plan.brokers)+1), d.Int32N(8)))
	}},
	{"too large", protocol.Produce, func(_ *world, d draws, r *testbroker.Request) testbroker.Action {
		return at(d, r, testbroker.Fail(protocol.MessageTooLarge))
	}},
	{"blamed records", protocol.Produce, func(_ *world, d draws, r *testbroker.Request) testbroker.Action {
		part := r.Parts[d.IntN(len(r.Parts))]
		blamed := map[int32]string{}
		for range 1 + d.IntN(3) {
			blamed[d.Int32N(part.Batch.Header.Count+1)] = choose(d, "", "not this one")
		}
		return testbroker.Reject(protocol.InvalidRecord, "some are bad", blamed).At(part.Topic, part.Partition)
	}},
	{"no word on a partition", protocol.Produce, func(*world, draws, *testbroker.Request) testbroker.Action {
		return testbroker.Edit(func(a *protocol.ProduceResponse) {
			if len(a.Topics) > 0 {
				a.Topics = a.Topics[1:]
			}
		})
	}},
	{"more partitions than asked", protocol.Produce, func(_ *world, d draws, r *testbroker.Request) testbroker.Action {
		n := 1 + d.IntN(len(r.Parts))
		return testbroker.Edit(func(a *protocol.ProduceResponse) {
			for range n {
				a.Topics = append(a.Topics, protocol.ProduceTopicResponse{Name: "other",
					Partitions: make([]protocol.ProducePartitionResponse, 1)})
			}
		})
	}},
	{"no producer id", protocol.InitProducerID, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.Fail(choose(d, protocol.CoordinatorLoadInProgress, protocol.ClusterAuthorizationFailed,
			protocol.UnknownServerError,
			protocol.RequestTimedOut))
	}},
	{"last epochs", protocol.InitProducerID, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		epoch := math.MaxInt16 - int16(d.IntN(3))
		return testbroker.Edit(func(a *protocol.InitProducerIDResponse) { a.ProducerEpoch = epoch })
	}},
	{"failing metadata", protocol.Metadata, func(_ *world, d draws, _ *testbroker.Request) testbroker.Action {
		return testbroker.Fail(choose(d, protocol.LeaderNotAvailable, protocol.UnknownTopicOrPartition,
			protocol.UnknownServerError))
	}},
	{"wrong metadata", protocol.Metadata, func(w *world, d draws, _ *testbroker.Request) testbroker.Action {
		leader, older := 1+d.Int32N(int32(w.plan.brokers)), d.oneIn(2)
		return testbroker.Edit(func(a *protocol.MetadataResponse) {
			for _, t := range a.Topics {
				for i := range t.Partitions {
					t.Partitions[i].LeaderID = leader
					if older {
						t.Partitions[i].LeaderEpoch--
					}
				}
			}
		})
	}},
}

// breaking closes the connection or resets it.
func breaking(d draws, a testbroker.Action) testbroker.Action {
	if d.oneIn(2) {
		return a.And(testbroker.WithReset())
	}
	return a
}

// at limits a failure to one partition of the request, or not.
func at(d draws, r *testbroker.Request, a testbroker.Action) testbroker.Action {
	if d.oneIn(4) {
		return a
	}
	part := r.Parts[d.IntN(len(r.Parts))]
	return a.At(part.Topic, part.Partition)
}

func (w *world) notWritten(d draws, r *testbroker.Request) testbroker.Action {
	code := choose(d, protocol.NotLeaderOrFollower, protocol.NotEnoughReplicas, protocol.CorruptMessage,
		protocol.TopicAuthorizationFailed,
		protocol.UnknownTopicOrPartition, protocol.InvalidRecord, protocol.InvalidProducerEpoch,
		protocol.InvalidProducerIDMapping, protocol.ProducerFenced)
	if code.WriteOutcomeWith(r.Acks) == protocol.IsWritten {
		return testbroker.Pass()
	}
	return at(d, r, testbroker.Fail(code))
}

// maybeWritten answers with an error that leaves the write of the batch open, and writes it or not.
func (w *world) maybeWritten(d draws, r *testbroker.Request) testbroker.Action {
	code := choose(d, protocol.NotEnoughReplicasAfterAppend, protocol.RequestTimedOut, protocol.NotLeaderOrFollower,
		protocol.UnknownServerError,
		protocol.KafkaStorageError, protocol.ErrorCode(3000))
	if code.WriteOutcomeWith(r.Acks) != protocol.MaybeWritten {
		return testbroker.Pass()
	}
	if d.oneIn(2) {
		return at(d, r, testbroker.Fail(code))
	}
	return at(d, r, testbroker.AppendAndFail(code))
}

// fate draws the fault of a request.
func (w *world) fate(r *testbroker.Request) testbroker.Action {
	w.mu.Lock()
	defer w.mu.Unlock()
	d := draws{w.chance}
	if w.calm || d.Float64() >= w.plan.rate {
		return testbroker.Pass()
	}
	f := requestFaults[d.IntN(len(requestFaults))]
	if !w.plan.faults[f.name] || f.of != anyAPI && f.of != r.Header.Key || r.Header.Key == protocol.Produce &&
		len(r.Parts) == 0 {
		return testbroker.Pass()
	}
	w.noteLocked("fault: %s for request #%d", f.name, r.Number)
	return f.act(w, d, r)
}

// strike is a possible fault of a broker or topic. It returns its end, if it lasts.
type strike struct {
	name string
	act  func(w *world, d draws) (what string, end func())
}

var strikes = []strike{
	{"stop", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.StopBroker(b)
		return fmt.Sprint("broker ", b, " stops"), func() { w.c.StartBroker(b) }
	}},
	{"leaves for good", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		if w.plan.brokers-len(w.gone) <= w.plan.replicas {
			return "", nil
		}
		w.gone[b] = true
		for t, n := range w.topics {
			for p := range n {
				if w.c.Leader(t, p) == b {
					w.c.MoveLeader(t, p, w.someBroker(d))
				}
				w.inSync(t, p)
			}
		}
		w.c.StopBroker(b)
		return fmt.Sprint("broker ", b, " leaves for good"), nil
	}},
	{"restart", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.StopBroker(b)
		w.c.StartBroker(b)
		return fmt.Sprint("broker ", b, " restarts"), nil
	}},
	{"hang", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.Hang(b)
		return fmt.Sprint("broker ", b, " hangs"), func() { w.c.Unhang(b) }
	}},
	{"mute", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.Mute(b)
		return fmt.Sprint("broker ", b, " is mute"), func() { w.c.Unhang(b) }
	}},
	{"isolate", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.Isolate(b)
		return fmt.Sprint("broker ", b, " is cut off"), func() { w.c.Unhang(b) }
	}},
	{"disconnect", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.Disconnect(b)
		return fmt.Sprint("broker ", b, " resets its connections"), nil
	}},
	{"old news", func(w *world, d draws) (string, func()) {
		b := w.someBroker(d)
		w.c.FreezeMetadata(b)
		return fmt.Sprint("broker ", b, " has old metadata from now on"), func() { w.c.ThawMetadata(b) }
	}},
	{"move leader", func(w *world, d draws) (string, func()) {
		t, p := w.somePartition(d)
		b := w.someBroker(d)
		w.c.MoveLeader(t, p, b)
		return fmt.Sprintf("%s/%d is led by broker %d", t, p, b), nil
	}},
	{"no leader", func(w *world, d draws) (string, func()) {
		t, p := w.somePartition(d)
		w.c.MoveLeader(t, p, -1)
		b := w.someBroker(d)
		return fmt.Sprintf("%s/%d has no leader", t, p), func() {
			if p < w.topics[t] && w.c.Leader(t, p) < 0 {
				w.c.MoveLeader(t, p, b)
			}
		}
	}},
	{"hang and move", func(w *world, d draws) (string, func()) {
		t, p := w.somePartition(d)
		b, to := w.c.Leader(t, p), w.someBroker(d)
		if b < 0 {
			return "", nil
		}
		w.c.Hang(b)
		w.c.MoveLeader(t, p, to)
		return fmt.Sprintf("broker %d hangs, %s/%d is led by broker %d", b, t, p, to), func() { w.c.Unhang(b) }
	}},
	{"replicas fall behind", func(w *world, d draws) (string, func()) {
		t, p := w.somePartition(d)
		b := w.c.Leader(t, p)
		if b < 0 {
			return "", nil
		}
		w.c.SetISR(t, p, b)
		return fmt.Sprintf("%s/%d has one replica in sync", t, p), func() { w.inSync(t, p) }
	}},
	{"partitions added", func(w *world, d draws) (string, func()) {
		t, _ := w.somePartition(d)
		w.topics[t] += 1 + d.Int32N(2)
		w.c.AddPartitions(t, w.topics[t])
		return fmt.Sprintf("%s has %d partitions", t, w.topics[t]), nil
	}},
	{"topic deleted", func(w *world, d draws) (string, func()) {
		t, _ := w.somePartition(d)
		if w.plan.creates {
			return "", nil // the cluster could recreate it at once
		}
		n := 1 + d.Int32N(w.topics[t])
		w.c.DeleteTopic(t)
		delete(w.topics, t)
		return t + " is deleted", func() {
			if w.topics[t] > 0 {
				return // the cluster was replaced
			}
			w.topics[t] = n
			w.c.CreateTopic(t, n)
			w.recreated[w.c.TopicID(t)] = true
			w.note("%s is made again", t)
		}
	}},
	{"cluster replaced", (*world).replaceCluster},
	{"smaller batches", func(w *world, d draws) (string, func()) {
		t, _ := w.somePartition(d)
		most := choose(d, 300, 800)
		w.c.SetSettings(t, testbroker.TopicSettings{MessageMaxBytes: most})
		return fmt.Sprintf("%s takes batches up to %d bytes", t, most), func() {
			if w.topics[t] > 0 {
				w.c.SetSettings(t, testbroker.TopicSettings{})
			}
		}
	}},
	{"denied", func(w *world, d draws) (string, func()) {
		t, _ := w.somePartition(d)
		w.c.Deny(t)
		return t + " may not be written", func() { w.c.Allow(t) }
	}},
}

// strangersClient is the client id of the producer in a new cluster.
const strangersClient = "stranger"

// replaceCluster discards the cluster and starts another one at the same addresses, usually with another cluster id.
// The new cluster assigns producer ids from the same start value. Another producer is fast and gets the first one, and
// sends for a while.
func (w *world) replaceCluster(d draws) (string, func()) {
	if w.plan.creates {
		return "", nil // the verdict does not know the topics
	}
	w.replaced++
	id := fmt.Sprint("cluster-", w.replaced)
	if w.byID && d.oneIn(3) {
		id = w.c.ID() // if requests name topics by id, the ids distinguish the new topics from the former
	}
	other := id != w.c.ID()
	w.c.Replace(id)
	if other {
		w.replacedAt = append(w.replacedAt, len(w.c.Requests()))
	}
	for t := range w.topics {
		delete(w.topics, t)
	}
	maps.Copy(w.topics, w.plan.topics)
	if d.oneIn(2) {
		// The producer reaches the new cluster's brokers before its metadata does.
		late := func(r *testbroker.Request) bool {
			return *r.Header.ClientID != strangersClient && len(r.Message.(*protocol.MetadataRequest).Topics) > 0
		}
		w.c.On(protocol.Metadata).When(late).Times(1 + d.IntN(2)).Do(testbroker.DelayAnswer(d.upTo(time.Second)))
	}
	cfg := producer.DefaultConfig(w.c.Bootstrap()...)
	cfg.Dialer, cfg.ClientID, cfg.Logger = w.c.Dial, strangersClient, slog.New(slog.DiscardHandler)
	cfg.Linger, cfg.MaxInFlight = 0, 1
	stranger, err := producer.New(cfg)
	if err != nil {
		w.fail("a second producer: %v", err)
		return "", nil
	}
	ctx, cancel := context.WithCancel(context.Background())
	records := make([]producer.Record, 0, 20)
	for _, t := range slices.Sorted(maps.Keys(w.topics)) {
		for range d.IntN(10) {
			records = append(records, producer.Record{
				Topic: t, Partition: producer.InPartition(d.Int32N(w.topics[t])), Value: []byte(strangersClient),
			})
		}
	}
	w.pending.Go(func() {
		defer stranger.Close(ctx) //nolint:errcheck // the arrival of the stranger's records is no question of the run
		for i := range records {
			_, _ = stranger.Send(ctx, &records[i], nil).Get(ctx)
		}
		<-ctx.Done()
	})
	return "the cluster is replaced by " + id, cancel
}

// someBroker draws a broker that has not left for good.
func (w *world) someBroker(d draws) int32 {
	for {
		if b := 1 + d.Int32N(int32(w.plan.brokers)); !w.gone[b] {
			return b
		}
	}
}

// somePartition draws an existing partition.
func (w *world) somePartition(d draws) (topic string, partition int32) {
	topic = choose(d, slices.Sorted(maps.Keys(w.topics))...)
	return topic, d.Int32N(w.topics[topic])
}

// inSync puts all replicas of a partition in sync, if it exists.
func (w *world) inSync(topic string, partition int32) {
	if partition >= w.topics[topic] {
		return
	}
	all := []int32{}
	for b := partition; len(all) < w.plan.replicas; b++ {
		if id := 1 + b%int32(w.plan.brokers); !w.gone[id] {
			all = append(all, id)
		}
	}
	if leader := w.c.Leader(topic, partition); leader >= 0 && !slices.Contains(all, leader) {
		all = append(all, leader)
	}
	w.c.SetISR(topic, partition, all...)
}

// strike lets brokers and topics suffer, until the plan's number is reached.
func (w *world) strike() {
	d := w.draws(2)
	for range w.plan.strikes {
		time.Sleep(d.upTo(2 * w.plan.length / time.Duration(w.plan.strikes)))
		s := strikes[d.IntN(len(strikes))]
		last := d.upTo(choose(d, 200*time.Millisecond, 3*time.Second, 30*time.Second, 3*time.Minute))
		if !w.plan.faults[s.name] {
			continue
		}
		w.acting.Lock()
		var what string
		var end func()
		if len(w.topics) > 0 {
			what, end = s.act(w, d)
		}
		w.acting.Unlock()
		if what == "" {
			continue
		}
		w.note("strike: %s", what)
		if end != nil {
			w.pending.Go(func() { w.endAfter(last, what, end) })
		}
	}
}

// endAfter ends a strike after a time, or when the run is healed.
func (w *world) endAfter(last time.Duration, what string, end func()) {
	timer := time.NewTimer(last)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-w.healed:
	}
	w.acting.Lock()
	end()
	w.acting.Unlock()
	w.note("no more: %s", what)
}

// heal ends all faults.
func (w *world) heal() {
	w.mu.Lock()
	w.calm = true
	w.mu.Unlock()
	close(w.healed)
	w.pending.Wait()
	w.acting.Lock()
	defer w.acting.Unlock()
	for b := range int32(w.plan.brokers) {
		if w.gone[1+b] {
			continue
		}
		w.c.StartBroker(1 + b)
		w.c.Unhang(1 + b)
		w.c.ThawMetadata(1 + b)
	}
	for t, n := range w.topics {
		for p := range n {
			w.inSync(t, p)
			if leader := w.c.Leader(t, p); leader < 0 || w.gone[leader] {
				w.c.MoveLeader(t, p, w.someBroker(w.draws(4)))
			}
		}
	}
	w.note("healed")
}
