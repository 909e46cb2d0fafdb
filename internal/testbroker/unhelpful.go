package testbroker

import (
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/gosamsa/samsa/protocol"
)

// This file makes the choices left to the broker by the protocol. Config.Seed, the connection's number and the
// request's correlation id fix every choice, under any schedule of the goroutines.

// The subjects of the choices. Each gets its own stream of random numbers, so none depends on the draws of another one.
const (
	aboutOrder = iota
	aboutOmissions
	aboutPieces
	aboutBrokers
)

// choices returns the random numbers for one response.
func (c *Cluster) choices(s *seen, about uint64) *rand.Rand {
	return rand.New(rand.NewPCG(c.cfg.Seed+about, uint64(s.Connection)<<32|uint64(uint32(s.Header.CorrelationID))))
}

// draw gives a broker the optional properties of brokers: half of them a rack, and half of them features.
func (b *broker) draw() {
	rng := rand.New(rand.NewPCG(b.c.cfg.Seed+aboutBrokers, uint64(b.id)))
	if rng.IntN(2) == 0 {
		rack := fmt.Sprintf("rack-%d", b.id)
		b.rack = &rack
	}
	b.features = rng.IntN(2) == 0
}

// shuffled returns the elements of a list in another order. The list itself may belong to another goroutine.
func shuffled[T any](rng *rand.Rand, list []T) []T {
	list = slices.Clone(list)
	rng.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	return list
}

// shuffle puts every list of a response into a random order, unless the order has a meaning.
func (c *Cluster) shuffle(s *seen, response protocol.Response) {
	rng := c.choices(s, aboutOrder)
	switch r := response.(type) {
	case *protocol.ProduceResponse:
		r.Topics, r.NodeEndpoints = shuffled(rng, r.Topics), shuffled(rng, r.NodeEndpoints)
		for i := range r.Topics {
			t := &r.Topics[i]
			t.Partitions = shuffled(rng, t.Partitions)
			for k := range t.Partitions {
				t.Partitions[k].RecordErrors = shuffled(rng, t.Partitions[k].RecordErrors)
			}
		}
	case *protocol.MetadataResponse:
		r.Brokers, r.Topics = shuffled(rng, r.Brokers), shuffled(rng, r.Topics)
		for i := range r.Topics {
			t := &r.Topics[i]
			t.Partitions = shuffled(rng, t.Partitions)
			for k := range t.Partitions {
				p := &t.Partitions[k]
				p.ISR, p.Offline = shuffled(rng, p.ISR), shuffled(rng, p.Offline)
			}
		}
	case *protocol.ApiVersionsResponse:
		r.APIs = shuffled(rng, r.APIs)
		r.SupportedFeatures, r.FinalizedFeatures = shuffled(rng, r.SupportedFeatures),
			shuffled(rng, r.FinalizedFeatures)
	}
}

// omit leaves out some optional parts of a broker's response. The results of the test's orders stay.
func (c *Cluster) omit(s *seen, a *Action, response protocol.Response) {
	rng := c.choices(s, aboutOmissions)
	omits := func() bool { return rng.IntN(2) == 0 }
	switch r := response.(type) {
	case *protocol.ProduceResponse:
		for i := range r.Topics {
			for k := range r.Topics[i].Partitions {
				p := &r.Topics[i].Partitions[k]
				if omits() {
					p.LogStartOffset = -1
				}
				if omits() && !a.fails {
					p.ErrorMessage = nil
				}
				if omits() && a.leader == nil {
					p.CurrentLeader = nil
				}
			}
		}
		// The endpoints of leaders still named stay.
		r.NodeEndpoints = slices.DeleteFunc(r.NodeEndpoints,
			func(e protocol.NodeEndpoint) bool { return !namesLeader(r, e.NodeID) })
	case *protocol.MetadataResponse:
		if omits() {
			r.ControllerID = -1
		}
	}
}

// namesLeader reports whether a response names a broker as some partition's leader.
func namesLeader(r *protocol.ProduceResponse, broker int32) bool {
	for i := range r.Topics {
		for k := range r.Topics[i].Partitions {
			if leader := r.Topics[i].Partitions[k].CurrentLeader; leader != nil && leader.LeaderID == broker {
				return true
			}
		}
	}
	return false
}
