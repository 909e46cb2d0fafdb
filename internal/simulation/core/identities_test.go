package core

import (
	"errors"
	"math"
	"slices"

	"github.com/gosamsa/samsa/internal/delivery"
	"github.com/gosamsa/samsa/protocol"
	"github.com/gosamsa/samsa/record"
)

// simIdentities is identity.go, with the requests for ids as events.
type simIdentities struct {
	current delivery.Identity
	asking  bool
	waiting []*simLane
	epoch   int16 // of the next id, to be near the end now and then
	retired int32 // the newest epoch of current in a forgotten partition, or -1
}

func (d *simIdentities) after(s *sim, used delivery.Identity, newID bool, l *simLane) (delivery.Identity, bool) {
	if d.current.Valid {
		switch {
		case !protocol.SameCluster(d.current.Cluster, l.cluster):
			if !protocol.SameCluster(l.cluster, s.client.cluster) {
				return delivery.Identity{}, false
			}
		case newID && d.current.ID == used.ID && d.current.Cluster == used.Cluster:
		case d.current != used && (used.Valid || int32(d.current.Epoch) > d.retired):
			return d.current, true
		case d.current.Epoch < math.MaxInt16:
			d.current.Epoch++
			return d.current, true
		}
	}
	d.current = delivery.Identity{}
	if !slices.Contains(d.waiting, l) {
		d.waiting = append(d.waiting, l)
		if !d.asking {
			s.note("the producer asks for an id")
		}
		d.asking = true
	}
	return delivery.Identity{}, false
}

// answer ends a request for an id: with one, or refused.
func (d *simIdentities) answer(s *sim) {
	if !d.asking {
		return
	}
	if s.client.cluster == "" {
		s.client.followTo(s.cluster.id)
	}
	if s.client.cluster != s.cluster.id {
		return // its connection broke with the former cluster
	}
	waiting := d.waiting
	d.waiting, d.asking = nil, false
	if s.hits(faultNoIdentity, 3) {
		s.note("the id is refused")
		for _, l := range waiting {
			s.client.refuse(l, &record.Error{Err: errors.New("no id")})
		}
		return
	}
	s.cluster.given++
	d.current = delivery.Identity{ID: s.cluster.given, Epoch: d.epoch, Valid: true, Cluster: s.cluster.id}
	d.epoch, d.retired = 0, -1
	s.note("the producer has id=%d epoch=%d of %s", d.current.ID, d.current.Epoch, d.current.Cluster)
}
