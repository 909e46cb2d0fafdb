package testbroker

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/gosamsa/samsa/protocol"
)

// handle carries out a request and returns the answer, nil if there is none. An error ends the connection.
func (c *Cluster) handle(k *conn, s *seen, a *Action) (protocol.Response, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	select {
	case <-k.done:
		return nil, errClose
	default:
	}
	s.Handled = true
	defer c.wake()
	throttle := int32(a.throttle / time.Millisecond)
	switch m := s.Message.(type) {
	case *protocol.ProduceRequest:
		return c.produce(s, a)
	case *protocol.MetadataRequest:
		r := c.metadata(k, s.Header.Version, m, a)
		r.ThrottleMs = throttle
		return r, nil
	case *protocol.InitProducerIDRequest:
		r := c.initProducerID(m, a)
		r.ThrottleMs = throttle
		return r, nil
	default:
		r := c.apiVersions(s, a)
		r.ThrottleMs = throttle
		return r, nil
	}
}

// apiVersions answers with the broker's versions. The message is nil when its version is too new.
func (c *Cluster) apiVersions(s *seen, a *Action) *protocol.ApiVersionsResponse {
	k := s.conn
	own := k.b.versions[protocol.ApiVersions]
	r := &protocol.ApiVersionsResponse{FinalizedFeaturesEpoch: -1}
	if k.b.features && own.Max >= 3 {
		r.SupportedFeatures = []protocol.SupportedFeature{{Name: "metadata.version", Min: 7, Max: 29},
			{Name: "transaction.version", Max: 2}}
		r.FinalizedFeatures = []protocol.FinalizedFeature{{Name: "metadata.version", Min: 29, Max: 29},
			{Name: "transaction.version", Min: 2, Max: 2}}
		r.FinalizedFeaturesEpoch = 1
	}
	m, ok := s.Message.(*protocol.ApiVersionsRequest)
	switch {
	case !ok:
		r.ErrorCode = protocol.UnsupportedVersion
		if own.Max >= 3 {
			r.APIs = []protocol.APIVersion{{Key: protocol.ApiVersions, Min: own.Min, Max: own.Max}}
		}
		return r
	case a.fails:
		r.ErrorCode = a.code
		return r
	}
	if s.Header.Version >= 3 && (!softwareName.MatchString(m.SoftwareName) ||
		!softwareName.MatchString(m.SoftwareVersion)) {
		c.violationLocked("%s: software name %q, version %q", k, m.SoftwareName, m.SoftwareVersion)
		r.ErrorCode = protocol.InvalidRequest
		return r
	}
	// Fetch, useless to a producer: clients must pass over unknown APIs.
	const fetch protocol.APIKey = 1
	if _, own := k.b.versions[fetch]; !own {
		r.APIs = append(r.APIs, protocol.APIVersion{Key: fetch, Min: 4, Max: 11})
	}
	for key, v := range k.b.versions {
		if v.Max >= v.Min {
			r.APIs = append(r.APIs, protocol.APIVersion{Key: key, Min: v.Min, Max: v.Max})
		}
	}
	// the seed decides, not the map
	slices.SortFunc(r.APIs, func(x, y protocol.APIVersion) int { return cmp.Compare(x.Key, y.Key) })
	return r
}

// initProducerID gives a new id. Without a transactional id Kafka pays no attention to the id and epoch in the request.
func (c *Cluster) initProducerID(m *protocol.InitProducerIDRequest, a *Action) *protocol.InitProducerIDResponse {
	r := &protocol.InitProducerIDResponse{ProducerID: protocol.NoProducerID, ProducerEpoch: protocol.NoProducerEpoch}
	switch {
	case a.fails:
		r.ErrorCode = a.code
	case m.TransactionalID != nil:
		r.ErrorCode = protocol.TransactionalIDAuthorizationFailed
	default:
		r.ProducerID, r.ProducerEpoch = c.nextProducerID, 0
		if c.nextProducerID == firstProducerID {
			r.ProducerEpoch = c.cfg.FirstEpoch
		}
		c.nextProducerID++
	}
	return r
}

// view is a broker's answer to Metadata requests.
type view struct {
	clusterID  string
	brokers    []protocol.MetadataBroker
	controller int32
	topics     map[string]protocol.MetadataTopic
}

// FreezeMetadata makes brokers answer Metadata requests with the present state, whatever happens later. They still know
// their own partitions.
func (c *Cluster) FreezeMetadata(brokers ...int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range brokers {
		c.broker(id).frozen = c.view()
	}
}

