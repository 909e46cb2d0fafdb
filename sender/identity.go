package sender

import (
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/internal/lockrank"
	"github.com/gosamsa/samsa/internal/transport"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// identities gives the partitions their producer id and epoch. A partition keeps its own until it needs another; then
// it gets the epoch after the used one, or a newer identity. The client requests a new id after epoch 32767, when
// brokers refuse the epochs of the present one, and when the cluster was replaced: an identity belongs to its cluster.
// A recreated topic may be the only sign of a new cluster, so no partition gets an identity from before the newest
// recreation.
type identities struct {
	s *Sender

	mu        lockrank.Mutex[lockrank.SenderIdentities]
	current   delivery.Identity
	exhausted delivery.Identity // the former one; the client does not use it any more
	grants    uint32
	asking    bool
	waiting   map[*partition]struct{} // to be scheduled when there is one
	unused    bool                    // no partition is left for the requested identity

	retired   int32        // the newest epoch of current's id in a forgotten partition, or -1
	since     uint64       // the generation of the snapshot before current was requested
	recreated uint64       // the generation of the newest snapshot with a recreated topic
	followed  uint64       // the generation of the newest snapshot at all partitions
	ahead     []*partition // have followed a newer one, and are to be scheduled when all have
	failed    int          // failed requests in a row
	lastErr   error
}

// after returns an identity of p's cluster, newer than used; with newID it has another producer id. If there is none
// yet, the client requests it, and schedules p when it is there. The caller holds p.mu.
func (d *identities) after(used delivery.Identity, newID bool, p *partition) (delivery.Identity, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.current.Valid {
		switch {
		case !protocol.SameCluster(d.current.Cluster, p.delivery.Cluster()):
			if !protocol.SameCluster(p.delivery.Cluster(), d.s.cfg.Cluster.Snapshot().ClusterID) {
				// p has not followed to the present cluster yet, and is scheduled when it does
				return delivery.Identity{}, false
			}
		case d.followed < p.snapshotGen: // another partition may know of a recreated topic
			if !p.isAhead {
				p.isAhead = true
				d.ahead = append(d.ahead, p)
			}
			return delivery.Identity{}, false
		case d.since < d.recreated: // the whole cluster may have been recreated under its former id
		case newID && d.current.Grant == used.Grant:
		case d.current != used && (used.Valid || int32(d.current.Epoch) > d.retired):
			return d.current, true
		// p wants the next epoch, or it is new and may be a forgotten one: its broker knows the sequences of a retired
		// epoch.
		case d.current.Epoch < math.MaxInt16:
			d.current.Epoch++
			return d.current, true
		}
		d.exhausted, d.current = d.current, delivery.Identity{}
	}
	if p.waitingForID {
		return delivery.Identity{}, false
	}
	d.waitLocked(p)
	return delivery.Identity{}, false
}

// waitLocked requests an identity, and has the partition scheduled when it is there.
func (d *identities) waitLocked(p *partition) {
	p.waitingForID = true
	if d.waiting == nil {
		d.waiting = make(map[*partition]struct{})
	}
	d.waiting[p] = struct{}{}
	if !d.asking && d.s.begin() {
		d.asking = true
		go d.ask()
	}
}

// retire notes that a partition with that identity has been forgotten: no new partition gets this epoch. After the last
// partition the whole identity ends, even during its request.
func (d *identities) retire(p *partition, used delivery.Identity, last bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.waiting, p)
	p.waitingForID = false
	d.unused = d.asking && (d.unused || last)
	switch {
	case !d.current.Valid:
	case last:
		d.exhausted, d.current = d.current, delivery.Identity{}
	case used.Valid && used.Grant == d.current.Grant:
		d.retired = max(d.retired, int32(used.Epoch))
	}
}

// recreatedIn notes a snapshot with a recreated topic, or perhaps a recreated cluster. A generation of zero is none.
func (d *identities) recreatedIn(generation uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.recreated = max(d.recreated, generation)
}

// followedTo notes that all partitions have followed a snapshot. The caller holds no partition's lock.
func (d *identities) followedTo(generation uint64, now time.Time) {
	d.mu.Lock()
	d.followed = max(d.followed, generation)
	ahead := d.ahead
	d.ahead = nil
	for _, p := range ahead {
		p.isAhead = false
	}
	d.mu.Unlock()
	for _, p := range ahead {
		p.mu.Lock()
		p.scheduleLocked(now)
		p.mu.Unlock()
	}
}

// blockedReason says why there is no identity, or "".
func (d *identities) blockedReason() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	switch {
	case d.current.Valid:
		return ""
	case d.lastErr != nil:
		return "no producer id: " + d.lastErr.Error()
	}
	return "no producer id yet"
}

