package transport

import (
	"context"
	"fmt"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

// changing serves the first connections with first, and all later ones with then.
func changing(connections int32, first, then func(p *peer)) func(ctx context.Context, network,
	address string) (net.Conn, error) {
	var made atomic.Int32
	before, after := dialer(first), dialer(then)
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		if made.Add(1) <= connections {
			return before(ctx, network, address)
		}
		return after(ctx, network, address)
	}
}

func TestAServerThatHasAnsweredBeforeIsNotCalledForeign(t *testing.T) {
	greets := func(p *peer) { p.greet(); echo(p) }
	for name, test := range map[string]struct {
		then func(p *peer)
		want string
	}{
		"it closes":    {func(*peer) {}, "max.connections.per.ip"},
		"it is silent": {func(p *peer) { _, _ = p.next(); _, _ = p.next() }, "max.connections"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				o := Options{Dialer: changing(1, greets, test.then), History: new(History)}
				c, err := Dial(t.Context(), &o, "broker:9092")
				require.NoError(t, err)
				defer c.Close(nil)
				_, err = Dial(t.Context(), &o, "broker:9092")
				require.ErrorContains(t, err, "has answered before")
				require.ErrorContains(t, err, test.want)
				require.NotContains(t, err.Error(), "no Kafka broker")
				_, err = Dial(t.Context(), &o, "other:9092")
				require.ErrorContains(t, err, "no Kafka broker")
			})
		})
	}
}

func TestAHistoryIsBounded(t *testing.T) {
	h := new(History)
	for i := range 3 * mostRemembered {
		h.note(fmt.Sprintf("broker-%d:9092", i), answeredHello)
	}
	require.Len(t, h.contacts, mostRemembered)
	last := fmt.Sprintf("broker-%d:9092", 3*mostRemembered-1)
	require.Equal(t, answeredHello, h.of(last))
	h.note(last, answeredRequest)
	h.note(last, answeredHello)
	require.Equal(t, answeredRequest, h.of(last))
	require.Len(t, h.contacts, mostRemembered)
}

func TestAListenerThatClosesUponTheFirstRequestMayWantSASL(t *testing.T) {
	closes := func(p *peer) { p.greet(); _, _ = p.next() }
	answers := func(p *peer) {
		p.greet()
		r, _ := p.next()
		p.reply(r, r.Version, &protocol.InitProducerIDResponse{})
		_, _ = p.next()
	}
	ask := func(o *Options) error {
		c, err := Dial(t.Context(), o, "broker:9092")
		require.NoError(t, err)
		defer c.Close(nil)
		return c.Do(t.Context(), &protocol.InitProducerIDRequest{}, new(protocol.InitProducerIDResponse))
	}
	o := &Options{Dialer: dialer(closes), History: new(History), RequestTimeout: 30 * time.Second}
	err := ask(o)
	require.ErrorContains(t, err, "a listener that wants SASL")
	require.ErrorIs(t, err, ErrDisconnected)
	require.True(t, failure(t, err).Sent)

	o = &Options{Dialer: changing(1, answers, closes), History: new(History), RequestTimeout: 30 * time.Second}
	require.NoError(t, ask(o))
	err = ask(o)
	require.ErrorIs(t, err, ErrDisconnected)
	require.NotContains(t, err.Error(), "SASL", "it has answered before")
}

func TestAControllersListenerIsNamed(t *testing.T) {
	for name, test := range map[string]struct {
		apis []protocol.APIVersion
		want bool
	}{
		"Vote":               {[]protocol.APIVersion{{Key: 18, Max: 4}, {Key: 52, Max: 2}}, true},
		"BrokerRegistration": {[]protocol.APIVersion{{Key: 18, Max: 4}, {Key: 62, Max: 4}}, true},
		"neither":            {[]protocol.APIVersion{{Key: 18, Max: 4}}, false},
	} {
		t.Run(name, func(t *testing.T) {
			o := Options{Dialer: dialer(func(p *peer) {
				r, _ := p.next()
				p.reply(r, r.Version, &protocol.ApiVersionsResponse{APIs: test.apis, FinalizedFeaturesEpoch: -1})
				echo(p)
			})}
			c, err := Dial(t.Context(), &o, "node:9093")
			require.NoError(t, err)
			defer c.Close(nil)
			_, err = c.Version(protocol.Metadata)
			require.ErrorIs(t, err, ErrUnsupported)
			if test.want {
				require.ErrorContains(t, err, "a KRaft controller's listener")
			} else {
				require.NotContains(t, err.Error(), "controller")
			}
		})
	}
}
