package producer

import (
	"math"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/gosamsa/samsa/internal/testbroker"
	"github.com/gosamsa/samsa/protocol"
)

// This file tests hostile answers to InitProducerId.

// identified edits the answers to InitProducerId.
func identified(edit func(r *protocol.InitProducerIDResponse)) func(*testing.T) ([]string, func()) {
	return broken(protocol.InitProducerID, testbroker.Edit(edit))
}

func TestBrokenAnswersToInitProducerID(t *testing.T) {
	var cases []*hostileCase
	for _, f := range faults {
		cases = append(cases, &hostileCase{
			name: f.name, servers: broken(protocol.InitProducerID, f.fault),
			check: undelivered(false, "no producer id", f.word),
		})
	}
	// A body of version 5 is throttle, code, id and epoch, and tagged fields.
	fixed := make([]byte, 16)
	survive(t, append(cases, bodies(protocol.InitProducerID,
		undelivered(false, "no producer id", "127.0.0.1:", "malformed"), map[string][]byte{
			"no body": {}, "an epoch of one byte": fixed[:15], "2^32-1 tagged fields": append(fixed[:16:16], 0xff, 0xff,
				0xff, 0xff, 0x0f),
			"a tagged field beyond the end": append(fixed[:16:16], 1, 5, 0xff, 0xff, 0x03),
			"bytes left over":               append(fixed[:16:16], 0, 1),
		})...))
}

func TestProducerIDsThatMakeNoSense(t *testing.T) {
	var cases []*hostileCase
	add := func(name string, check func(require.TestingT, error), edit func(r *protocol.InitProducerIDResponse)) {
		cases = append(cases, &hostileCase{name: name, servers: identified(edit), check: check})
	}
	id := func(id int64, epoch int16) func(r *protocol.InitProducerIDResponse) {
		return func(r *protocol.InitProducerIDResponse) { r.ProducerID, r.ProducerEpoch = id, epoch }
	}
	invalid := undelivered(false, "an invalid producer id")
	add("a negative id", invalid, id(-1, 0))
	add("a negative epoch", invalid, id(1, -1))
	add("no id and no epoch", undelivered(false, "an invalid producer id: -1, epoch -1"), id(-1, -1))
	add("the lowest id and epoch", invalid, id(math.MinInt64, math.MinInt16))
	add("the last id and epoch", acknowledged, id(math.MaxInt64, math.MaxInt16))
	for name, code := range map[string]protocol.ErrorCode{"UNKNOWN_ERROR_CODE (999)": 999,
		"UNKNOWN_ERROR_CODE (-2)": -2, "UNKNOWN_SERVER_ERROR (-1)": -1} {
		add(name, notTaken(name), func(r *protocol.InitProducerIDResponse) { r.ErrorCode = code })
	}
	add("a throttle of 24 days", acknowledged,
		func(r *protocol.InitProducerIDResponse) { r.ThrottleMs = math.MaxInt32 })
	add("a negative throttle", acknowledged, func(r *protocol.InitProducerIDResponse) { r.ThrottleMs = math.MinInt32 })
	survive(t, cases)
}
