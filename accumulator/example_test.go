package accumulator_test

import (
	"context"
	"fmt"
	"time"

	"github.com/gosamsa/samsa/accumulator"
	"github.com/gosamsa/samsa/record"
)

// deliverer is told when its partition has something to send.
type deliverer struct {
	p    *accumulator.Partition
	next int64
}

func (d *deliverer) BatchReady(<-chan struct{}) {
	for b := d.p.Take(); b != nil; b = d.p.Take() {
		fmt.Printf("%s/%d: %d records in one batch\n", d.p.Topic(), d.p.Index(), b.Count)
		// Here b.Bytes() would go to a broker. It answers with the offset of the first record.
		d.p.Settle(b, accumulator.Outcome{BaseOffset: d.next, LogAppendTime: -1})
		d.next += int64(b.Count)
	}
}

// Records are appended, lie in a batch until somebody waits for them, and get their places when the batch is settled.
func Example() {
	acc := accumulator.New(accumulator.Config{
		BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 32 << 20, Linger: time.Second,
		NewDrainer: func(p *accumulator.Partition) accumulator.Drainer { return &deliverer{p: p, next: 100} },
	})
	p := acc.Topic("events").Partition(0)

	var last accumulator.AppendResult
	for _, text := range []string{"one", "two", "three"} {
		p.Append(&record.Record{Value: []byte(text)}, accumulator.Callback{}, nil, &last)
	}
	md, err := last.Result.Wait(context.Background(), last.Index)
	fmt.Println(md.Topic, md.Partition, md.Offset, err)
	// Output:
	// events/0: 3 records in one batch
	// events 0 102 <nil>
}

// If the buffer is full, Append returns the shortfall. Reserve waits for as much, and the unused rest goes back.
func ExamplePartition_Reserve() {
	acc := accumulator.New(accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 1024})
	p := acc.Topic("events").Partition(0)
	big := record.Record{Value: make([]byte, 900)}
	var a accumulator.AppendResult
	p.Append(&big, accumulator.Callback{}, nil, &a)

	p.Append(&big, accumulator.Callback{}, nil, &a)
	fmt.Println("needs", a.Shortfall)
	go func() {
		b := p.Take()
		p.Settle(b, accumulator.Outcome{BaseOffset: 0, LogAppendTime: -1})
	}()
	grant := a.Shortfall
	if err := p.Reserve(context.Background(), grant); err != nil {
		fmt.Println(err)
		return
	}
	p.Append(&big, accumulator.Callback{}, &grant, &a)
	p.Unreserve(grant)
	fmt.Println("appended:", a.Result != nil)
	// Output:
	// needs 1024
	// appended: true
}

// A record can be taken back until its batch is sealed.
func ExampleResult_Cancel() {
	acc := accumulator.New(accumulator.Config{BatchSize: 16384, MaxRequestSize: 1 << 20, Memory: 32 << 20})
	p := acc.Topic("events").Partition(0)
	var first, second accumulator.AppendResult
	p.Append(&record.Record{Value: []byte("one")}, accumulator.Callback{}, nil, &first)
	p.Append(&record.Record{Value: []byte("two")}, accumulator.Callback{}, nil, &second)
	fmt.Println(first.Result.Cancel(first.Index))
	b := p.Take()
	fmt.Println(second.Result.Cancel(second.Index))
	fmt.Println(b.Count)
	p.Settle(b, accumulator.Outcome{BaseOffset: 7, LogAppendTime: -1})
	_, err := first.Result.Wait(context.Background(), first.Index)
	fmt.Println(err)
	// Output:
	// true
	// false
	// 1
	// samsa: topic "events" partition 0: record was canceled (not written)
}