// ask requests a producer id until it has one, is refused for good, or the sender stops.
func (d *identities) ask() {
	defer d.s.wait.Done()
	for {
		d.mu.Lock()
		failed := d.failed
		d.mu.Unlock()
		if failed > 0 && !d.s.sleep(d.s.cfg.retry().Delay(failed)) {
			d.finish(delivery.Identity{}, 0, record.ErrClosed)
			return
		}
		since := d.s.cfg.Cluster.Snapshot().Generation
		id, err := d.request()
		if err == nil {
			d.finish(id, since, nil)
			return
		}
		if d.s.ctx.Err() == nil {
			d.s.cfg.Logger.Warn("no producer id", "error", err)
		}
		var broker *protocol.Error
		refused := errors.As(err, &broker) && !broker.Code.Retriable() || errors.Is(err, transport.ErrUnsupported)
		if d.s.ctx.Err() != nil || refused {
			d.finish(delivery.Identity{}, 0, err)
			return
		}
		d.mu.Lock()
		d.failed++
		d.lastErr = err
		d.mu.Unlock()
	}
}

func (d *identities) request() (delivery.Identity, error) {
	req := &protocol.InitProducerIDRequest{TransactionTimeoutMs: math.MaxInt32, ProducerID: -1, ProducerEpoch: -1}
	var resp protocol.InitProducerIDResponse
	clusterID, err := d.s.cfg.Cluster.Do(d.s.ctx, req, &resp)
	if err != nil {
		return delivery.Identity{}, err
	}
	if resp.ErrorCode != protocol.None {
		return delivery.Identity{}, &protocol.Error{Code: resp.ErrorCode}
	}
	if resp.ProducerID < 0 || resp.ProducerEpoch < 0 {
		return delivery.Identity{}, fmt.Errorf("the broker gave an invalid producer id: %d, epoch %d", resp.ProducerID,
			resp.ProducerEpoch)
	}
	id := delivery.Identity{ID: resp.ProducerID, Epoch: resp.ProducerEpoch, Valid: true, Cluster: clusterID}
	d.mu.Lock()
	spent := d.exhausted
	d.mu.Unlock()
	if !spent.Valid || spent.ID != id.ID || !protocol.SameCluster(spent.Cluster, clusterID) {
		return id, nil
	}
	// Sequences of this id were used: a broker with a memory of them would take new records for old ones. Under a later
	// epoch it does not.
	if spent.Epoch == math.MaxInt16 {
		return delivery.Identity{}, fmt.Errorf(
			"the broker gave an invalid producer id: %d, which this producer has given up", id.ID)
	}
	id.Epoch = max(id.Epoch, spent.Epoch+1)
	return id, nil
}

// finish ends a request: the waiting partitions continue, or their records fail with the reason. Later sends ask again,
// after a backoff.
func (d *identities) finish(id delivery.Identity, since uint64, err error) {
	d.mu.Lock()
	waiting := d.waiting
	d.waiting, d.asking, d.lastErr = nil, false, err
	for p := range waiting {
		p.waitingForID = false
	}
	if d.unused && err == nil {
		d.unused = false
		d.exhausted = id
		for p := range waiting {
			d.waitLocked(p)
		}
		d.mu.Unlock()
		return
	}
	d.unused = false
	if err == nil {
		d.grants++
		id.Grant = d.grants
		d.current, d.since, d.failed, d.retired = id, since, 0, -1
	} else {
		d.failed++
	}
	d.mu.Unlock()
	now := time.Now()
	for p := range waiting {
		if err == nil {
			p.mu.Lock()
			p.scheduleLocked(now)
			p.mu.Unlock()
			continue
		}
		refusal := &record.Error{Err: err, Detail: cureFor(err)}
		if errors.Is(err, transport.ErrUnsupported) {
			refusal.Err = unsupported{err}
		}
		p.refuse(refusal)
	}
}

// cureFor returns the cure for a refused producer id.
func cureFor(err error) string {
	var broker *protocol.Error
	switch {
	case errors.Is(err, transport.ErrUnsupported), errors.Is(err, &protocol.Error{Code: protocol.UnsupportedVersion}):
		return "Kafka before 0.11 knows no producer ids and is too old for this client; for other servers set enable.idempotence=false"
	case errors.Is(err, &protocol.Error{Code: protocol.ClusterAuthorizationFailed}):
		return "" // the error says it
	case errors.As(err, &broker):
		return "no producer id; without enable.idempotence none is needed"
	}
	return ""
}

// sleep waits for d; it reports false when the sender stops first.
func (s *Sender) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}
