package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/gosamsa/samsa/bench/load"
)

// javaClient is the Java producer. Kafka's own program measures it, against a real Kafka only: it makes its records
// before it looks at the clock, and its times are whole milliseconds.
const javaClient = "java"

// java lets Kafka's ProducerPerformance measure a workload.
func (s *stage) java(ctx context.Context, spec load.Spec) (load.Result, error) {
	if s.cluster == nil {
		return load.Result{}, errors.New(
			"the Java producer is measured with a real Kafka that was started here: -kafka")
	}
	values, err := os.CreateTemp("", "samsa-bench-")
	if err != nil {
		return load.Result{}, err
	}
	defer func() { _ = os.Remove(values.Name()) }()
	if _, err = values.Write(load.Payload(spec)); err == nil {
		err = values.Close()
	}
	if err != nil {
		return load.Result{}, err
	}
	n := min(3_000_000, 1_500_000_000/spec.Size)
	warm := n / 2
	setting := []string{"acks=all"}
	if spec.Tuned {
		setting = append(setting, "batch.size=1000000", "linger.ms=10")
	}
	args := append([]string{
		"--bootstrap-server", strings.Join(s.servers, ","), "--topic", spec.Topic, "--num-records",
		strconv.Itoa(n + warm),
		"--warmup-records", strconv.Itoa(warm), "--throughput", "-1", "--payload-file", values.Name(),
		"--command-property",
	}, setting...)
	printed, cpu, err := s.cluster.ProducerPerformance(ctx, args...)
	if err != nil {
		return load.Result{}, err
	}
	r, err := readPerformance(printed)
	r.Client, r.Total, r.CPU = javaClient, int64(n+warm), float64(cpu.Nanoseconds())/float64(n+warm)
	r.Setting = append(setting, "its CPU includes the start of the virtual machine and of the compiler")
	return r, err
}

var performance = regexp.MustCompile(
	`(\d+) steady state records sent, ([\d.]+) records/sec .*, (\d+) ms 50th, \d+ ms 95th, (\d+) ms 99th, (\d+) ms 99\.9th`)

// readPerformance reads the last line of ProducerPerformance.
func readPerformance(printed string) (r load.Result, err error) {
	found := performance.FindStringSubmatch(printed)
	if found == nil {
		return r, fmt.Errorf("ProducerPerformance printed no result: %q", printed)
	}
	var figures [5]float64
	for i, text := range found[1:] {
		if figures[i], err = strconv.ParseFloat(text, 64); err != nil {
			return r, err
		}
	}
	const ms = float64(time.Millisecond)
	return load.Result{
		Records: int64(figures[0]), Rate: figures[1], Seconds: figures[0] / figures[1], P50: figures[2] * ms,
		P99: figures[3] * ms, P999: figures[4] * ms,
	}, nil
}
