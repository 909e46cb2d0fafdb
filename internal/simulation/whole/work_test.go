package whole

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gosamsa/samsa/producer"
)

// item is a record of a run, with its outcome.
type item struct {
	sender, number int // of sender's records, in the order of sending
	record         producer.Record
	key, value     string // of record, with bytes that are reused after the send
	future         producer.Future
	accepted       time.Time // when the send had returned
	listens        bool      // it has a callback
	canceled       bool      // Cancel reported that it withdrew it

	told []outcome // by its callback; world.mu guards it
	got  []outcome // by Get, before the end
}

func (it *item) String() string { return fmt.Sprintf("%d/%d", it.sender, it.number) }

// outcome is a caller's view.
type outcome struct {
	at    time.Time
	place producer.RecordMetadata
	err   error
	turn  int // counts all outcomes of callbacks
}

func (o outcome) String() string {
	switch {
	case o.err != nil:
		return o.err.Error()
	default:
		return fmt.Sprintf("acknowledged in %s/%d at %d", o.place.Topic, o.place.Partition, o.place.Offset)
	}
}

// worker is one sending goroutine.
type worker struct {
	*world
	draws
	id     int
	number int
	mine   []*item
}

// send is the work of one goroutine.
func (w *world) send(id int) {
	k := &worker{world: w, draws: w.draws(100 + uint64(id)), id: id}
	for range w.plan.sends {
		if d := w.plan.length / time.Duration(w.plan.sends); k.oneIn(3) {
			time.Sleep(time.Duration(k.Int64N(int64(6*d) + 1)))
		}
		k.act()
	}
}

// probe sends to each partition when nothing is broken any more: the records must be acknowledged, at some time.
func (w *world) probe() {
	const patience = 3 * time.Minute
	w.acting.Lock()
	topics := maps.Clone(w.topics)
	w.acting.Unlock()
	k := &worker{world: w, draws: w.draws(3), id: w.plan.goroutines}
	for _, name := range slices.Sorted(maps.Keys(topics)) {
		for n := range topics[name] {
			for began := time.Now(); ; time.Sleep(time.Second) {
				err := k.knock(name, n)
				if err == nil {
					break
				}
				if time.Since(began) > patience {
					w.fail("nothing is broken, and %s/%d takes no records: %v", name, n, err)
					break
				}
			}
		}
	}
}

// knock sends a record and waits for it.
func (k *worker) knock(topic string, partition int32) error {
	k.number++
	it := &item{sender: k.id, number: k.number}
	it.record = producer.Record{Topic: topic, Partition: producer.InPartition(partition), Key: []byte("k"),
		Value: []byte(it.String() + "|")}
	it.key, it.value = "k", string(it.record.Value)
	k.add(it)
	k.sent(it, k.p.Send(k.t.Context(), &it.record, nil))
	ctx, cancel := context.WithTimeout(k.t.Context(), givesUp)
	defer cancel()
	_, err := it.future.Get(ctx)
	return err
}

func (k *worker) act() {
	switch k.IntN(16) {
	case 0:
		it := k.item(false)
		k.sent(it, k.p.Send(k.t.Context(), &it.record, nil))
	case 1:
		for range 1 + k.IntN(6) { // one after the other, like a program that reads answers directly
			k.get()
		}
	case 2:
		it := k.item(true)
		k.sent(it, k.p.TrySend(&it.record, k.callback(it)))
	case 3, 4:
		k.sendAll()
	case 5:
		ctx, cancel := context.WithTimeout(k.t.Context(), k.upTo(time.Second))
		it := k.item(true)
		k.sent(it, k.p.Send(ctx, &it.record, k.callback(it)))
		cancel()
	case 6:
		if k.oneIn(3) {
			k.cancelAll()
		} else {
			k.cancel()
		}
	case 7:
		if k.oneIn(2) {
			k.flush()
		}
	default:
		it := k.item(true)
		k.sent(it, k.p.Send(k.t.Context(), &it.record, k.callback(it)))
	}
	_, used := k.p.Buffered()
	k.mu.Lock()
	k.most = max(k.most, used)
	k.mu.Unlock()
}

