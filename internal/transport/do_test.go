package transport

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/protocol"
)

func TestDoSendsTheNewestVersionAndDecodesTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{ClientID: "me"}, func(p *peer) {
			r, _ := p.next()
			req := new(protocol.InitProducerIDRequest)
			if *r.ClientID == "me" && req.Decode(r.body, r.Version) == nil && req.TransactionTimeoutMs == 17 {
				p.reply(r, r.Version, &protocol.InitProducerIDResponse{ProducerID: 4711, ProducerEpoch: 3})
			}
			_, _ = p.next()
		})
		var resp protocol.InitProducerIDResponse
		req := &protocol.InitProducerIDRequest{TransactionTimeoutMs: 17, ProducerID: -1, ProducerEpoch: -1}
		require.NoError(t, c.Do(t.Context(), req, &resp))
		require.EqualValues(t, 4711, resp.ProducerID)
		require.EqualValues(t, 3, resp.ProducerEpoch)
	})
}

func TestDoEndsItsWaitWithTheContextAndTheConnectionLivesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			for id := int64(1); ; id++ {
				r, err := p.next()
				if err != nil {
					return
				}
				time.Sleep(5 * time.Second)
				p.reply(r, r.Version, &protocol.InitProducerIDResponse{ProducerID: id})
			}
		})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var resp protocol.InitProducerIDResponse
		err := c.Do(ctx, &protocol.InitProducerIDRequest{}, &resp)
		require.ErrorIs(t, err, ctx.Err())
		require.True(t, failure(t, err).Sent)
		require.True(t, failure(t, err).Timeout)
		err = c.Do(ctx, &protocol.InitProducerIDRequest{}, &resp)
		require.ErrorIs(t, err, ctx.Err())
		require.False(t, failure(t, err).Sent, "the context was over before")
		require.NoError(t, c.Do(t.Context(), &protocol.InitProducerIDRequest{}, &resp))
		require.EqualValues(t, 2, resp.ProducerID)
	})
}

func TestDoEndsTheConnectionOnAnAnswerThatCannotBeRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := connect(t, Options{}, func(p *peer) {
			r, _ := p.next()
			p.answer(r, "\x00\x00")
			_, _ = p.next()
		})
		var resp protocol.InitProducerIDResponse
		err := c.Do(t.Context(), &protocol.InitProducerIDRequest{}, &resp)
		require.ErrorIs(t, err, ErrMalformed)
		<-c.Closed()
		require.ErrorIs(t, c.Err(), ErrMalformed)
		require.Error(t, c.Do(t.Context(), &protocol.InitProducerIDRequest{}, &resp))
	})
}
