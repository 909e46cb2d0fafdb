package testbroker

import (
	"slices"
	"sync"

	"github.com/gosamsa/samsa/protocol"
)

// hook decides about a request.
type hook func(r *Request) Action

// Hook has f asked about every request, just before it is handled. In the order of their making, the first hook or rule
// with another action than Pass decides. The connections' goroutines call f, several at a time, with no lock held: f
// may call the cluster's methods, and must guard its own state.
func (c *Cluster) Hook(f func(r *Request) Action) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hooks = append(c.hooks, f)
}

// ask asks the hooks.
func (c *Cluster) ask(s *seen) Action {
	c.mu.Lock()
	hooks := slices.Clone(c.hooks)
	r := s.copy()
	c.mu.Unlock()
	for _, f := range hooks {
		if a := f(&r); a.set {
			return a
		}
	}
	return Pass()
}

// Rule is a scripted fault in the form of a sentence:
//
//	c.On(protocol.Produce).Broker(2).Skip(1).Times(3).Do(testbroker.Fail(protocol.NotEnoughReplicas))
//	c.On(protocol.Produce).Partition("events", 0).InTurn(testbroker.DropAnswer(), testbroker.Pass(), testbroker.DropRequest())
//
// A rule counts its matching requests, without the ones that an earlier rule or hook has acted on.
type Rule struct {
	c         *Cluster
	key       protocol.APIKey
	broker    int32
	topic     string
	partition int32
	skip      int
	times     int // -1: always
	when      func(r *Request) bool

	mu      sync.Mutex
	actions []Action
	each    bool // each action is for one request
	matched int
	hits    int
	ended   bool
}

// On starts a rule about the requests of one API. It does nothing before Do or InTurn.
func (c *Cluster) On(key protocol.APIKey) *Rule {
	return &Rule{c: c, key: key, partition: -1, times: -1}
}

// Broker limits the rule to the requests of one broker.
func (r *Rule) Broker(id int32) *Rule {
	r.broker = id
	return r
}

// Topic limits the rule to Produce and Metadata requests with a topic. A failure concerns this topic.
func (r *Rule) Topic(topic string) *Rule {
	r.topic = topic
	return r
}

// Partition limits the rule to Produce requests with a batch for a partition. A failure concerns this partition only.
func (r *Rule) Partition(topic string, partition int32) *Rule {
	r.topic, r.partition = topic, partition
	return r
}

// When limits the rule to requests with f's consent. The connections' goroutines call f.
func (r *Rule) When(f func(r *Request) bool) *Rule {
	r.when = f
	return r
}

// Skip lets the first n matching requests pass.
func (r *Rule) Skip(n int) *Rule {
	r.skip = n
	return r
}

// Times ends the rule after n requests. Without it the rule goes on for ever, with InTurn until all actions are done.
func (r *Rule) Times(n int) *Rule {
	r.times = n
	return r
}

// Nth limits the rule to the n-th matching request, counted from 1.
func (r *Rule) Nth(n int) *Rule { return r.Skip(n - 1).Times(1) }

// Do puts the rule into force: every request of the rule gets the action.
func (r *Rule) Do(a Action) *Rule {
	r.actions = []Action{a}
	return r.start()
}

// InTurn puts the rule into force: the first request gets the first action, the next the next; then the rule ends.
func (r *Rule) InTurn(actions ...Action) *Rule {
	r.actions, r.each = actions, true
	return r.start()
}

func (r *Rule) start() *Rule {
	if r.topic != "" {
		for i := range r.actions {
			if r.actions[i].topic == "" {
				r.actions[i] = r.actions[i].At(r.topic, r.partition)
			}
		}
	}
	r.c.Hook(r.decide)
	return r
}

// End takes the rule out of force.
func (r *Rule) End() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ended = true
}

// Hits returns how many requests the rule has acted on.
func (r *Rule) Hits() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.hits
}

// decide is the rule as a hook.
func (r *Rule) decide(q *Request) Action {
	if !r.matches(q) {
		return Pass()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ended || r.times >= 0 && r.hits >= r.times || r.each && r.hits >= len(r.actions) {
		return Pass()
	}
	r.matched++
	if r.matched <= r.skip {
		return Pass()
	}
	r.hits++
	if r.each {
		return r.actions[r.hits-1]
	}
	return r.actions[0]
}

// matches says whether the rule is about a request.
func (r *Rule) matches(q *Request) bool {
	if q.Header.Key != r.key || r.broker != 0 && q.Broker != r.broker {
		return false
	}
	if r.topic != "" && !q.names(r.topic, r.partition) {
		return false
	}
	return r.when == nil || r.when(q)
}

// names says whether a request is about a topic, or a partition of it.
func (q *Request) names(topic string, partition int32) bool {
	if m, ok := q.Message.(*protocol.MetadataRequest); ok {
		return slices.ContainsFunc(m.Topics, func(t protocol.MetadataRequestTopic) bool {
			return t.Name != nil &&
				*t.Name == topic
		})
	}
	return slices.ContainsFunc(q.Parts, func(p Part) bool {
		return p.Topic == topic && (partition < 0 || p.Partition == partition)
	})
}
