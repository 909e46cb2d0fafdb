package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
)

// round is one way of the leader's death.
type round struct {
	name   string
	leader int32
	text   string
	pause  time.Duration // of the followers, before the leader is killed
}

func rounds(pause time.Duration) []round {
	return []round{{
		name: "killed", leader: 1, text: `2. The leader is killed (kill -9) in the middle of the stream

   One broker leads the partitions of all three profiles, so that they meet the same death. Lost is what was told
   acknowledged and is not in the log. For fast that is what was on its way to the broker that died, or to its successor
   before that one was ready. For balanced it takes bad luck: what no follower had copied yet.`,
	}, {
		name: "behind", leader: 2, pause: pause, text: fmt.Sprintf(`3. The leader is killed while its followers are behind

   The same with bad luck: both followers stand still (kill -STOP) for %v, as in a long garbage collection. They still
   count as in sync, which would end after replica.lag.time.max.ms, 30 s. Then the leader dies, the followers go on, and
   one of them leads: it was in sync, so nothing unclean was done.`, pause),
	}}
}

// warm is how many acknowledged records each stream has before something breaks, and once more after it has been
// mended.
const warm = 2000

// kill is part 2 and 3: a stream for each profile, and the death of the leader of them all.
func (d *demo) kill(ctx context.Context, r round) (accounts []account, err error) {
	fmt.Fprintf(d.out, "%s\n\n", r.text)
	topics, err := d.topics(ctx, r.name, r.leader)
	if err != nil {
		return nil, err
	}
	clock := d.newClock()
	var streams []*stream
	finish := func() error {
		var errs []error
		for _, s := range streams {
			errs = append(errs, s.finish(ctx))
		}
		streams = nil
		return errors.Join(errs...)
	}
	defer func() { err = errors.Join(err, finish()) }()
	ledgers := make([]*ledger, 0, len(profiles))
	for i, p := range profiles {
		s, err := d.start(ctx, p, topics[i])
		if err != nil {
			return nil, err
		}
		streams, ledgers = append(streams, s), append(ledgers, &s.ledger)
	}
	clock.say("each profile sends %d records/s to broker %d, which leads its partition", d.rate, r.leader)
	if err := d.failover(ctx, r, clock, topics, ledgers); err != nil {
		return nil, err
	}
	if err := finish(); err != nil {
		return nil, err
	}
	clock.say("the streams end, all brokers are there; Kafka's own consumer reads what the log holds")
	read, err := d.read(ctx, topics)
	if err != nil {
		return nil, err
	}
	for i, l := range ledgers {
		accounts = append(accounts, l.close(numbers(read[topics[i]])))
	}
	return accounts, d.report(accounts)
}

// failover breaks the cluster under the streams and mends it.
func (d *demo) failover(ctx context.Context, r round, clock clock, topics []string, ledgers []*ledger) error {
	if err := acknowledgedMore(ctx, ledgers, warm); err != nil {
		return err
	}
	if r.pause > 0 {
		if err := d.followers(r.leader, d.cluster.Pause); err != nil {
			return err
		}
		clock.say("the followers stand still")
		select {
		case <-time.After(r.pause):
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if err := d.cluster.Kill(ctx, r.leader); err != nil {
		return err
	}
	clock.say("broker %d is killed", r.leader)
	if r.pause > 0 {
		if err := d.followers(r.leader, d.cluster.Resume); err != nil {
			return err
		}
		clock.say("the followers go on")
	}
	led := func(p realkafka.Partition) bool { return p.Leader > 0 && p.Leader != r.leader }
	if err := d.awaitPartitions(ctx, "another broker leads", topics, led); err != nil {
		return err
	}
	clock.say("another broker leads")
	if err := acknowledgedMore(ctx, ledgers, warm); err != nil {
		return err
	}
	clock.say("all profiles deliver again; broker %d is started", r.leader)
	if err := d.cluster.Restart(ctx, r.leader); err != nil {
		return err
	}
	whole := func(p realkafka.Partition) bool { return len(p.ISR) == len(p.Replicas) }
	if err := d.awaitPartitions(ctx, "all replicas are in sync", topics, whole); err != nil {
		return err
	}
	return acknowledgedMore(ctx, ledgers, warm)
}

// followers does the same to all brokers but the leader.
func (d *demo) followers(leader int32, do func(int32) error) error {
	var errs []error
	for id := range int32(3) {
		if id+1 != leader {
			errs = append(errs, do(id+1))
		}
	}
	return errors.Join(errs...)
}

// awaitPartitions waits until all partitions of the topics are as they should be.
func (d *demo) awaitPartitions(ctx context.Context, what string, topics []string,
	ok func(realkafka.Partition) bool) error {
	return await(ctx, what, func(ctx context.Context) (bool, error) {
		partitions, err := d.cluster.Partitions(ctx, topics...)
		return !slices.ContainsFunc(partitions, func(p realkafka.Partition) bool { return !ok(p) }), err
	})
}

// acknowledgedMore waits until each stream has n more acknowledged records than now.
func acknowledgedMore(ctx context.Context, ledgers []*ledger, n int) error {
	goals := make([]int, len(ledgers))
	for i, l := range ledgers {
		goals[i] = l.number(acknowledged) + n
	}
	return await(ctx, "records are acknowledged", func(context.Context) (bool, error) {
		for i, l := range ledgers {
			if l.number(acknowledged) < goals[i] {
				return false, nil
			}
		}
		return true, nil
	})
}

// report prints the accounts.
func (d *demo) report(accounts []account) error {
	fmt.Fprintln(d.out)
	rows := make([]string, 0, len(accounts))
	for i, a := range accounts {
		rows = append(rows, fmt.Sprintf("%s\t%d\t%d\t%d\t%d\t%d\t%d\t%d", profiles[i].name,
			a.sent, a.acknowledged, a.notWritten, a.maybeWritten, a.found, a.lost, a.twice))
	}
	err := d.table("profile\tsent\ttold: acknowledged\tnot written\tmaybe written\tin the log\tlost\ttwice", rows...)
	fmt.Fprintln(d.out)
	return err
}