// item draws a record.
func (k *worker) item(listens bool) *item {
	k.number++
	it := &item{sender: k.id, number: k.number, listens: listens}
	k.fill(it, k.draws)
	k.mine = append(k.mine, it)
	k.add(it)
	return it
}

func (w *world) fill(it *item, d draws) {
	name := fmt.Sprintf("topic-%d", w.someTopic(d))
	it.record = producer.Record{Topic: name}
	size := d.IntN(60)
	switch {
	case d.oneIn(8):
		size = d.IntN(600)
	case d.oneIn(30):
		size = d.IntN(min(w.cfg.MaxRequestSize+w.cfg.MaxRequestSize/10, 20_000))
	}
	it.record.Value = []byte(it.String() + "|" + strings.Repeat(string(rune('a'+it.number%26)), size))
	if !d.oneIn(3) {
		it.record.Key = fmt.Appendf(nil, "key-%d", d.IntN(6))
	}
	if d.oneIn(4) {
		it.record.Partition = producer.InPartition(d.Int32N(w.plan.topics[name]))
	}
	if d.oneIn(10) {
		it.record.Headers = []producer.Header{{Key: "h", Value: []byte(it.String())}}
	}
	it.key, it.value = string(it.record.Key), string(it.record.Value)
}

// someTopic draws a topic. With rests, each topic has its turn of ten seconds.
func (w *world) someTopic(d draws) int {
	drawn := d.IntN(len(w.plan.topics))
	if !w.plan.rests || d.oneIn(20) {
		return drawn
	}
	return int(time.Since(w.began)/(10*time.Second)) % len(w.plan.topics)
}

func (w *world) add(it *item) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items = append(w.items, it)
}

// sent is called when a send has returned: the caller may use its bytes again.
func (k *worker) sent(it *item, f producer.Future) {
	it.future, it.accepted = f, time.Now()
	scribble(it)
	k.note("%v sent to %s", it, it.record.Topic)
}

func scribble(it *item) {
	for _, b := range [][]byte{it.record.Key, it.record.Value} {
		for i := range b {
			b[i] = '!'
		}
	}
}

func (k *worker) callback(it *item) producer.Callback {
	return func(m producer.RecordMetadata, err error) { k.tell(it, outcome{place: m, err: err}) }
}

// tell notes the arguments of a callback, and sometimes behaves like a user's callback.
func (w *world) tell(it *item, o outcome) {
	w.counts()
	w.mu.Lock()
	o.at, o.turn = time.Now(), len(w.notes)
	it.told = append(it.told, o)
	w.noteLocked("%v told: %v", it, o)
	d := draws{w.chance}
	try, wait, flush := d.oneIn(40), w.plan.slow && d.oneIn(10), d.oneIn(60)
	var again *item
	if try || wait {
		w.nested++
		again = &item{sender: 1000 + w.nested, number: 1, listens: true}
		w.fill(again, d)
		w.items = append(w.items, again)
	}
	w.mu.Unlock()
	if again != nil {
		cb := func(m producer.RecordMetadata, err error) { w.tell(again, outcome{place: m, err: err}) }
		if wait {
			time.Sleep(20 * time.Millisecond)
			again.future = w.p.Send(w.t.Context(), &again.record, cb)
		} else {
			again.future = w.p.TrySend(&again.record, cb)
		}
		w.mu.Lock()
		again.accepted = time.Now()
		w.mu.Unlock()
	}
	if flush {
		if err := w.p.Flush(w.t.Context()); !errors.Is(err, producer.ErrInCallback) {
			w.fail("Flush in a callback returned %v", err)
		}
	}
}

// get sends a record and waits for it, or not long enough.
func (k *worker) get() {
	it := k.item(k.oneIn(2))
	var cb producer.Callback
	if it.listens {
		cb = k.callback(it)
	}
	k.sent(it, k.p.Send(k.t.Context(), &it.record, cb))
	ctx, cancel := context.WithTimeout(k.t.Context(), k.upTo(3*time.Second))
	defer cancel()
	m, err := it.future.Get(ctx)
	if err != nil && ctx.Err() != nil && errors.Is(err, ctx.Err()) {
		if !producer.MaybeWritten(err) || producer.Retriable(err) {
			k.fail("%v: Get ended by its context says %v", it, err)
		}
		return
	}
	it.got = append(it.got, outcome{place: m, err: err})
}