// ThawMetadata ends FreezeMetadata.
func (c *Cluster) ThawMetadata(brokers ...int32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, id := range brokers {
		c.broker(id).frozen = nil
	}
}

// view returns a copy of the present state. c.mu is held.
func (c *Cluster) view() *view {
	v := &view{clusterID: c.id, controller: -1, topics: make(map[string]protocol.MetadataTopic)}
	for _, b := range c.brokers {
		if b.stopped {
			continue
		}
		if v.controller < 0 {
			v.controller = b.id
		}
		v.brokers = append(v.brokers, protocol.MetadataBroker{NodeID: b.id, Host: b.host, Port: b.port, Rack: b.rack})
	}
	for name, t := range c.topics {
		v.topics[name] = c.describe(t)
	}
	return v
}

// describe describes one topic.
func (c *Cluster) describe(t *topic) protocol.MetadataTopic {
	m := protocol.MetadataTopic{Name: &t.name, ID: t.id, AuthorizedOperations: protocol.OperationsUnknown}
	for _, p := range t.partitions {
		d := protocol.MetadataPartition{
			Index: p.index, LeaderID: p.leader, LeaderEpoch: p.epoch, Replicas: slices.Clone(p.replicas),
			ISR: slices.Clone(p.isr),
		}
		if p.leader < 0 {
			d.ErrorCode = protocol.LeaderNotAvailable
		}
		for _, r := range p.replicas {
			if c.broker(r).stopped {
				d.Offline = append(d.Offline, r)
			}
		}
		m.Partitions = append(m.Partitions, d)
	}
	return m
}

// metadata answers with the broker's view.
func (c *Cluster) metadata(k *conn, version int16, m *protocol.MetadataRequest, a *Action) *protocol.MetadataResponse {
	v := k.b.frozen
	if v == nil {
		v = c.view()
	}
	id := v.clusterID
	if k.b.clusterID != "" {
		id = k.b.clusterID
	}
	r := &protocol.MetadataResponse{
		Brokers: slices.Clone(v.brokers), ClusterID: &id, ControllerID: v.controller,
		ClusterAuthorizedOperations: protocol.OperationsUnknown,
	}
	if a.fails && a.code == protocol.RebootstrapRequired {
		r.ErrorCode = a.code
		return r
	}
	if m.Topics == nil {
		for _, name := range slices.Sorted(maps.Keys(v.topics)) {
			if !c.denied[name] {
				r.Topics = append(r.Topics, v.topics[name])
			}
		}
	}
	for _, asked := range m.Topics {
		r.Topics = append(r.Topics, c.metadataTopic(k, v, version, asked, m.AllowAutoTopicCreation))
	}
	for i := range r.Topics {
		// An Edit must not reach a frozen view.
		t := &r.Topics[i]
		t.Partitions = slices.Clone(t.Partitions)
		if a.fails && (a.topic == "" || t.Name != nil && *t.Name == a.topic) {
			t.ErrorCode, t.Partitions = a.code, nil
		}
	}
	return r
}

// metadataTopic answers for one requested topic.
func (c *Cluster) metadataTopic(k *conn, v *view, version int16, asked protocol.MetadataRequestTopic,
	create bool) protocol.MetadataTopic {
	r := protocol.MetadataTopic{Name: asked.Name, AuthorizedOperations: protocol.OperationsUnknown}
	if asked.Name == nil {
		if version < 12 {
			c.violationLocked("%s: Metadata version %d with a topic without a name", k, version)
		}
		for _, t := range v.topics {
			if t.ID == asked.ID && !c.denied[*t.Name] {
				return t
			}
		}
		r.ID, r.ErrorCode = asked.ID, protocol.UnknownTopicID
		return r
	}
	name := *asked.Name
	t, ok := v.topics[name]
	switch {
	case c.denied[name]:
		r.ErrorCode = protocol.TopicAuthorizationFailed
	case ok:
		return t
	case !legalTopic(name):
		r.ErrorCode = protocol.InvalidTopicException
	default:
		r.ErrorCode = protocol.UnknownTopicOrPartition
		if create && c.cfg.AutoCreate && c.topics[name] == nil {
			c.createTopic(name, c.cfg.DefaultPartitions)
		}
	}
	return r
}

// legalTopic says whether Kafka takes a name for a topic's.
func legalTopic(name string) bool {
	if name == "" || name == "." || name == ".." || len(name) > 249 {
		return false
	}
	for _, ch := range []byte(name) {
		switch {
		case ch >= 'a' && ch <= 'z', ch >= 'A' && ch <= 'Z', ch >= '0' && ch <= '9', ch == '.', ch == '_', ch == '-':
		default:
			return false
		}
	}
	return true
}
