package main

import (
	"errors"
	"testing"

	"github.com/gosamsa/samsa/producer"
	"github.com/stretchr/testify/require"
)

func TestAnAccountComparesPromisesWithTheLog(t *testing.T) {
	var l ledger
	not, maybe := &producer.Error{Err: producer.ErrDeliveryTimeout, Fate: producer.FateNotWritten},
		&producer.Error{Err: producer.ErrDisconnected, Fate: producer.FateMaybeWritten}
	told := []error{nil, nil, not, not, maybe, maybe, nil}
	for range told {
		l.add()
	}
	l.add() // number 7 is never told
	for number, err := range told {
		l.tell(number, err)
	}
	l.tell(6, maybe) // told before
	require.Equal(t, 3, l.number(acknowledged))

	a := l.close([]int{0, 2, 4, 6, 6, 8, -1})
	reason := a.reason
	a.reason = nil
	require.Equal(t, account{
		sent: 8, acknowledged: 3, notWritten: 2, maybeWritten: 2, untold: 1, again: 1,
		found: 4, lost: 1, twice: 1, lies: 1, strangers: 2,
	}, a)
	require.Equal(t, error(not), reason, "the first one")
	require.Error(t, a.broken("fast", false))
}

func TestOnlyBrokenPromisesAreErrors(t *testing.T) {
	require.NoError(t, account{sent: 9, acknowledged: 5, lost: 3, twice: 1}.broken("fast", false),
		"it promised nothing")
	require.NoError(t, account{sent: 9, acknowledged: 5, maybeWritten: 4, found: 7}.broken("safe", true))
	for _, a := range []account{{untold: 1}, {again: 1}, {lies: 1}, {strangers: 1}} {
		require.Error(t, a.broken("fast", false))
	}
	require.ErrorContains(t, errors.Join(account{lost: 1}.broken("safe", true)), "1 acknowledged and lost")
	require.Error(t, account{twice: 1}.broken("safe", true))
}
