package cluster

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/gosamsa/samsa/internal/transport"
)

// server is the state of one address. Client.mu guards it.
type server struct {
	order     int
	bootstrap bool
	// until is the end of the backoff after failures in a row; err is the last failure.
	failures int
	until    time.Time
	err      error
	// since is the time of its unanswered request, zero without one.
	since    time.Time
	answered bool
}

// servers has the state of all addresses: of the bootstrap servers and the brokers.
type servers map[string]*server

// get returns the server at an address.
func (s servers) get(address string) *server {
	if s[address] == nil {
		s[address] = &server{order: len(s)}
	}
	return s[address]
}

func (s servers) failed(address string, err error, pause transport.Backoff) {
	v := s.get(address)
	v.failures++
	v.err, v.since = stripAddress(err), time.Time{}
	v.until = time.Now().Add(pause.Delay(v.failures))
}

func (s servers) succeeded(address string) {
	v := s.get(address)
	v.failures, v.err, v.since, v.until, v.answered = 0, nil, time.Time{}, time.Time{}, true
}

// noteThrottle makes the client open no connection to a server that has throttled conn, until a head start after the
// end of the throttle. A new connection would bypass the quota, or overtake the response due on conn. It needs mu.
func (c *Client) noteThrottle(conn *transport.Conn) {
	end := conn.ThrottledUntil()
	if end.IsZero() {
		return
	}
	v := c.servers.get(conn.Address())
	if until := end.Add(c.cfg.headStart()); until.After(v.until) {
		v.until = until
	}
}

// prune forgets the addresses outside both the bootstrap servers and the brokers.
func (s servers) prune(brokers map[int32]Broker) {
	keep := make(map[string]bool, len(brokers))
	for _, b := range brokers {
		keep[b.Address()] = true
	}
	for address, v := range s {
		if !v.bootstrap && !keep[address] && v.since.IsZero() {
			delete(s, address)
		}
	}
}

// report returns the servers' failures to answer, or nil if there are none.
func (s servers) report(now time.Time) error {
	type line struct {
		ServerFailure
		order int
	}
	var lines []line
	for address, v := range s {
		err := v.err
		waited := now.Sub(v.since).Round(time.Millisecond)
		switch {
		case !v.since.IsZero() && err != nil:
			err = fmt.Errorf("%w; asked again: %w for %v", err, ErrNoAnswer, waited)
		case !v.since.IsZero():
			err = fmt.Errorf("%w for %v", ErrNoAnswer, waited)
		case err == nil && v.bootstrap && !v.answered:
			err = ErrNotTried
		}
		if err != nil {
			lines = append(lines, line{ServerFailure{address, err}, v.order})
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.SortFunc(lines, func(a, b line) int { return cmp.Compare(a.order, b.order) })
	e := new(UnreachableError)
	for _, l := range lines {
		e.Servers = append(e.Servers, l.ServerFailure)
	}
	return e
}

// candidate is a server to ask, over the present connection or a new one.
type candidate struct {
	address string
	conn    *transport.Conn
}

// candidates returns the servers to ask, the best first: the present connection, the brokers, the bootstrap servers. It
// needs mu.
func (c *Client) candidates(rebootstrap bool) []candidate {
	known := c.Snapshot().Brokers
	brokers := make([]candidate, 0, len(known)+1) // the address of the connection may occur twice
	bootstrap := make([]candidate, 0, len(c.cfg.Bootstrap))
	for _, b := range known {
		brokers = append(brokers, candidate{address: b.Address()})
	}
	for _, address := range c.cfg.Bootstrap {
		bootstrap = append(bootstrap, candidate{address: address})
	}
	c.shuffle(brokers)
	c.shuffle(bootstrap)
	if rebootstrap {
		return unique(bootstrap, brokers)
	}
	if len(brokers) > 0 && !c.cfg.Rebootstrap {
		bootstrap = nil
	}
	var first []candidate
	if c.conn != nil && c.conn.Err() == nil {
		first = []candidate{{address: c.conn.Address(), conn: c.conn}}
		// If the connection has failed, its broker may still work.
		brokers = append(brokers, candidate{address: c.conn.Address()})
		if c.avoidCurrent && c.conn.InFlight() == 0 {
			others := slices.DeleteFunc(slices.Clone(brokers),
				func(b candidate) bool { return b.address == c.conn.Address() })
			return unique(others, first, brokers, bootstrap)
		}
	}
	return unique(first, brokers, bootstrap)
}

// shuffle puts servers into random order, but failed servers after the others, with the latest failure last.
func (c *Client) shuffle(list []candidate) {
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	until := func(v candidate) time.Time {
		if s := c.servers[v.address]; s != nil {
			return s.until
		}
		return time.Time{}
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return until(a).Compare(until(b)) })
}

// wait returns the earliest time to try a server: a time in the past means now.
func (s servers) wait(address string, now time.Time) time.Time {
	if v := s[address]; v != nil && v.until.After(now) {
		return v.until
	}
	return now
}

// unique joins lists without duplicates. A server may name any number of brokers.
func unique(lists ...[]candidate) []candidate {
	n := 0
	for _, list := range lists {
		n += len(list)
	}
	all := make([]candidate, 0, n)
	there := make(map[candidate]bool, n)
	for _, list := range lists {
		for _, v := range list {
			if !there[v] {
				there[v] = true
				all = append(all, v)
			}
		}
	}
	return all
}
