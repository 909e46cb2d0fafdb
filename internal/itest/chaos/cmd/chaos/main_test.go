package main

import (
	"testing"
	"time"

	"github.com/gosamsa/samsa/internal/itest/chaos"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestFlagsChooseClientsFaultsAndTimeouts(t *testing.T) {
	f, err := parse(nil)
	require.NoError(t, err)
	require.Equal(t, []string{chaos.Samsa, chaos.Franz}, f.clients)
	require.Equal(t, chaos.Kinds(), f.Faults)
	require.Zero(t, f.of(0).DeliveryTimeout, "each client's own")
	require.Zero(t, f.of(0).RequestTimeout)

	f, err = parse([]string{"-client", "samsa", "-faults", "kill,cut"})
	require.NoError(t, err)
	require.Equal(t, []string{chaos.Samsa}, f.clients)
	require.Equal(t, []chaos.Kind{chaos.Kill, chaos.Cut}, f.Faults)
}

func TestRunsTakeEveryCodecWithEveryDeliveryTimeout(t *testing.T) {
	f, err := parse([]string{"-seed", "7", "-compression", "none,lz4", "-delivery-timeout", "0,5s"})
	require.NoError(t, err)
	type settings struct {
		seed              uint64
		codec             string
		delivery, request time.Duration
	}
	var got []settings
	for run := range 5 {
		o := f.of(run)
		got = append(got, settings{o.Seed, o.Compression, o.DeliveryTimeout, o.RequestTimeout})
	}
	require.Equal(t, []settings{
		{7, "none", 0, 0}, {8, "lz4", 0, 0}, {9, "none", 5 * time.Second, 2 * time.Second},
		{10, "lz4", 5 * time.Second, 2 * time.Second},
		{11, "none", 0, 0},
	}, got)
}

func TestFlagsThatMeanNothingAreRefused(t *testing.T) {
	_, err := parse([]string{"-client", "sarama"})
	require.ErrorContains(t, err, `"sarama"`)
	_, err = parse([]string{"-delivery-timeout", "soon"})
	require.ErrorContains(t, err, `"soon"`)
	_, err = parse([]string{"-faults", "fire"})
	require.ErrorContains(t, err, `"fire"`)
}
