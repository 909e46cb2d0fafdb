package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/internal/itest/realkafka"
	"github.com/gosamsa/samsa/producer"
)

// setting is a topic for writes with acks=all while a broker is down.
type setting struct {
	topic     string
	min       string // min.insync.replicas
	replicas  []int32
	configure func(*producer.Config)
	verdict   string
}

// down is the stopped broker. It leads none of the partitions.
const down = 3

// The last of the settings waits for the broker; the one before it gives up after some tries.
var settings = []setting{
	{topic: "one-of-two", min: "1", replicas: []int32{1, 2, 3}, configure: safe, verdict: "works"},
	{topic: "one-alone", min: "1", replicas: []int32{1, 3}, configure: safe,
		verdict: "works, but the leader is alone: no better than acks=1"},
	{topic: "two", min: "2", replicas: []int32{1, 2, 3}, configure: safe,
		verdict: "works, and never with fewer than two copies"},
	{topic: "three", min: "3", replicas: []int32{1, 2, 3}, configure: hasty, verdict: "refuses every write"},
	{topic: "three-patient", min: "3", replicas: []int32{1, 2, 3}, configure: patient,
		verdict: "takes them as soon as the broker is back"},
}

func safe(*producer.Config) {} // the default

func hasty(c *producer.Config) { c.Retries = 3 }

// patient is the default with a longer delivery.timeout.ms: a broker may need more than two minutes to start on a busy
// machine.
func patient(c *producer.Config) { c.DeliveryTimeout = 10 * time.Minute }

// inSync is part 4: acks=all with different min.insync.replicas while one broker is down.
func (d *demo) inSync(ctx context.Context) (accounts []account, err error) {
	const count = 500
	fmt.Fprintf(d.out, "4. acks=all with min.insync.replicas 1, 2 and 3 while one broker is down: %d records each\n\n",
		count)
	topics := make([]realkafka.Topic, 0, len(settings))
	names := make([]string, 0, len(settings))
	for _, s := range settings {
		names = append(names, s.topic)
		topics = append(topics, realkafka.Topic{Name: s.topic, Assignment: [][]int32{s.replicas},
			Config: map[string]string{"min.insync.replicas": s.min}})
	}
	if err := d.create(ctx, topics...); err != nil {
		return nil, err
	}
	clock := d.newClock()
	if err := d.loseOne(ctx, clock, names); err != nil {
		return nil, err
	}

	ledgers := make([]ledger, len(settings))
	last := len(settings) - 1
	kafka, err := d.open(ctx, settings[last].topic, settings[last].configure)
	if err != nil {
		return nil, err
	}
	for range count {
		ledgers[last].send(ctx, kafka, settings[last].topic, d.size)
	}
	err = d.impatient(ctx, clock, ledgers[:last], count)
	if err == nil {
		err = d.comeBack(ctx, clock, names, &ledgers[last])
	}
	if err := errors.Join(err, end(ctx, kafka)); err != nil {
		return nil, err
	}
	clock.say("min.insync.replicas=3, the records that waited: %d acknowledged", ledgers[last].number(acknowledged))
	read, err := d.read(ctx, names)
	if err != nil {
		return nil, err
	}
	rows := make([]string, 0, len(settings))
	for i, s := range settings {
		a := ledgers[i].close(numbers(read[s.topic]))
		accounts = append(accounts, a)
		rows = append(rows, fmt.Sprintf("%s\t%d of %d\t%d\t%d\t%d\t%d\t%d\t%s", s.min, len(s.replicas)-1,
			len(s.replicas),
			a.sent, a.acknowledged, a.notWritten, a.maybeWritten, a.found, s.verdict))
	}
	fmt.Fprintln(d.out)
	err = d.table("min.insync.replicas\tin sync\tsent\ttold: acknowledged\tnot written\tmaybe written\tin the log\tso it", rows...)
	return accounts, err
}

// loseOne kills a broker and waits until the cluster has noticed: before that, writes with acks=all wait for it.
func (d *demo) loseOne(ctx context.Context, clock clock, topics []string) error {
	if err := d.cluster.Kill(ctx, down); err != nil {
		return err
	}
	clock.say("broker %d, which leads none of the partitions, is killed", down)
	without := func(p realkafka.Partition) bool { return len(p.ISR) == len(p.Replicas)-1 }
	if err := d.awaitPartitions(ctx, "the dead broker is out of sync", topics, without); err != nil {
		return err
	}
	clock.say("the cluster has noticed: broker %d is not in sync any more", down)
	return nil
}

// impatient sends with all settings but the last, and waits for the outcomes.
func (d *demo) impatient(ctx context.Context, clock clock, ledgers []ledger, count int) error {
	for i := range ledgers {
		s, l := settings[i], &ledgers[i]
		kafka, err := d.open(ctx, s.topic, s.configure)
		if err != nil {
			return err
		}
		for range count {
			l.send(ctx, kafka, s.topic, d.size)
		}
		if err := end(ctx, kafka); err != nil {
			return err
		}
		clock.say("min.insync.replicas=%s, %d of %d replicas in sync: %d acknowledged, %d not written", s.min,
			len(s.replicas)-1, len(s.replicas),
			l.number(acknowledged), l.number(notWritten))
		if l.reason != nil {
			fmt.Fprintf(d.out, "            %v\n", l.reason)
		}
	}
	return nil
}

// comeBack starts the broker and waits for the records behind it.
func (d *demo) comeBack(ctx context.Context, clock clock, topics []string, waiting *ledger) error {
	clock.say("min.insync.replicas=3, records that may wait for 10 minutes: %d acknowledged, %d failed, %d wait",
		waiting.number(acknowledged),
		waiting.number(notWritten)+waiting.number(maybeWritten), waiting.number(untold))
	clock.say("broker %d is started", down)
	if err := d.cluster.Restart(ctx, down); err != nil {
		return err
	}
	whole := func(p realkafka.Partition) bool { return len(p.ISR) == len(p.Replicas) }
	if err := d.awaitPartitions(ctx, "all replicas are in sync", topics, whole); err != nil {
		return err
	}
	clock.say("broker %d is in sync again", down)
	return await(ctx, "the records that waited have their outcome", func(context.Context) (bool, error) {
		return waiting.number(untold) == 0, nil
	})
}