func (k *worker) sendAll() {
	n := 1 + k.IntN(12)
	items, records := make([]*item, n), make([]producer.Record, n)
	for i := range n {
		items[i] = k.item(true)
		records[i] = items[i].record
	}
	var cb func(int, producer.RecordMetadata, error)
	if k.oneIn(4) {
		for _, it := range items {
			it.listens = false
		}
	} else {
		cb = func(i int, m producer.RecordMetadata, err error) { k.tell(items[i], outcome{place: m, err: err}) }
	}
	for i, f := range k.p.SendAllFunc(k.t.Context(), records, cb, nil) {
		k.sent(items[i], f)
	}
}

// cancel sends a record and withdraws one: this or another.
func (k *worker) cancel() {
	it := k.item(true)
	k.sent(it, k.p.Send(k.t.Context(), &it.record, k.callback(it)))
	if k.oneIn(3) {
		it = k.mine[max(0, len(k.mine)-1-k.IntN(10))]
	}
	k.takeBack(it)
}

// cancelAll sends some records to one partition and takes all of them back. Most of their batches have no other record.
func (k *worker) cancelAll() {
	items := make([]*item, 1+k.IntN(8))
	for i := range items {
		it := k.item(true)
		if i > 0 {
			it.record.Topic, it.record.Partition = items[0].record.Topic, items[0].record.Partition
		} else if _, named := it.record.Partition.Number(); !named {
			it.record.Partition = producer.InPartition(0)
		}
		items[i] = it
		k.sent(it, k.p.TrySend(&it.record, k.callback(it)))
	}
	for _, i := range k.Perm(len(items)) {
		k.takeBack(items[i])
	}
}

func (k *worker) takeBack(it *item) {
	if !it.future.Cancel() {
		return
	}
	k.note("%v canceled", it)
	it.canceled = true
	select {
	case <-it.future.Done():
	default:
		k.fail("%v has no outcome though Cancel has returned", it)
	}
}

// stalling is an interceptor with long pauses now and then.
type stalling struct{ w *world }

func (s *stalling) OnSend(r *producer.Record) *producer.Record { return r }

func (s *stalling) OnAcknowledgement(producer.RecordMetadata, error) {
	s.w.counts()
	s.w.mu.Lock()
	d := draws{s.w.chance}
	stop := d.oneIn(20) && !s.w.calm // a stop counts as broken: probe gives up sooner than two of the longest ones end
	wait := d.upTo(choose(d, 10*time.Millisecond, 5*time.Second, 2*time.Minute))
	s.w.mu.Unlock()
	if stop {
		s.w.note("an interceptor stops for %v", wait)
		time.Sleep(wait)
		s.w.counts()
	}
}

// counts checks that the account is not empty while a callback or interceptor runs.
func (w *world) counts() {
	if _, used := w.p.Buffered(); used <= 0 {
		w.fail("while a callback or an interceptor runs, %d bytes are buffered", used)
	}
}

// flush waits for this goroutine's records.
func (k *worker) flush() {
	ctx, cancel := context.WithTimeout(k.t.Context(), k.upTo(5*time.Second))
	defer cancel()
	mine := slices.Clone(k.mine)
	if k.p.Flush(ctx) != nil {
		return
	}
	k.mu.Lock()
	var open []string
	for _, it := range mine {
		if it.listens && len(it.told) != 1 {
			open = append(open, it.String())
		}
	}
	k.mu.Unlock()
	if len(open) > 0 {
		k.fail("Flush returned before the callbacks of %v", open)
	}
	for _, it := range mine {
		select {
		case <-it.future.Done():
		default:
			k.fail("Flush returned before the outcome of %v", it)
		}
	}
}
